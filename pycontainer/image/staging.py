"""What is not whole yet.

Half-made things live in ROOT/tmp under names that follow from their digest, and their maker holds a flock on them. So
two processes that want the same blob meet at its file: one makes it, the other waits. A maker that was killed
has lost its lock; its partial blob is continued by the next one who wants it, its half-unpacked layer is swept. A
partial blob's name has the boot id as well: after a reboot nobody knows how much of it has reached the disk.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from itertools import count

from pycontainer.core.failpoint import hit
from pycontainer.image import unsynced
from pycontainer.image.disk import drop_ballast, is_full, trouble, unlink
from pycontainer.image.tree import remove_tree
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from pycontainer.image.model import LayerFacts
    from pycontainer.image.places import Places

PARTIAL_BLOB_LIFE = 24 * 3600
"""Seconds that an abandoned partial blob waits to be continued."""
_LOCK_POLL = 0.05


_numbers = count()


def fresh(store: Places, kind: str) -> str:
    """A path for something half made that no other process or thread has."""
    return f"{store.staging}/{kind}.{os.getpid()}.{time.monotonic_ns()}.{next(_numbers)}"


def write_file(store: Places, path: str, data: bytes, *, sync: bool = False) -> None:
    """Make or replace a small file, all or nothing; on a full disk with the help of the ballast.

    Raises:
        StoreError: the disk is full, read-only, ...
    """
    temporary = fresh(store, "file")
    while True:
        try:
            return _write_file(temporary, path, data, sync=sync)
        except OSError as error:
            unlink(temporary)
            if not is_full(error) or not drop_ballast(store.root):
                raise trouble(store.root, f"can't write {path}", error) from None


def _write_file(temporary: str, path: str, data: bytes, *, sync: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = claim(temporary, lambda: os.open(temporary, flags, 0o600))
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if sync:
            os.fsync(fd)
        hit("file.written")
        os.rename(temporary, path)  # while its lock keeps sweepers away
    finally:
        os.close(fd)


def lock(fd: int, waiting: Callable[[], None]) -> None:
    """Take the flock of an open file; ``waiting`` is called before each further try and may raise to give up."""
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a blocking flock could not be cancelled
            waiting()
            time.sleep(_LOCK_POLL)


def claim(path: str, make: Callable[[], int], waiting: Callable[[], None] = lambda: None) -> int:
    """Open and lock what is at a path, until what we locked is still what is there: no sweeper was in between."""
    while True:
        fd = make()
        try:
            lock(fd, waiting)
            found = os.stat(path, follow_symlinks=False)
            if os.path.samestat(found, os.fstat(fd)):
                return fd
        except FileNotFoundError:  # its maker finished, and renamed or removed it
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


class PartialBlob:
    """A blob while it is being downloaded. Having one means holding its lock.

    Attributes:
        fd: open for reading and writing.
        done: bytes of it that are already there.
    """

    def __init__(self, store: Places, digest: str, waiting: Callable[[], None]) -> None:
        self._store, self._digest = store, digest
        self._path = f"{store.staging}/blob.{unsynced.boot_id()}.{digest.replace(':', '-')}"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.fd = claim(self._path, lambda: os.open(self._path, flags, 0o600), waiting)
        except OSError as error:
            raise trouble(store.root, f"can't make {self._path}", error) from None
        self.done = os.fstat(self.fd).st_size

    def commit(self) -> None:
        """Put the finished and verified blob in its place."""
        hit("blob.whole")
        unsynced.mark(self._store, f"blob.{self._digest}")
        hit("blob.marked")
        into_place(self._store, self._path, self._store.blob_path(self._digest))
        hit("blob.placed")

    def discard(self) -> None:
        """Throw away bytes that turned out wrong."""
        unlink(self._path)

    def close(self) -> None:
        """Release the lock; what is there stays for whoever continues."""
        if self.fd >= 0:
            if os.fstat(self.fd).st_size == 0:
                self.discard()
            os.close(self.fd)
            self.fd = -1


class PartialLayer:
    """A layer while it is being unpacked. Having one means holding its lock.

    As a context manager it ends with the block, and what was not committed in there is gone.

    Attributes:
        fs: descriptor of the empty directory to unpack into.
    """

    def __init__(self, store: Places, diff_id: str, waiting: Callable[[], None]) -> None:
        self._store, self._diff_id = store, diff_id
        name = f"layer.{os.path.basename(store.layer_path(diff_id))}"
        self._path = f"{store.staging}/{name}"
        self._is_ours = True
        self.fs = -1
        try:
            self._fd = claim(self._path, self._make, waiting)
        except OSError as error:
            raise trouble(store.root, f"can't make {self._path}", error) from None

    def _make(self) -> int:
        while True:
            with suppress(FileExistsError):
                os.mkdir(self._path, 0o700)
            try:
                return os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue

    def begin(self) -> int:
        """Empty it of what a dead maker left, and open the directory to unpack into."""
        for name in os.listdir(self._fd):
            remove_tree(self._fd, os.fsencode(name))
        _spread(self._store.staging)
        try:
            self._place()
        except OSError as error:
            raise trouble(self._fd, f"can't make {self._path}/fs", error) from None
        self.fs = os.open("fs", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        return self.fs

    def _place(self) -> None:
        """Make the directory below one that spreads, and then move it here: ext4 chooses a place when it makes one."""
        while True:
            made = fresh(self._store, "layer")
            os.mkdir(made, 0o700)
            with suppress(FileNotFoundError):  # somebody sweeps, and took it for a dead process's
                return os.rename(made, f"{self._path}/fs")

    def __enter__(self) -> Self:
        """Nothing more: it is locked already."""
        return self

    def __exit__(self, *error: object) -> None:
        """Throw it away, unless it was to be put in its place."""
        if self._is_ours:
            self.discard()
        self.close()

    def commit(self, facts: LayerFacts) -> None:
        """Describe the finished and verified layer, and put it in its place."""
        import json  # +4 ms; people read this file, so it is indented

        self._is_ours = False  # from the rename on, what has its name in ROOT/tmp is another process's
        hit("layer.unpacked")
        place = self._store.layer_path(self._diff_id)
        described = json.dumps({"diff_id": self._diff_id, **facts._asdict()}, indent=1)
        write_file(self._store, f"{self._path}/layer.json", described.encode())
        hit("layer.described")
        unsynced.mark(self._store, f"layer.{self._diff_id}")
        trash(self._store, place)  # nothing, or a damaged one
        into_place(self._store, self._path, place)
        hit("layer.placed")

    def discard(self) -> None:
        """Remove everything that was unpacked."""
        trash(self._store, self._path)

    def close(self) -> None:
        """Release the lock."""
        for fd in (self.fs, self._fd):
            if fd >= 0:
                os.close(fd)
        self.fs = self._fd = -1


_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHIES = 0x80086601, 0x40086602, 0x20000  # linux/fs.h: FS_IOC_*, FS_TOPDIR_FL


def _spread(path: str) -> None:
    """Have ext4 give each directory made in this one a block group of its own (chattr(1), "T").

    A group where many files were deleted in the last minutes is slow to make files in, if there is no journal, as on
    many disks of VMs: before it takes an inode ext4 looks at all those that it must not use again yet. After
    an ``rmi`` of 14,000 files each new one took 160 microseconds instead of 15.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, _GET_FLAGS, bytes(4)), sys.byteorder)
        if not flags & _TOP_OF_HIERARCHIES:
            fcntl.ioctl(fd, _SET_FLAGS, (flags | _TOP_OF_HIERARCHIES).to_bytes(4, sys.byteorder))
    except OSError:
        pass  # another filesystem
    finally:
        os.close(fd)


