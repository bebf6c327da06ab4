"""``pyc import``: a root filesystem in a tar archive becomes an image of one layer.

The opposite of ``export``. The archive becomes the layer's blob in one pass, which also finds its digests; from there
it takes the way of every layer, with the same checks.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from pycontainer.engine.image.fetch import arriving, fetch
from pycontainer.errors import InvalidReference, LayerError, NotFound, RegistryError, UsageError
from pycontainer.image import derive, events
from pycontainer.image.archive import (
    chunks,
    compression_of,
    decompressed,
    disk_limit,
    from_pipe,
    of_archive,
    peek,
    spool,
    write_all,
)
from pycontainer.image.docker_archive import LAYER, manifest_bytes
from pycontainer.image.events import Event, Listener
from pycontainer.image.failures import Broken, number_in
from pycontainer.image.manifest import OCI_CONFIG, OCI_MANIFEST, Manifest
from pycontainer.image.model import Image
from pycontainer.image.platform import Platform, host
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, is_loopback
from pycontainer.image.store import Store
from pycontainer.image.transport import Call, Patience, Transport, web_address
from pycontainer.oci import instructions
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


__all__ = ["Event", "download", "import_root"]

_AS_IT_IS = {"gzip": "+gzip", "zstd": "+zstd"}
"""Compressions that a layer may have, and what its media type says then. Anything else becomes gzip."""


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
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise UsageError("a directory can't be imported", hint="pack it: tar -C DIRECTORY -c . | pyc import - NAME")
    with arriving(store):
        with _named(what):
            layer = _layer(store, chunks(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else from_pipe(fd))
        comment = message or f"Imported from {what}"
        data = _config(config, layer.diff_id, platform, created or time.strftime("%FT%TZ", time.gmtime()), comment)
        described = derive.write_document(store, data, OCI_CONFIG)
        manifest = manifest_bytes(Manifest(OCI_MANIFEST, described, (layer.blob,), {}))
        wanted = derive.write_document(store, manifest, OCI_MANIFEST).digest
        with _named(what):
            found = fetch(store, derive.Here(store), wanted, what, platform=platform, listener=listener)
        image = store.add(name, found.image_id, found.manifest, found.source)
    listener(Event("image", image.id, text=f"{name.familiar if name else what} is image {image.id[7:19]}"))
    return image


@contextmanager
def _named(what: str) -> Iterator[None]:
    """What is wrong with a layer is wrong with the archive."""
    try:
        yield
    except LayerError as error:
        shown = "the archive on stdin" if what == "-" else what
        raise LayerError(f"{shown} can't be imported: {of_archive(error)}") from None


def _layer(store: Store, source: Iterator[bytes]) -> derive.NewLayer:
    """The archive as a blob: as it is, if a layer may be compressed so."""
    head, source = peek(source)
    if suffix := _AS_IT_IS.get(compression_of(head)):
        return derive.keep_layer(store, source, LAYER + suffix, disk_limit(store.root))
    return derive.write_layer(store, decompressed(source, disk_limit(store.root)))


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


def download(store: Store, url: str) -> int:
    """What is at a web address, in a file that is open; it has no name, and space of the store.

    Raises:
        UsageError: not an address of the web, or one of plain HTTP elsewhere: what came might be anybody's.
        NotFound: it is not there. RegistryError: the server failed. StoreError: the disk is full.
    """
    address = web_address(url)
    where = urlsplit(address)
    if not address:
        raise UsageError(f"can't import from {url}: it is no web address")
    if where.scheme == "http" and not is_loopback(where.netloc):
        raise UsageError(f"import from {where.netloc} over plain HTTP is refused", hint="use https, or import a file")
    transport = Transport(Endpoint(where.netloc, ""), events.nobody, Patience(), is_brief=False)
    transport.base = f"{where.scheme}://{where.netloc}"
    store.prepare()
    file = spool(store.staging)
    try:
        with closing(transport), transport.request(address, Call(large=True)) as response:
            if response.status_code != 200:
                raise NotFound(f"{where.netloc} answered {response.status_code} for {where.path}")
            write_all(file, transport.body(response), disk_limit(store.root))
            promised = number_in(response.headers.get("Content-Length", ""))
            if promised not in (None, os.fstat(file).st_size):
                raise Broken("the answer ended early")
            return file
    except BaseException as error:
        os.close(file)
        if isinstance(error, Broken):
            raise RegistryError(f"download from {where.netloc} failed: {error}", hint=error.hint) from None
        raise
