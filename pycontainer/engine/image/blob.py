"""One blob on its way into the store: from where another pull was cut, and then from a source; verified at its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

from pycontainer.errors import ImageError, StoreError, VerificationError
from pycontainer.image import after_reboot, disk, staging
from pycontainer.image.events import Event, Listener
from pycontainer.image.manifest import Descriptor
from pycontainer.image.registry import Document
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

_READ = 1 << 20
_STEP = 1 << 20
"""Bytes between two events of one transfer."""


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


class Blob:
    """The bytes of one blob, which is whole and verified in the store once they have all been read."""

    def __init__(
        self, store: Store, source: Source, descriptor: Descriptor, report: Listener, stop: threading.Event
    ) -> None:
        self._store = store
        self._source = source
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
        waiting = waiter(self._descriptor, self._report, self._stop)
        partial = staging.PartialBlob(self._store, self._descriptor.digest, waiting)
        partial.discard()
        partial.close()
        after_reboot.drop_damaged_blob(self._store, self._descriptor.digest)
        return inherited and not self._store.has_blob(self._descriptor)

    def read(self) -> Generator[bytes, None, None]:
        """From the store, else from where another pull was cut, and then from the registry."""
        import hashlib  # 4 ms

        descriptor = self._descriptor
        hasher = hashlib.new(descriptor.digest.partition(":")[0])
        if self._store.has_blob(descriptor):
            yield from self._from_store(hasher)
            return
        waiting = waiter(descriptor, self._report, self._stop)
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
        for chunk in self._source.blob(self._descriptor, done):
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
            raise disk.trouble(self._store.root, f"can't write blob {self._descriptor.digest}", error) from None


def waiter(descriptor: Descriptor, report: Listener, stop: threading.Event) -> Callable[[], None]:
    """What to do while another process holds what we want."""
    told: list[bool] = []

    def wait() -> None:
        if stop.is_set():
            raise ImageError("the pull was given up")
        if not told:
            told.append(True)
            report(Event("waiting", descriptor.digest, total=descriptor.size, text="another process is fetching it"))

    return wait
