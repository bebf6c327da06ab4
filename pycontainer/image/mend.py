"""Layers that were lost, in a power cut or by hand, made again from the blobs that are still here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pycontainer.errors import LayerError, NotFound, VerificationError
from pycontainer.image import staging
from pycontainer.image.compression import decompress
from pycontainer.image.layer import unpack_layer

if TYPE_CHECKING:
    from pycontainer.image.manifest import Descriptor
    from pycontainer.image.store import Store

_READ = 1 << 20
_UNPACKED_MAX = 512 << 30


def unpack_again(store: Store, manifest: Descriptor, diff_ids: tuple[str, ...]) -> None:
    """Unpack those layers of an image that are not here. What can't be made from what is here stays missing.

    Raises:
        StoreError: the disk is full.
    """
    store.prepare()
    with suppress(NotFound), store.hold():
        for diff_id, blob in zip(diff_ids, store.manifest(manifest).layers, strict=False):
            if not store.has_layer(diff_id) and store.has_blob(blob):
                with suppress(LayerError, VerificationError):  # the blob is damaged too: a pull will fetch it
                    _unpack(store, diff_id, store.blob_path(blob.digest))
    staging.settle_later(store)


def _unpack(store: Store, diff_id: str, path: str) -> None:
    partial, whole = staging.PartialLayer(store, diff_id, lambda: None), False
    try:
        if not store.has_layer(diff_id):  # else another process was faster
            facts = unpack_layer(partial.begin(), _verified(decompress(_read(path), _UNPACKED_MAX), diff_id))
            whole = True
            partial.commit(json.dumps({"diff_id": diff_id, **facts._asdict()}, indent=1).encode())
    finally:
        if not whole:
            partial.discard()
        partial.close()


def _verified(pieces: Iterator[bytes], diff_id: str) -> Iterator[bytes]:
    """The tar; it ends only if its digest is the diff ID, so that the blob's own need not be checked."""
    hasher = hashlib.new(diff_id.partition(":")[0])
    for piece in pieces:
        hasher.update(piece)
        yield piece
    if f"{hasher.name}:{hasher.hexdigest()}" != diff_id:
        raise VerificationError(f"layer {diff_id} is not what its blob unpacks to")


def _read(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_READ):
            yield chunk
