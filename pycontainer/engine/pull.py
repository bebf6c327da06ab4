"""``pyc pull``: from a name to an image on disk.

::

    name -> manifest or index -> the manifest for this platform -> config -> layers

A layer passes once through four threads with short queues between them, so that network, processors and disk work
at the same time and memory does not grow with the layer::

    download, sha256, write the blob  ->  decompress  ->  sha256 (diff ID)  ->  make the files

Several layers do so at once. Blob and layer appear in the store, by rename, only when their digests are right. What
exists is not fetched again, what another process is fetching is waited for, and what was cut is continued.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from pycontainer.engine import team
from pycontainer.errors import ImageError, LayerError, PycError, RegistryError, StoreError, VerificationError
from pycontainer.image import events, staging
from pycontainer.image.events import Event, Listener
from pycontainer.image.manifest import (
    INDEX_DEPTH_MAX,
    Descriptor,
    Index,
    Manifest,
    choose,
    parse_config,
    parse_document,
)
from pycontainer.image.platform import Platform, host
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, endpoints, load
from pycontainer.image.registry import Credentials, Document, Patience, Registry
from pycontainer.image.store import Image, Layer, Store
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    import hashlib

__all__ = ["Event", "pull"]

_QUEUE = 8
_POLL = 0.1
_READ = 1 << 20
_STEP = 1 << 20
"""Bytes between two events of one transfer."""
_UNPACKED_MAX = 512 << 30
_RESERVE_MAX = 1 << 30


def pull(
    store: Store,
    reference: Reference,
    *,
    platform: Platform | None = None,
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    jobs: int = 0,
    insecure: bool | None = None,
    patience: Patience = Patience(),  # noqa: B008  immutable
) -> Image:
    """Bring an image into the store, or find that it is there and up to date.

    Args:
        store: where to.
        reference: what to pull.
        platform: for which machine; this one by default.
        progress: is told what happens, always in the calling thread.
        credentials: gives user and password for a host, if the registry asks.
        jobs: how many layers at a time; as many as processors by default.
        insecure: it may, or must not, be plain HTTP or have any certificate; by default as registries.conf says.
        patience: with the registry.

    Raises:
        RegistryError: it can't be reached, refuses, or has no such image.
        VerificationError: it sent something else than promised.
        LayerError, ImageError: the image is malformed or hostile.
        StoreError: the disk is full.
    """
    listener = progress or events.nobody
    store.prepare()
    staging.drop_unsynced(store)
    staging.sweep(store)
    try:
        with store.hold():
            where = endpoints(reference, load(), insecure=insecure)
            found, registry = _resolve(store, reference, where, platform, listener, credentials, patience)
            try:
                image_id = _fetch(store, registry, found, platform, listener, jobs)
            finally:
                registry.close()
            image = store.add(reference, image_id, found.descriptor, found.source)
    except StoreError:  # most likely the disk is full: give back what no image needs
        with suppress(PycError):
            store.collect()
            staging.sweep(store, partial_blob_life=0)
        raise
    finally:
        if os.listdir(staging.unsynced(store)):
            staging.settle_later(store)
    listener(Event("image", image.id, text=f"{reference.familiar} is image {image.id[7:19]}"))
    return image


# ---- from the name to a manifest


class _Found(Record):
    """The manifest of an image, and the digest that its registry knows it by."""

    manifest: Manifest
    descriptor: Descriptor
    source: str


class Source(Protocol):
    """Where manifests and blobs come from: a registry, an archive, a directory. Several threads read blobs.

    Attributes:
        listener: told about what happens while reading, in the thread that reads.
    """

    listener: Listener

    def manifest(self, tag_or_digest: str) -> Document:
        """A manifest or index whose digest has been checked."""

    def blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """Exactly as many bytes as the descriptor says, from ``offset``; the caller checks the digest."""

    def close(self) -> None:
        """Nothing more is wanted; whoever is still reading gets an error."""


class Fetched(Record):
    """What a source's name turned out to be, and is in the store now, without a name.

    Attributes:
        image_id: digest of the config.
        manifest: the descriptor of its manifest.
        source: digest of what the source has under the name: an index, or the manifest.
    """

    image_id: str
    manifest: Descriptor
    source: str


def fetch(
    store: Store,
    source: Source,
    wanted: str,
    name: str,
    *,
    platform: Platform | None = None,
    listener: Listener = events.nobody,
    jobs: int = 0,
) -> Fetched:
    """Bring an image from a source to the store. The caller holds the store, and names the image.

    Args:
        store, source: where to, where from.
        wanted: the tag or digest that the source shall look up.
        name: what to call it in errors.
        platform, listener, jobs: as of :func:`pull`.

    Raises:
        as :func:`pull`.
    """
    found = _find_manifest(store, source, wanted, name, platform, listener)
    return Fetched(_fetch(store, source, found, platform, listener, jobs), found.descriptor, found.source)


def _resolve(
    store: Store,
    reference: Reference,
    candidates: list[Endpoint],
    platform: Platform | None,
    listener: Listener,
    credentials: Credentials | None,
    patience: Patience,
) -> tuple[_Found, Registry]:
    """Ask the mirrors and then the registry for the manifest. The one that had it will be asked for the blobs."""
    known = store.has(reference)  # then there is most likely nothing new to fetch
    for number, endpoint in enumerate(candidates, 1):
        registry = Registry(endpoint, credentials=credentials, listener=listener, patience=patience, is_brief=known)
        try:
            wanted = reference.digest or reference.tag
            return _find_manifest(store, registry, wanted, reference.familiar, platform, listener), registry
        except RegistryError as error:
            registry.close()
            if number == len(candidates):
                raise
            listener(Event("warning", text=f"mirror {endpoint.host} failed: {error.message}"))
        except BaseException:
            registry.close()
            raise
    raise AssertionError


def _find_manifest(
    store: Store, registry: Source, wanted: str, name: str, platform: Platform | None, listener: Listener
) -> _Found:
    document = registry.manifest(wanted)
    source, parsed = document.digest, parse_document(document.data, document.media_type)
    for _ in range(INDEX_DEPTH_MAX):
        _keep(store, document)
        if isinstance(parsed, Manifest):
            size = len(document.data)
            listener(Event("manifest", document.digest, size, size, f"manifest with {len(parsed.layers)} layers"))
            return _Found(parsed, Descriptor(parsed.media_type, document.digest, size), source)
        listener(Event("index", document.digest, text=f"index of {len(parsed.manifests)} manifests"))
        entry = _choose(parsed, name, platform or host())
        listener(Event("platform", entry.digest, text=f"chose {entry.platform or 'the entry without a platform'}"))
        document = _document(store, registry, entry)
        parsed = parse_document(document.data, entry.media_type)
    raise ImageError(f"{name} is an index of indexes, nested more than {INDEX_DEPTH_MAX} deep")


def _choose(index: Index, name: str, platform: Platform) -> Descriptor:
    entry = choose(index, platform)
    if entry is None:
        there = sorted({str(entry.platform) for entry in index.manifests if entry.platform} - {"unknown/unknown"})
        raise ImageError(f"{name} has no image for {platform}", hint=f"it has {', '.join(there[:20]) or 'none at all'}")
    return entry


def _document(store: Store, registry: Source, entry: Descriptor) -> Document:
    """The document that an index points to, from the store if it is there."""
    if store.has_blob(entry):
        return Document(store.read_blob(entry.digest), entry.media_type, entry.digest)
    document = registry.manifest(entry.digest)
    if len(document.data) != entry.size:
        raise VerificationError(
            f"manifest {entry.digest} has {len(document.data)} bytes, not the {entry.size} promised"
        )
    if document.media_type and document.media_type != entry.media_type:
        raise ImageError(f"manifest {entry.digest} came as {document.media_type}, not as {entry.media_type}")
    return document


def _keep(store: Store, document: Document) -> None:
    """Put a manifest or index, whose digest is right, into the store."""
    if not store.has_blob(Descriptor("", document.digest, len(document.data))):
        staging.mark(store, f"blob.{document.digest}")
        staging.write_file(store, store.blob_path(document.digest), document.data)


# ---- from the manifest to the layers


def _fetch(
    store: Store, registry: Source, found: _Found, platform: Platform | None, listener: Listener, jobs: int
) -> str:
    """Bring config and layers into the store; the image's id."""
    descriptor = found.manifest.config
    _Blob(store, registry, descriptor, listener, threading.Event()).fetch()
    config = parse_config(store.read_blob(descriptor.digest))
    if len(config.diff_ids) != len(found.manifest.layers):
        raise ImageError(
            f"the image's config names {len(config.diff_ids)} layers, its manifest {len(found.manifest.layers)}"
        )
    listener(Event("config", descriptor.digest, text=f"config for {config.platform}, {len(config.diff_ids)} layers"))
    if config.platform not in (platform or host()).accepts():
        if platform:
            raise ImageError(f"the image is for {config.platform}, not for {platform}")
        listener(Event("warning", text=f"the image is for {config.platform}, this machine is {host()}"))
    layers = dict(zip(config.diff_ids, found.manifest.layers, strict=True))  # an image may have one layer twice
    bringing = _Layers(store, registry)
    team.work(layers.items(), bringing.bring, jobs or max(2, os.cpu_count() or 1), listener, bringing.halt)
    return descriptor.digest


