"""What ``docker save`` writes: a tar archive with a ``manifest.json`` that lists images, configs and layers.

::

    manifest.json = [{"Config": FILE, "RepoTags": [NAME, ...], "Layers": [FILE, ...]}, ...]

The files of layers are tar archives, usually not compressed, so that only their diff IDs, which the config has, say
what they should be. We write OCI's manifest for such an image. Since docker 25 the archive is an image layout as well
(oci_archive.py), which is how we write it too, so that every tool can read it.
Source: the image specification of moby, v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pycontainer.errors import ImageError, VerificationError
from pycontainer.image.archive import Archive, Files, Offer, TarFiles, blob_name, compression_of, read
from pycontainer.image.digest import digest_of
from pycontainer.image.manifest import (
    DOCUMENT_MAX,
    LAYERS_MAX,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    load_object,
    parse_config,
)
from pycontainer.image.reference import Reference, is_digest, is_hex
from pycontainer.image.registry import Document

MANIFEST_FILE = "manifest.json"
MADE_OF = "io.pycontainer.made-of"
"""Annotation of a manifest that we wrote for such an archive, and that nobody else has seen."""
LAYER = "application/vnd.oci.image.layer.v1.tar"
_IMAGES_MAX = 1000


def is_docker_archive(files: Files) -> bool:
    """True if it has docker's list of images."""
    return files.has(MANIFEST_FILE)


def open_docker_archive(files: Files) -> Archive:
    """Read what an archive has.

    Raises:
        ImageError: malformed, or it lacks what it lists. VerificationError: a config is not what its name says.
    """
    if not files.has(MANIFEST_FILE) and files.has("repositories"):
        raise ImageError(
            f"{files.what} was written by a docker older than 1.10", hint="load and save it with a newer one"
        )
    items = _list(read(files, MANIFEST_FILE), files.what)
    reader = _Reader(files)
    offers = tuple(reader.offer(item) for item in items)
    return Archive(files, offers, reader.documents, reader.blobs)


def _list(data: bytes, what: str) -> list[dict[str, Any]]:
    """The list of images. Its reader knows objects only, so it is made a member of one."""
    if len(data) > DOCUMENT_MAX - 16:
        raise ImageError(f"{what}: {MANIFEST_FILE} is too large")
    items = load_object(b'{"images":' + data + b"}", f"{what}: {MANIFEST_FILE}")
    images = items.get("images")
    if list(items) != ["images"] or not isinstance(images, list) or not all(isinstance(item, dict) for item in images):
        raise ImageError(f"{what}: {MANIFEST_FILE} must be a list of objects")
    if len(images) > _IMAGES_MAX:
        raise ImageError(f"{what} has more than {_IMAGES_MAX} images")
    return images


class _Reader:
    """Finds the files of images, and writes their manifests.

    Attributes:
        documents: the manifests, by digest.
        blobs: names of files, by digest.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.documents: dict[str, Document] = {}
        self.blobs: dict[str, str] = {}
        self._layers: dict[str, Descriptor] = {}

    def offer(self, item: dict[str, Any]) -> Offer:
        """One image of the list."""
        what = self._files.what
        config_name, layer_names, tags = item.get("Config"), item.get("Layers") or [], item.get("RepoTags") or []
        if not isinstance(config_name, str) or not _are_texts(layer_names) or not _are_texts(tags):
            raise ImageError(f"{what}: {MANIFEST_FILE} must have Config, RepoTags and Layers")
        if len(layer_names) > LAYERS_MAX:
            raise ImageError(f"{what}: an image has more than {LAYERS_MAX} layers")
        data = read(self._files, config_name)
        config = Descriptor(OCI_CONFIG, digest_of(data), len(data))
        promised = _digest_in(config_name)
        if promised and promised != config.digest:
            raise VerificationError(f"{what}: config {config_name} has digest {config.digest}")
        self.blobs[config.digest] = config_name
        diff_ids = parse_config(data).diff_ids
        if len(diff_ids) != len(layer_names):
            raise ImageError(f"{what}: {config_name} names {len(diff_ids)} layers, {MANIFEST_FILE} {len(layer_names)}")
        layers = tuple(map(self._layer, layer_names, diff_ids))
        manifest = manifest_bytes(Manifest(OCI_MANIFEST, config, layers, {MADE_OF: "docker-archive"}))
        digest = digest_of(manifest)
        self.documents[digest] = Document(manifest, OCI_MANIFEST, digest)
        return Offer(Descriptor(OCI_MANIFEST, digest, len(manifest)), tuple(tags))

    def _layer(self, name: str, diff_id: str) -> Descriptor:
        """The descriptor of a layer's file. A plain tar is named by its diff ID; what is compressed must be hashed."""
        files = self._files
        if isinstance(files, TarFiles):  # older dockers wrote a layer that occurs twice as a link to the first
            name = files.link(name)
        if name not in self._layers:
            size = files.size(name)
            compression = compression_of(next(files.pieces(name), b"")[:8])
            digest = (_digest_in(name) or self._hash(name)) if compression else diff_id
            self._layers[name] = Descriptor(LAYER + (f"+{compression}" if compression else ""), digest, size)
            self.blobs[digest] = name
        return self._layers[name]

    def _hash(self, name: str) -> str:
        import hashlib  # 4 ms

        hasher = hashlib.sha256()
        for piece in self._files.pieces(name):
            hasher.update(piece)
        return f"sha256:{hasher.hexdigest()}"


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _digest_in(name: str) -> str:
    """The digest that a file's name promises: ``<hex>.json``, or ``blobs/sha256/<hex>``; "" for other names."""
    stem = name.removesuffix(".json")
    if is_hex(stem) and len(stem) == 64:
        return f"sha256:{stem}"
    digest = name.removeprefix("blobs/").replace("/", ":")
    return digest if name.startswith("blobs/") and is_digest(digest) else ""


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest of our own as JSON; the same manifest is always the same bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": manifest.media_type,
        "config": manifest.config.to_json(),
        "layers": [layer.to_json() for layer in manifest.layers],
    }
    if manifest.annotations:
        document["annotations"] = manifest.annotations
    return json.dumps(document, separators=(",", ":")).encode()


def list_of(images: Iterable[tuple[Manifest, Iterable[Reference]]]) -> bytes:
    """The ``manifest.json`` for some images with their names, their blobs being where an image layout has them."""
    items = [
        {
            "Config": blob_name(manifest.config.digest),
            "RepoTags": [str(name) for name in names] or None,  # podman reads a short one as localhost's
            "Layers": [blob_name(layer.digest) for layer in manifest.layers],
        }
        for manifest, names in images
    ]
    return json.dumps(items).encode()
