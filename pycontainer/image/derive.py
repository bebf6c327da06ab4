"""Making an image here: the blobs of a new layer, of a config and of a manifest, in the store.

They are blobs like those of a pull, so that what takes it from there is the same: the layer is unpacked from its blob,
verified, and the image named.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pycontainer.errors import StoreError
from pycontainer.image import staging
from pycontainer.image.manifest import Descriptor

if TYPE_CHECKING:
    from pycontainer.image.store import Store

LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
_GZIP_LEVEL = 2
_GZIP_BITS = 31  # a gzip header, without name and time: the same content is always the same bytes


class NewLayer(NamedTuple):
    """A layer whose blob is in the store.

    Attributes:
        blob: the compressed tar.
        diff_id: digest of the tar.
    """

    blob: Descriptor
    diff_id: str


def write_layer(store: Store, tar: Iterator[bytes]) -> NewLayer:
    """Compress a tar stream into a blob. The caller holds the store.

    Raises StoreError if the disk is full.
    """
    import hashlib  # 4 ms

    from isal import isal_zlib  # three times the speed of zlib

    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    engine = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_BITS)

    def pieces() -> Iterator[bytes]:
        for piece in tar:
            plain.update(piece)
            yield engine.compress(piece)
        yield engine.flush()

    temporary = f"{staging.directory(store)}/file.{os.getpid()}.layer"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # a sweeper leaves it alone
        for piece in pieces():
            packed.update(piece)
            size += _write(fd, piece)
        digest = "sha256:" + packed.hexdigest()
        staging.mark(store, f"blob.{digest}")
        os.rename(temporary, store.blob_path(digest))
    except OSError as error:
        raise StoreError(f"can't write the layer: {os.strerror(error.errno or 0).lower()}") from None
    finally:
        os.close(fd)
        if os.path.exists(temporary):
            os.unlink(temporary)
    return NewLayer(Descriptor(LAYER_GZIP, digest, size), "sha256:" + plain.hexdigest())


def _write(fd: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)


def write_document(store: Store, data: bytes, media_type: str) -> Descriptor:
    """Put a config or a manifest into the store.

    Raises StoreError if the disk is full.
    """
    import hashlib  # 4 ms

    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    staging.mark(store, f"blob.{digest}")
    staging.write_file(store, store.blob_path(digest), data)
    return Descriptor(media_type, digest, len(data))


def as_oci(layer: Descriptor) -> Descriptor:
    """A layer of docker's under the type that OCI has for the same bytes."""
    if not layer.media_type.startswith("application/vnd.docker.image.rootfs."):
        return layer
    compression = layer.media_type.rpartition(".tar")[2].replace(".", "+")
    return Descriptor("application/vnd.oci.image.layer.v1.tar" + compression, layer.digest, layer.size)