class _Layers:
    """Brings layers from a source to the store, in any number of threads."""

    def __init__(self, store: Store, source: Source) -> None:
        self._store = store
        self._source = source
        self._stop = threading.Event()

    def halt(self) -> None:
        """Give up all that is under way."""
        self._stop.set()
        self._source.close()

    def bring(self, layer_of: tuple[str, Descriptor], report: Listener) -> None:
        """Have one layer, of a diff ID and a blob, in the store."""
        blob = _Blob(self._store, self._source, layer_of[1], report, self._stop)
        self._source.listener = report
        try:
            self._bring(*layer_of, blob, report)
        except (LayerError, VerificationError) as error:
            if not blob.distrust():
                raise
            report(Event("retry", layer_of[1].digest, text=f"{error.message}; fetching anew what was here of it"))
            self._bring(*layer_of, blob, report)

    def _bring(self, diff_id: str, descriptor: Descriptor, blob: _Blob, report: Listener) -> None:
        store = self._store
        if store.has_layer(diff_id) and store.has_blob(descriptor):
            return report(Event("exists", descriptor.digest, descriptor.size, descriptor.size, "layer is here already"))
        report(Event("layer", descriptor.digest, total=descriptor.size, text="layer is needed"))
        partial = staging.PartialLayer(store, diff_id, _waiting(descriptor, report, self._stop))
        whole = False
        try:
            if store.has_layer(diff_id):  # made by another process or image meanwhile, or from another blob
                return blob.fetch()
            with (
                _in_thread(blob.read(), self._stop) as compressed,
                _in_thread(_tar(compressed, descriptor, _room(store), report), self._stop) as tar,
                _in_thread(_verified(tar, diff_id, descriptor), self._stop) as pieces,
            ):
                layer = _unpack(partial.begin(), pieces, diff_id)
            whole = True
            partial.commit(_layer_json(layer))
            hidden = f", {layer.facts.whiteouts} whiteouts applied" if layer.facts.whiteouts else ""
            text = f"{layer.facts.entries} entries, {layer.facts.size} bytes{hidden}"
            report(Event("unpacked", descriptor.digest, layer.facts.size, layer.facts.size, text))
        finally:
            if not whole:
                partial.discard()
            partial.close()


