"""Garbage: what in the store no image reaches, from index.json down."""

from __future__ import annotations

import fcntl
import os

from pycontainer import jsontext
from pycontainer.core.directories import entries
from pycontainer.errors import ImageError, NotFound, PycError
from pycontainer.image import disk, staging
from pycontainer.image.disk import read_small
from pycontainer.image.manifest import DOCUMENT_MAX, Index, parse_config, parse_document
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.store import Store


def collect(store: Store) -> tuple[str, ...]:
    """Delete every blob and layer that no image reaches, and what dead processes left half made.

    Does nothing while a pull or a start is under way: the next call finds the same garbage. Nor while an image
    lacks its manifest or config.

    Returns:
        the diff IDs of deleted layers.
    """
    with store.locked("gc.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        if not alone:
            return ()
        try:
            blobs, layers = _reachable(store)
        except (NotFound, ImageError):
            return ()  # of a damaged image we can't tell what it needs: rather keep too much
        for algorithm in ("sha256", "sha512"):
            for name in entries(f"{store.oci}/blobs/{algorithm}"):
                if f"{algorithm}:{name}" not in blobs:
                    os.unlink(f"{store.oci}/blobs/{algorithm}/{name}")
        deleted = []
        for name in entries(store.layers):
            if name not in layers:
                deleted.append(_diff_id(f"{store.layers}/{name}"))
                staging.trash(store, f"{store.layers}/{name}")
        for name in entries(store.summaries):
            if f"sha256:{name}" not in blobs:
                disk.unlink(f"{store.summaries}/{name}")
    staging.sweep(store)
    return tuple(filter(None, deleted))


def make_room(store: Store) -> None:
    """After something found no room: delete what no image needs, even what the next pull would continue."""
    with suppress(PycError):
        collect(store)
        staging.sweep(store, partial_blob_life=0)


def _reachable(store: Store) -> tuple[set[str], set[str]]:
    """Digests of blobs and names of layer directories that index.json leads to."""
    blobs: set[str] = set()
    layers: set[str] = set()
    pending = [(item["digest"], item["mediaType"]) for item in store.read_index()["manifests"]]
    blobs.update(entry.source for entry in store.entries())
    while pending:
        digest, media_type = pending.pop()
        blobs.add(digest)
        with suppress(NotFound, ImageError):  # what is damaged keeps nothing alive but itself
            document = parse_document(store.read_blob(digest), media_type)
            if isinstance(document, Index):  # another tool's entry, which may lack some of its manifests
                pending += [
                    (other.digest, other.media_type) for other in document.manifests if other.digest not in blobs
                ]
                continue
            blobs.add(document.config.digest)
            blobs.update(layer.digest for layer in document.layers)
            config = parse_config(store.read_blob(document.config.digest))
            layers.update(os.path.basename(store.layer_path(diff_id)) for diff_id in config.diff_ids)
    return blobs, layers


def _diff_id(layer: str) -> str:
    try:
        return str(jsontext.load(read_small(f"{layer}/layer.json", DOCUMENT_MAX).decode())["diff_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
