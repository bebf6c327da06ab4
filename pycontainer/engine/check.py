"""``system check``: is everything on disk what it should be, and if not, can it be mended?

Blobs are hashed. A layer is unpacked once more from its blob and compared with what is there, file by file, as nothing
else would notice a changed byte or a lost attribute. What is wrong is mended from what is whole: a layer from its blob,
a blob from its registry, the list of images from their manifests.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress

from pycontainer.core.directories import entries
from pycontainer.engine import containers
from pycontainer.engine.disk_usage import stored
from pycontainer.errors import ImageError, NotFound, PycError, StoreError
from pycontainer.image import changes, derive, garbage, staging
from pycontainer.image.compression import UNPACKED_MAX, decompress
from pycontainer.image.digest import digest_of_file, pieces_of
from pycontainer.image.layer import unpack_layer
from pycontainer.image.manifest import Descriptor, parse_config
from pycontainer.image.pack import Item, walk
from pycontainer.image.rebuild import rebuild
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store
from pycontainer.image.tar import FILE, Entry
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots
    from pycontainer.image.entry import Entry as ImageEntry


class Problem(Record):
    """Something that is not as it should be.

    Attributes:
        what: ``blob sha256:...``, ``layer ...``, ``container web``, ...
        wrong: what is wrong with it.
        mended: what was done about it; "" if nothing was.
    """

    what: str
    wrong: str
    mended: str = ""


def check(roots: Roots, *, repair: bool = False, quick: bool = False) -> list[Problem]:
    """Look at everything; what is found wrong, or is garbage, comes back.

    Args:
        repair: mend it.
        quick: don't read the content of blobs and layers, only see that they are there.

    Raises StoreError if the disk is full or broken.
    """
    return list(_Check(roots, repair, quick).run())


class _Check:
    """One check of one root."""

    def __init__(self, roots: Roots, repair: bool, quick: bool) -> None:
        self._roots, self._store, self._repair, self._quick = roots, Store(roots.root), repair, quick
        self._blobs: dict[str, str] = {}  # digest -> what is wrong with it; "" if nothing is
        self._layers: dict[str, str] = {}

    def run(self) -> Iterator[Problem]:
        """All problems."""
        self._store.prepare()
        with self._store.hold():
            yield from self._list()
            with suppress(StoreError):  # the list could not be mended
                for entry in {entry.manifest.digest: entry for entry in self._store.entries()}.values():
                    yield from self._image(entry)
        yield from self._containers()
        yield from self._garbage()

    # ---- images

    def _list(self) -> Iterator[Problem]:
        try:
            self._store.entries()
        except StoreError as error:
            done = f"made anew: {rebuild(self._store)} images" if self._repair else ""
            yield Problem("list of images", error.message, done)

    def _image(self, entry: ImageEntry) -> Iterator[Problem]:
        """An image's manifest, config, layers and their blobs; each is looked at once, whoever has it."""
        name = entry.name or entry.image_id
        before = set(self._blobs) | set(self._layers)
        bad = [(f"blob {digest}", wrong) for digest, wrong in self._bad_blobs(entry) if digest not in before]
        if bad:
            mended = self._fetch_again(entry, [what.removeprefix("blob ") for what, _ in bad])
            yield from (Problem(f"{what} of {name}", wrong, mended) for what, wrong in bad)
            if not mended:
                return
        lost = [(diff_id, wrong) for diff_id, wrong in self._bad_layers(entry) if diff_id not in before]
        if lost:
            mended = self._unpack_again(entry, [diff_id for diff_id, _ in lost])
            yield from (Problem(f"layer {diff_id} of {name}", wrong, mended) for diff_id, wrong in lost)

    def _bad_blobs(self, entry: ImageEntry) -> Iterator[tuple[str, str]]:
        """Digests of blobs that are missing or wrong. Without a manifest nothing can be said about the others."""
        blobs = [entry.manifest]
        if not self._wrong_blob(entry.manifest):
            manifest = self._store.manifest(entry.manifest)
            blobs += [manifest.config, *manifest.layers]
        for blob in blobs:
            if wrong := self._wrong_blob(blob):
                yield blob.digest, wrong

    def _wrong_blob(self, blob: Descriptor) -> str:
        if blob.digest not in self._blobs:
            self._blobs[blob.digest] = self._look_at_blob(blob)
        return self._blobs[blob.digest]

    def _look_at_blob(self, blob: Descriptor) -> str:
        path = self._store.blob_path(blob.digest)
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            return "is missing"
        if size != blob.size:
            return f"has {size} bytes, not {blob.size}"
        if self._quick or digest_of_file(path, blob.digest.partition(":")[0]) == blob.digest:
            return ""
        return "has another content"

    def _bad_layers(self, entry: ImageEntry) -> Iterator[tuple[str, str]]:
        manifest = self._store.manifest(entry.manifest)
        config = parse_config(self._store.read_blob(manifest.config.digest))
        for diff_id, blob in zip(config.diff_ids, manifest.layers, strict=False):
            if diff_id not in self._layers:
                self._layers[diff_id] = self._look_at_layer(diff_id, blob)
            if self._layers[diff_id]:
                yield diff_id, self._layers[diff_id]

    def _look_at_layer(self, diff_id: str, blob: Descriptor) -> str:
        try:
            layer = self._store.layer(diff_id)
        except StoreError as error:
            return error.message
        if layer is None or not os.path.isdir(layer.path_of_fs):
            return "is missing"
        return "" if self._quick else self._compare(diff_id, blob, layer.path_of_fs)

    def _compare(self, diff_id: str, blob: Descriptor, path: str) -> str:
        """Unpack a layer once more beside the one that is in use, and compare them."""
        with staging.PartialLayer(self._store, diff_id, lambda: None) as fresh:
            unpack_layer(fresh.begin(), decompress(pieces_of(self._store.blob_path(blob.digest)), UNPACKED_MAX))
            there = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return difference(fresh.fs, there)
            finally:
                os.close(there)

    # ---- mending

    def _fetch_again(self, entry: ImageEntry, digests: list[str]) -> str:
        """Ask the registry for what is missing; by digest, as the tag may mean another image by now."""
        if not self._repair or not entry.name:
            return ""
        from pycontainer.engine.image.pull import pull  # requests and threads: 80 ms

        reference = Reference.parse(entry.name)
        by_digest = Reference(reference.registry, reference.repository, "", entry.source)
        paths = [self._store.blob_path(digest) for digest in digests]
        for path in paths:
            with suppress(FileNotFoundError):
                os.rename(path, path + ".damaged")  # no digest, so no image has it and it will be collected
        try:
            pull(self._store, by_digest)
        except PycError:
            for path in paths:
                with suppress(FileNotFoundError):
                    os.rename(path + ".damaged", path)
            return ""
        if entry.has_tag:
            self._store.untag(by_digest)
        self._blobs.update(dict.fromkeys(digests, ""))
        return "fetched again"

    def _unpack_again(self, entry: ImageEntry, diff_ids: list[str]) -> str:
        if not self._repair or self._users(entry.image_id):
            return ""
        from pycontainer.engine.image.fetch import fetch

        for diff_id in diff_ids:
            staging.trash(self._store, self._store.layer_path(diff_id))
        try:
            fetch(self._store, derive.Here(self._store), entry.manifest.digest, entry.name)
        except PycError:
            return ""
        self._layers.update(dict.fromkeys(diff_ids, ""))
        return "unpacked again"

    def _users(self, image_id: str) -> list[str]:
        """Names of the containers that run on an image: a layer must not be changed under them."""
        everything = containers.listing(self._roots)
        return [c.name for c in everything if c.image_id == image_id and c.is_up]

    # ---- the rest

    def _containers(self) -> Iterator[Problem]:
        for container_id in sorted(entries(f"{self._roots.root}/containers")):
            try:
                container = containers.find(self._roots, container_id)
                self._store.find(container.image_id, mend=False)
            except NotFound as error:
                yield Problem(f"container {container_id[:12]}", f"its image is not here: {error.message}")
            except (StoreError, ImageError) as error:
                yield Problem(f"container {container_id[:12]}", error.message)
        for name in sorted(entries(f"{self._roots.root}/names")):
            path = f"{self._roots.root}/names/{name}"
            if not os.path.exists(path):
                if self._repair:
                    with suppress(FileNotFoundError):
                        os.unlink(path)
                yield Problem(f"name {name}", "its container is gone", "freed" if self._repair else "")

    def _garbage(self) -> Iterator[Problem]:
        """What no image has. It does no harm; any removal of an image takes it along."""
        if self._repair:
            before = sum(stored(self._store).values())
            garbage.collect(self._store)
            staging.sweep(self._store)
            if size := before - sum(stored(self._store).values()):
                yield Problem("garbage", f"{size} bytes that no image needs", "removed")


