"""index.json made anew after damage: from what is left of it, and from the manifests among the blobs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from json import JSONDecoder

from pycontainer.core import directories
from pycontainer.errors import ImageError, NotFound, StoreError
from pycontainer.image.disk import read_small
from pycontainer.image.entry import Entry
from pycontainer.image.manifest import DOCUMENT_MAX, OCI_INDEX, Descriptor, Manifest, parse_document
from pycontainer.image.reference import is_digest
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.store import Store


def rebuild(store: Store) -> int:
    """Make a damaged index.json anew: what is left of its lines, and all other images that are here, nameless.

    Returns how many images there are. The damaged file is kept beside it.
    """
    store.prepare()
    with store.locked("index.lock", fcntl.LOCK_EX):
        try:
            text = read_small(store.index, 64 << 20).decode(errors="replace")
            os.rename(store.index, f"{store.index}.damaged")
        except FileNotFoundError:
            text = ""
        entries = [entry for entry in _salvaged(text) if _is_whole(store, entry)]
        named = {entry.manifest.digest for entry in entries}
        entries += [entry for entry in _manifests(store) if entry.manifest.digest not in named]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json() for entry in entries]}
        store.write_index(document)
    return len({entry.image_id for entry in entries})


def _is_whole(store: Store, entry: Entry) -> bool:
    try:
        store.image(entry, [])
    except (NotFound, ImageError, StoreError):
        return False
    return True


def _manifests(store: Store) -> Iterator[Entry]:
    """A nameless line for every manifest among the blobs whose image is whole."""
    for name in directories.entries(f"{store.oci}/blobs/sha256"):
        path, digest = f"{store.oci}/blobs/sha256/{name}", f"sha256:{name}"
        size = os.stat(path).st_size
        try:
            document = parse_document(read_small(path, DOCUMENT_MAX)) if size <= DOCUMENT_MAX else None
        except ImageError:
            continue
        if isinstance(document, Manifest):
            entry = Entry("", document.config.digest, digest, Descriptor(document.media_type, digest, size))
            if _is_whole(store, entry):
                yield entry


def _salvaged(text: str) -> Iterator[Entry]:
    """The lines of a damaged index.json that can still be read."""
    decoder, at = JSONDecoder(), 0
    while (at := text.find("{", at + 1)) >= 0:
        try:
            item, _ = decoder.raw_decode(text, at)
            if is_digest(item["digest"]) and (entry := Entry.read(item)).image_id:
                yield entry
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
