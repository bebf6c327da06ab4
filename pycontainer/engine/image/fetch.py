"""From a manifest to the store, whatever the source: a registry, an archive, a directory.

::

    manifest or index -> the manifest for this platform -> config -> layers

A layer passes once through four threads with short queues between them, so that network, processors and disk work
at the same time and memory does not grow with the layer::

    download, sha256, write the blob  ->  decompress  ->  sha256 (diff ID)  ->  make the files

Several layers do so at once, as turns.py decides. Blob and layer appear in the store, by rename, only when their
digests are right. What exists is not fetched again, what another process is fetching is waited for, and what was cut is
continued.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from pycontainer.engine.image import team
from pycontainer.engine.image.blob import Blob, Source, waiter
from pycontainer.engine.image.pipeline import in_thread
from pycontainer.engine.image.turns import Turns
from pycontainer.errors import ImageError, LayerError, StoreError, VerificationError
from pycontainer.image import after_reboot, events, garbage, staging, unsynced
from pycontainer.image.compression import UNPACKED_MAX, decompress
from pycontainer.image.digest import verified
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
from pycontainer.image.registry import Document
from pycontainer.image.store import Store
from pycontainer.record import Record

_STEP = 1 << 20
"""Bytes between two events of one layer."""
_RESERVE_MAX = 1 << 30


class Found(Record):
    """The manifest of an image, and the digest that its registry knows it by."""

    manifest: Manifest
    descriptor: Descriptor
    source: str


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


@contextmanager
def arriving(store: Store, *, resumable: bool = False) -> Iterator[None]:
    """Hold the store while images come; afterwards, see that they reach the disk.

    If one can't be used, or there is no room, what came is deleted; but what came of one that is ``resumable`` is
    deleted only for lack of room.
    """
    store.prepare()
    after_reboot.drop_unsynced(store)
    staging.sweep(store)
    try:
        with store.hold():
            yield
    except StoreError:
        garbage.make_room(store)
        raise
    except ImageError:
        if not resumable:
            garbage.collect(store)
        raise
    finally:
        if os.listdir(store.unsynced):
            unsynced.settle_later(store)


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
        platform: for which machine; this one by default.
        listener: is told what happens, always in the calling thread.
        jobs: how many layers at a time; by default what keeps this machine busy.

    Raises:
        RegistryError: the source can't be reached, refuses, or has no such image.
        VerificationError: it sent something else than promised.
        LayerError, ImageError: the image is malformed or hostile.
        StoreError: the disk is full.
    """
    found = find_manifest(store, source, wanted, name, platform, listener)
    return Fetched(fetch_content(store, source, found, platform, listener, jobs), found.descriptor, found.source)


# ---- from the name to a manifest


def find_manifest(
    store: Store, source: Source, wanted: str, name: str, platform: Platform | None, listener: Listener
) -> Found:
    """The manifest for a platform, by way of an index if there is one. What is read on the way is kept in the store."""
    document = source.manifest(wanted)
    named, parsed = document.digest, parse_document(document.data, document.media_type)
    for _ in range(INDEX_DEPTH_MAX):
        _keep(store, document)
        if isinstance(parsed, Manifest):
            size = len(document.data)
            listener(Event("manifest", document.digest, size, size, f"manifest with {len(parsed.layers)} layers"))
            return Found(parsed, Descriptor(parsed.media_type, document.digest, size), named)
        listener(Event("index", document.digest, text=f"index of {len(parsed.manifests)} manifests"))
        entry = _choose(parsed, name, platform or host())
        listener(Event("platform", entry.digest, text=f"chose {entry.platform or 'the entry without a platform'}"))
        document = _document(store, source, entry)
        parsed = parse_document(document.data, entry.media_type)
    raise ImageError(f"{name} is an index of indexes, nested more than {INDEX_DEPTH_MAX} deep")


def _choose(index: Index, name: str, platform: Platform) -> Descriptor:
    entry = choose(index, platform)
    if entry is None:
        there = sorted({str(entry.platform) for entry in index.manifests if entry.platform} - {"unknown/unknown"})
        raise ImageError(f"{name} has no image for {platform}", hint=f"it has {', '.join(there[:20]) or 'none at all'}")
    return entry