def difference(expected: int, found: int) -> str:
    """The first difference between two directories, from owners to content; "" if there is none.

    One of times only is told if there is no other, as a directory's time often follows from what happened in it.
    """
    of_time = ""
    for one, other in itertools.zip_longest(walk(expected, b".", b""), walk(found, b".", b"")):
        if one is None or other is None or one.entry.name != other.entry.name:
            return _only_in_one(one, other)
        left, right = _meaning(one.entry), _meaning(other.entry)
        different = [name for name in Entry._fields if getattr(left, name) != getattr(right, name)]
        told = f"{_show(one.entry.name)} has another "
        if different == ["mtime"]:
            of_time = of_time or told + "mtime"
        elif different:
            return told + different[0]
        if one.entry.kind == FILE and not _same_content(one, other):
            return told + "content"
    return of_time


def _meaning(entry: Entry) -> Entry:
    """Of a whiteout only that it is one matters; its time is when it was unpacked."""
    return entry._replace(mode=0, uid=0, gid=0, mtime=0) if changes.is_whiteout(entry) else entry


def _only_in_one(one: Item | None, other: Item | None) -> str:
    if one and (other is None or one.entry.name.split(b"/") < other.entry.name.split(b"/")):
        return f"{_show(one.entry.name)} is missing"
    return f"{_show(other.entry.name)} is new" if other else ""


def _same_content(one: Item, other: Item) -> bool:
    pieces = itertools.zip_longest(pieces_of(f"/proc/self/fd/{one.fd}"), pieces_of(f"/proc/self/fd/{other.fd}"))
    return all(left == right for left, right in pieces)


def _show(name: bytes) -> str:
    return repr("/" + name.decode("utf-8", "backslashreplace"))
