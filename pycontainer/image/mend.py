"""Layers that were lost, in a power cut or by hand, made again from the blobs that are still here."""

from __future__ import annotations

from contextlib import suppress

from pycontainer.errors import LayerError, NotFound, VerificationError
from pycontainer.image import staging, unsynced
from pycontainer.image.compression import UNPACKED_MAX, decompress
from pycontainer.image.digest import pieces_of, verified
from pycontainer.image.layer import unpack_layer
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.manifest import Descriptor
    from pycontainer.image.store import Store


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
    unsynced.settle_later(store)


def _unpack(store: Store, diff_id: str, path: str) -> None:
    with staging.PartialLayer(store, diff_id, lambda: None) as partial:
        if not store.has_layer(diff_id):  # else another process was faster
            tar = decompress(pieces_of(path), UNPACKED_MAX)  # its digest is checked, so the blob's own need not be
            partial.commit(unpack_layer(partial.begin(), verified(tar, diff_id, f"{path} unpacks to diff ID")))
