"""``pyc import``: a root filesystem in a tar archive becomes an image of one layer.

The opposite of ``export``. The archive is kept as it is, compressed or not, as the layer's blob; it is read once for
its digests, and then takes the way of every layer, with the same checks.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pycontainer.engine.archives import all_or_nothing
from pycontainer.engine.pull import Event, fetch
from pycontainer.errors import InvalidReference, NotFound, StoreError, Unsupported, UsageError
from pycontainer.image import events, staging
from pycontainer.image.archive import (
    Archive,
    Offer,
    OneFile,
    chunks,
    compression_of,
    decompressed,
    digest_of,
    disk_limit,
    from_pipe,
    spool,
    write_all,
)
from pycontainer.image.docker_archive import LAYER, manifest_bytes
from pycontainer.image.events import Listener
from pycontainer.image.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from pycontainer.image.platform import Platform, host
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import is_loopback
from pycontainer.image.registry import Document
from pycontainer.image.store import Image, Store
from pycontainer.oci import instructions

if TYPE_CHECKING:
    import hashlib

__all__ = ["Event", "download", "import_root"]

_AS_IT_IS = {"": "", "gzip": "+gzip", "zstd": "+zstd"}
"""Compressions that a layer may have; the others are undone first."""


def import_root(
    store: Store,
    fd: int,
    what: str,
    name: Reference | None = None,
    *,
    changes: Sequence[str] = (),
    message: str = "",
    platform: Platform | None = None,
    created: str = "",
    progress: Listener | None = None,
) -> Image:
    """Make an image of a root filesystem.

    Args:
        store: where to.
        fd: a tar archive, plain or compressed with gzip, zstd, bzip2 or xz: a file or a pipe; stays the caller's.
        what: its name, for messages and the image's history.
        name: what the image shall be called; it is known by its ID without.
        changes: Dockerfile instructions for its config.
        message: a comment for its history.
        platform: for which machine it is; this one by default.
        created: RFC 3339 time; now by default.
        progress: is told what happens, always in the calling thread.

    Raises:
        UsageError: a change that makes no sense. InvalidReference: ``name`` has a digest.
        LayerError: the archive is malformed or hostile. StoreError: the disk is full.
    """
    if name and name.digest:
        raise InvalidReference(f"can't name an image {name.familiar}: a digest follows from the content")
    config = instructions.apply_all({}, changes)
    listener, platform = progress or events.nobody, platform or host()
    with all_or_nothing(store):
        files = OneFile(_seekable(fd, staging.directory(store)), what)
        with files:
            layer, diff_id = _measure(files, disk_limit(store.root))
            comment = message or f"Imported from {what}"
            data = _config(config, diff_id, platform, created or time.strftime("%FT%TZ", time.gmtime()), comment)
            archive = _archive(files, layer, data)
            wanted = archive.offers[0].descriptor.digest
            found = fetch(store, archive, wanted, what, platform=platform, listener=listener)
        image = store.add(name, found.image_id, found.manifest, found.source)
    listener(Event("image", image.id, text=f"{name.familiar if name else what} is image {image.id[7:19]}"))
    return image


def _seekable(fd: int, scratch: str) -> int:
    """The archive as a file that is plain or compressed as a layer may be; a new descriptor."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISDIR(kind):
        raise UsageError("a directory can't be imported", hint="pack it: tar -C DIRECTORY -c . | pyc import - NAME")
    if stat.S_ISREG(kind):
        file = os.dup(fd)
    else:
        file = spool(scratch)
        write_all(file, from_pipe(fd))
    if compression_of(os.pread(file, 8, 0)) in _AS_IT_IS:
        return file
    try:
        plain = spool(scratch)
        write_all(plain, decompressed(chunks(file, 0), disk_limit(scratch)))
        return plain
    finally:
        os.close(file)


def _measure(files: OneFile, limit: int) -> tuple[Descriptor, str]:
    """The descriptor of the archive as a layer, and its diff ID."""
    import hashlib  # 4 ms

    size = files.size("")
    compression = compression_of(next(files.pieces(""), b"")[:8])
    packed, unpacked = hashlib.sha256(), hashlib.sha256()
    for piece in decompressed(_hashed(files.pieces(""), packed), limit):
        if compression:
            unpacked.update(piece)
    digest = f"sha256:{packed.hexdigest()}"
    return Descriptor(LAYER + _AS_IT_IS[compression], digest, size), (
        f"sha256:{unpacked.hexdigest()}" if compression else digest
    )


def _hashed(pieces: Iterator[bytes], hasher: hashlib._Hash) -> Iterator[bytes]:
    for piece in pieces:
        hasher.update(piece)
        yield piece


def _config(config: dict[str, Any], diff_id: str, platform: Platform, created: str, comment: str) -> bytes:
    document = {
        "created": created,
        "architecture": platform.architecture,
        **({"variant": platform.variant} if platform.variant else {}),
        "os": platform.os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "comment": comment}],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _archive(files: OneFile, layer: Descriptor, config: bytes) -> Archive:
    """The image as a source to fetch it from."""
    described = Descriptor(OCI_CONFIG, digest_of(config), len(config))
    manifest = manifest_bytes(Manifest(OCI_MANIFEST, described, (layer,), {}))
    digest = digest_of(manifest)
    documents = {
        described.digest: Document(config, OCI_CONFIG, described.digest),
        digest: Document(manifest, OCI_MANIFEST, digest),
    }
    return Archive(files, (Offer(Descriptor(OCI_MANIFEST, digest, len(manifest)), ()),), documents, {})


def download(store: Store, url: str) -> int:
    """What is at a web address on this machine, in a file that is open; it has no name, and space of the store.

    Raises:
        Unsupported: any other address: nobody would know whether what came is what was meant.
        NotFound: it is not there.
    """
    where = urlsplit(url)
    if where.scheme not in ("http", "https") or not is_loopback(where.netloc):
        raise Unsupported(
            f"import from {where.scheme}://{where.hostname} is not supported",
            hint="download it first, check it, and import the file",
        )
    import requests  # 70 ms, and only for this

    try:
        with requests.get(url, stream=True, timeout=(10, 30), allow_redirects=False) as response:
            if response.status_code != 200:
                raise NotFound(f"{where.netloc} answered {response.status_code} for {where.path}")
            store.prepare()
            file = spool(staging.directory(store))
            write_all(file, response.iter_content(1 << 20))
            return file
    except requests.RequestException as error:
        raise StoreError(f"download from {where.netloc} failed: {type(error).__name__}") from None