def _document(store: Store, source: Source, entry: Descriptor) -> Document:
    """The document that an index points to, from the store if it is there."""
    if store.has_blob(entry):
        return Document(store.read_blob(entry.digest), entry.media_type, entry.digest)
    document = source.manifest(entry.digest)
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
        unsynced.mark(store, f"blob.{document.digest}")
        staging.write_file(store, store.blob_path(document.digest), document.data)


# ---- from the manifest to the layers


def fetch_content(
    store: Store, source: Source, found: Found, platform: Platform | None, listener: Listener, jobs: int
) -> str:
    """Bring config and layers into the store; the image's id."""
    descriptor = found.manifest.config
    Blob(store, source, descriptor, listener, threading.Event()).fetch()
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
    turns = Turns(jobs)
    bringing = _Layers(store, source, turns)
    team.work(layers.items(), bringing.bring, turns.at_once, listener, bringing.halt)
    return descriptor.digest


class _Layers:
    """Brings layers from a source to the store, in any number of threads."""

    def __init__(self, store: Store, source: Source, turns: Turns) -> None:
        self._store = store
        self._source = source
        self._turns = turns
        self._stop = threading.Event()

    def halt(self) -> None:
        """Give up all that is under way."""
        self._stop.set()
        self._source.close()

    def bring(self, layer_of: tuple[str, Descriptor], report: Listener) -> None:
        """Have one layer, of a diff ID and a blob, in the store."""
        blob = Blob(self._store, self._source, layer_of[1], report, self._stop)
        self._source.listener = report
        try:
            self._bring(*layer_of, blob, report)
        except (LayerError, VerificationError) as error:
            if not blob.distrust():
                raise
            report(Event("retry", layer_of[1].digest, text=f"{error.message}; fetching anew what was here of it"))
            self._bring(*layer_of, blob, report)

    def _bring(self, diff_id: str, descriptor: Descriptor, blob: Blob, report: Listener) -> None:
        store = self._store
        if store.has_layer(diff_id) and store.has_blob(descriptor):
            return report(Event("exists", descriptor.digest, descriptor.size, descriptor.size, "layer is here already"))
        report(Event("layer", descriptor.digest, total=descriptor.size, text="layer is needed"))
        with staging.PartialLayer(store, diff_id, waiter(descriptor, report, self._stop)) as partial:
            if store.has_layer(diff_id):  # made by another process or image meanwhile, or from another blob
                return blob.fetch()
            from pycontainer.image.layer import unpack_layer  # 8 ms, only for what is not here yet

            with (
                self._turns.one(self._stop),
                in_thread(blob.read(), self._stop) as compressed,
                in_thread(_tar(compressed, descriptor, _room(store), report), self._stop) as tar,
                in_thread(
                    verified(tar, diff_id, f"layer {descriptor.digest} unpacks to diff ID"), self._stop
                ) as pieces,
            ):
                facts = unpack_layer(partial.begin(), pieces)
            partial.commit(facts)
        hidden = f", {facts.whiteouts} whiteouts applied" if facts.whiteouts else ""
        text = f"{facts.entries} entries, {facts.size} bytes{hidden}"
        report(Event("unpacked", descriptor.digest, facts.size, facts.size, text))


def _tar(chunks: Iterator[bytes], descriptor: Descriptor, room: int, report: Listener) -> Generator[bytes, None, None]:
    """The uncompressed layer, of at most ``room`` bytes."""
    done = told = 0
    for piece in decompress(chunks, min(100 * descriptor.size + (1 << 30), UNPACKED_MAX)):
        done += len(piece)
        if done > room:
            raise StoreError(f"layer {descriptor.digest} needs more than the {room >> 20} MiB that the disk can spare")
        if done - told >= _STEP:
            told = done
            report(Event("unpack", descriptor.digest, done))
        yield piece


def _room(store: Store) -> int:
    """How many bytes a layer may take from the disk, which must not become full to the last block."""
    disk = os.statvfs(store.root)
    reserve = min(_RESERVE_MAX, disk.f_blocks * disk.f_frsize // 20)
    return max(0, disk.f_bavail * disk.f_frsize - reserve)
