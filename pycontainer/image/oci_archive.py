"""OCI image layouts, in a directory or in a tar archive (image-spec, image-layout.md).

::

    oci-layout   index.json   blobs/sha256/<hex>

``index.json`` lists the images; an annotation of each gives its name. containerd and docker put the whole name into an
annotation of their own, podman puts it into the spec's, and skopeo puts only a tag there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pycontainer.errors import ImageError
from pycontainer.image.archive import Archive, Files, Offer, read
from pycontainer.image.digest import digest_of
from pycontainer.image.entry import REF_NAME
from pycontainer.image.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    Descriptor,
    Index,
    load_object,
    parse_document,
)
from pycontainer.image.reference import Reference
from pycontainer.image.registry import Document
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


CONTAINERD_NAME = "io.containerd.image.name"
LAYOUT_FILE, INDEX_FILE = "oci-layout", "index.json"
LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'


def is_layout(files: Files) -> bool:
    """True if somebody says that it is an image layout."""
    return files.has(LAYOUT_FILE) and files.has(INDEX_FILE)


def open_layout(files: Files) -> Archive:
    """Read what a layout has.

    Raises:
        ImageError: it is not a layout, of another version, or malformed.
    """
    version = load_object(read(files, LAYOUT_FILE, 4096), f"{files.what}: {LAYOUT_FILE}").get("imageLayoutVersion")
    if version != "1.0.0":
        raise ImageError(f"{files.what} is an image layout of version {str(version)[:20]!r}, not 1.0.0")
    data = read(files, INDEX_FILE)
    index = parse_document(data, OCI_INDEX)
    assert isinstance(index, Index)
    entries = [entry for entry in index.manifests if entry.media_type in MANIFEST_TYPES | INDEX_TYPES]
    named: dict[str, tuple[Descriptor, list[str]]] = {}
    for entry in entries:
        names = named.setdefault(entry.digest, (entry, []))[1]
        names += [name for name in (_name(entry),) if name and name not in names]
    offers = tuple(Offer(descriptor, tuple(names)) for descriptor, names in named.values())
    documents: dict[str, Document] = {}
    if len(offers) > 1 and all(not offer.names and offer.descriptor.platform for offer in offers):
        digest = digest_of(data)  # the list itself is one image for several platforms
        documents[digest] = Document(data, OCI_INDEX, digest)
        offers = (Offer(Descriptor(OCI_INDEX, digest, len(data)), ()),)
    return Archive(files, offers, documents, {})


def _name(entry: Descriptor) -> str:
    return entry.annotations.get(CONTAINERD_NAME) or entry.annotations.get(REF_NAME, "")


def index_of(images: Iterable[tuple[Descriptor, Iterable[Reference]]]) -> bytes:
    """The ``index.json`` for some images with their names, readable for podman, docker, containerd and skopeo.

    A layout can be asked for a tag (``oci-archive:FILE:latest``) or a whole name; docker looks for the latter in
    containerd's annotation, podman in either, skopeo for what is in the spec's.
    """
    entries: list[dict[str, Any]] = []
    for manifest, names in images:
        tags = [{CONTAINERD_NAME: str(name), REF_NAME: name.tag} for name in names]
        entries += [manifest._replace(annotations=notes).to_json() for notes in tags or [{}]]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return json.dumps(document, indent=1).encode()