def _waiting(descriptor: Descriptor, report: Listener, stop: threading.Event) -> Callable[[], None]:
    """What to do while another process holds what we want."""
    told: list[bool] = []

    def wait() -> None:
        if stop.is_set():
            raise ImageError("the pull was given up")
        if not told:
            told.append(True)
            report(Event("waiting", descriptor.digest, total=descriptor.size, text="another process is fetching it"))

    return wait


class _Blob:
    """The bytes of one blob, which is whole and verified in the store once they have all been read."""

    def __init__(
        self, store: Store, registry: Source, descriptor: Descriptor, report: Listener, stop: threading.Event
    ) -> None:
        self._store = store
        self._registry = registry
        self._descriptor = descriptor
        self._report = report
        self._stop = stop
        self._inherited = False

    def fetch(self) -> None:
        """Only have it in the store."""
        try:
            for _ in self.read():
                pass
        except VerificationError:
            if not self.distrust():
                raise
            for _ in self.read():
                pass

    def distrust(self) -> bool:
        """After its bytes turned out wrong: delete them, and tell whether it makes sense to fetch them again.

        It does if some of them were here before: left by a pull that was cut, or changed by the disk.
        """
        inherited, self._inherited = self._inherited, False
        waiting = _waiting(self._descriptor, self._report, self._stop)
        partial = staging.PartialBlob(self._store, self._descriptor.digest, waiting)
        partial.discard()
        partial.close()
        staging.drop_damaged_blob(self._store, self._descriptor.digest)
        return inherited and not self._store.has_blob(self._descriptor)

    def read(self) -> Generator[bytes, None, None]:
        """From the store, else from where another pull was cut, and then from the registry."""
        import hashlib  # 4 ms

        descriptor = self._descriptor
        hasher = hashlib.new(descriptor.digest.partition(":")[0])
        if self._store.has_blob(descriptor):
            yield from self._from_store(hasher)
            return
        waiting = _waiting(descriptor, self._report, self._stop)
        partial = staging.PartialBlob(self._store, descriptor.digest, waiting)
        try:
            if self._store.has_blob(descriptor):
                yield from self._from_store(hasher)
                return
            try:
                yield from self._download(partial, hasher)
                self._check(hasher)
                partial.commit()
            except (VerificationError, StoreError):
                partial.discard()
                raise
        finally:
            partial.close()
        self._report(
            Event("verified", descriptor.digest, descriptor.size, descriptor.size, "digest and size are right")
        )

    def _from_store(self, hasher: hashlib._Hash) -> Iterator[bytes]:
        self._inherited = True
        with open(self._store.blob_path(self._descriptor.digest), "rb", buffering=0) as file:
            while chunk := file.read(_READ):
                hasher.update(chunk)
                yield chunk
        self._check(hasher)

    def _download(self, partial: staging.PartialBlob, hasher: hashlib._Hash) -> Iterator[bytes]:
        size = self._descriptor.size
        if partial.done > size:
            os.ftruncate(partial.fd, 0)
            partial.done = 0
        self._inherited = partial.done > 0
        while chunk := os.read(partial.fd, _READ):
            hasher.update(chunk)
            yield chunk
        done = told = partial.done
        for chunk in self._registry.blob(self._descriptor, done):
            hasher.update(chunk)
            self._write(partial.fd, chunk)
            done += len(chunk)
            if done - told >= _STEP or done == size:
                told = done
                self._report(Event("download", self._descriptor.digest, done, size))
            yield chunk

    def _check(self, hasher: hashlib._Hash) -> None:
        found = f"{hasher.name}:{hasher.hexdigest()}"
        if found != self._descriptor.digest:
            raise VerificationError(f"blob {self._descriptor.digest} has digest {found}")

    def _write(self, fd: int, chunk: bytes) -> None:
        try:
            written = os.write(fd, chunk)
            while written < len(chunk):
                written += os.write(fd, chunk[written:])
        except OSError as error:
            raise staging.trouble(self._store.root, f"can't write blob {self._descriptor.digest}", error) from None