def into_place(store: Places, path: str, place: str) -> None:
    """Rename what is whole to where it is looked for.

    Raises:
        StoreError: the disk is full.
    """
    try:
        os.rename(path, place)
    except OSError as error:
        raise trouble(store.root, f"can't make {place}", error) from None


def trash(store: Places, path: str) -> None:
    """Delete a directory, which is gone from its place at once."""
    doomed = fresh(store, "trash")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        with suppress(BlockingIOError):  # the lock is ours already
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # so that no sweeper joins in
        os.rename(path, doomed)
        _remove(store, os.path.basename(doomed))
    except FileNotFoundError:
        return  # somebody was faster
    finally:
        os.close(fd)


def _remove(store: Places, name: str) -> None:
    fd = os.open(store.staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(fd, os.fsencode(name))
    finally:
        os.close(fd)


def sweep(store: Places, *, partial_blob_life: float = PARTIAL_BLOB_LIFE) -> None:
    """Delete what dead processes left in ROOT/tmp. What somebody holds, and a fresh partial blob of this boot, stay."""
    try:
        names = os.listdir(store.staging)
    except FileNotFoundError:
        return
    fresh = f"blob.{unsynced.boot_id()}."
    for name in names:
        path = f"{store.staging}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            age = time.time() - os.fstat(fd).st_mtime
            if name.startswith("layer."):
                trash(store, path)
            elif name.startswith("trash."):
                _remove(store, name)
            elif not name.startswith(fresh) or age > partial_blob_life:
                unlink(path)
        except BlockingIOError:
            continue
        finally:
            os.close(fd)
