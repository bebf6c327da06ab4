"""Making an image here: the blobs of a new layer, of a config and of a manifest, in the store.

They are blobs like those of a pull, so that what takes it from there is the same: the layer is unpacked from its blob,
verified, and the image named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from pycontainer.errors import NotFound, PycError
from pycontainer.image import disk, staging, unsynced
from pycontainer.image.archive import decompressed
from pycontainer.image.events import Listener, nobody
from pycontainer.image.manifest import OCI_MANIFEST, Descriptor
from pycontainer.image.registry import Document
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.image.store import Store

_LAYER = "application/vnd.oci.image.layer.v1.tar+"
_GZIP_LEVEL = 2
_ZSTD_LEVEL = 3  # as zstd(1) has it
_GZIP_BITS = 31  # a gzip header, without name and time: the same content is always the same bytes


class NewLayer(Record):
    """A layer whose blob is in the store.

    Attributes:
        blob: the compressed tar.
        diff_id: digest of the tar.
    """

    blob: Descriptor
    diff_id: str


def write_layer(store: Store, tar: Iterator[bytes], compression: str = "gzip") -> NewLayer:
    """Compress a tar stream into a blob, with gzip or zstd. The caller holds the store.

    Raises StoreError if the disk is full.
    """
    import hashlib  # 4 ms

    plain, engine = hashlib.sha256(), _compressor(compression)
    with _NewBlob(store) as blob:
        for piece in tar:
            plain.update(piece)
            blob.write(engine.compress(piece))
        blob.write(engine.flush())
        return NewLayer(blob.commit(_LAYER + compression), "sha256:" + plain.hexdigest())


def _compressor(compression: str) -> Any:
    if compression == "zstd":
        import zstandard  # 9 ms

        return zstandard.ZstdCompressor(_ZSTD_LEVEL).compressobj()
    from isal import isal_zlib  # three times the speed of zlib

    return isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_BITS)


def keep_layer(store: Store, packed: Iterator[bytes], media_type: str, room: int) -> NewLayer:
    """Put a layer that is compressed already into a blob as it is. The caller holds the store.

    Raises LayerError if it is damaged, StoreError if it unpacks to more than ``room`` or the disk is full.
    """
    import hashlib  # 4 ms

    plain = hashlib.sha256()
    with _NewBlob(store) as blob:
        for piece in decompressed(map(blob.write, packed), room):
            plain.update(piece)
        return NewLayer(blob.commit(media_type), "sha256:" + plain.hexdigest())


class _NewBlob:
    """A blob whose digest nobody knows yet; it is gone with the block, unless it is committed."""

    def __init__(self, store: Store) -> None:
        import hashlib  # 4 ms

        self._store, self._hasher, self._size = store, hashlib.sha256(), 0
        self._path = staging.fresh(store, "file")

    def __enter__(self) -> _NewBlob:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd = staging.claim(self._path, lambda: os.open(self._path, flags, 0o600))
        except OSError as error:
            raise self._cant_write(error) from None
        return self

    def write(self, piece: bytes) -> bytes:
        """Add a piece, and return it."""
        self._hasher.update(piece)
        self._size += len(piece)
        view = memoryview(piece)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise self._cant_write(error) from None
        return piece

    def commit(self, media_type: str) -> Descriptor:
        """Put it in its place."""
        digest = "sha256:" + self._hasher.hexdigest()
        unsynced.mark(self._store, f"blob.{digest}")
        staging.into_place(self._store, self._path, self._store.blob_path(digest))
        return Descriptor(media_type, digest, self._size)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _cant_write(self, error: OSError) -> PycError:
        return disk.trouble(self._store.root, "can't write the layer", error)


def write_document(store: Store, data: bytes, media_type: str) -> Descriptor:
    """Put a config or a manifest into the store.

    Raises StoreError if the disk is full.
    """
    import hashlib  # 4 ms

    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    unsynced.mark(store, f"blob.{digest}")
    staging.write_file(store, store.blob_path(digest), data)
    return Descriptor(media_type, digest, len(data))


def as_oci(layer: Descriptor) -> Descriptor:
    """A layer of docker's under the type that OCI has for the same bytes."""
    if not layer.media_type.startswith("application/vnd.docker.image.rootfs."):
        return layer
    compression = layer.media_type.rpartition(".tar")[2].replace(".", "+")
    return Descriptor("application/vnd.oci.image.layer.v1.tar" + compression, layer.digest, layer.size)


class Here:
    """A source of images that has nothing but what is in the store already."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.listener: Listener = nobody

    def manifest(self, tag_or_digest: str) -> Document:
        """A manifest."""
        return Document(self._store.read_blob(tag_or_digest), OCI_MANIFEST, tag_or_digest)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """Raises NotFound: a layer of the image that the container was made from is gone."""
        raise NotFound(f"blob {descriptor.digest} is missing", hint="pull the container's image again")

    def close(self) -> None:
        """Nothing is open."""