def _tar(chunks: Iterator[bytes], descriptor: Descriptor, room: int, report: Listener) -> Generator[bytes, None, None]:
    """The uncompressed layer, of at most ``room`` bytes."""
    from pycontainer.image.compression import decompress

    done = told = 0
    for piece in decompress(chunks, min(100 * descriptor.size + (1 << 30), _UNPACKED_MAX)):
        done += len(piece)
        if done > room:
            raise StoreError(f"layer {descriptor.digest} needs more than the {room >> 20} MiB that the disk can spare")
        if done - told >= _STEP:
            told = done
            report(Event("unpack", descriptor.digest, done))
        yield piece


def _verified(tar: Iterator[bytes], diff_id: str, descriptor: Descriptor) -> Generator[bytes, None, None]:
    """The same; it ends only if its digest is the diff ID."""
    import hashlib

    hasher = hashlib.new(diff_id.partition(":")[0])
    for piece in tar:
        hasher.update(piece)
        yield piece
    found = f"{hasher.name}:{hasher.hexdigest()}"
    if found != diff_id:
        raise VerificationError(f"layer {descriptor.digest} unpacks to diff ID {found}, not {diff_id}")


def _room(store: Store) -> int:
    """How many bytes a layer may take from the disk, which must not become full to the last block."""
    disk = os.statvfs(store.root)
    reserve = min(_RESERVE_MAX, disk.f_blocks * disk.f_frsize // 20)
    return max(0, disk.f_bavail * disk.f_frsize - reserve)


def _unpack(fs: int, pieces: Iterator[bytes], diff_id: str) -> Layer:
    from pycontainer.image.layer import unpack_layer

    return Layer(diff_id, "", unpack_layer(fs, pieces))


def _layer_json(layer: Layer) -> bytes:
    return json.dumps({"diff_id": layer.diff_id, **layer.facts._asdict()}, indent=1).encode()


@contextmanager
def _in_thread(items: Generator[bytes, None, None], stop: threading.Event) -> Iterator[Iterator[bytes]]:
    """Let a generator run in a thread of its own, a few items ahead of whoever reads it."""
    pipe: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE)
    over = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not (over.is_set() or stop.is_set()):
            with suppress(queue.Full):
                pipe.put(item, timeout=_POLL)
                return True
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(None)
        except BaseException as error:
            put(error)
        finally:
            items.close()

    def read() -> Iterator[bytes]:
        while True:
            try:
                item = pipe.get(timeout=_POLL)
            except queue.Empty:
                if stop.is_set():
                    raise ImageError("the pull was given up") from None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        over.set()
        thread.join(timeout=1)  # if it hangs on the network, the end of the team will cut that
