"""Walking a directory tree by descriptors: no path is ever resolved, so no symlink in it leads anywhere.

A loop with one open directory, as an image may nest deeper than Python recurses or than we may have descriptors.
The way up is ``..``, checked to be the directory we came from.
"""

from __future__ import annotations

import errno
import os

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def directories(root: int) -> Iterator[int]:
    """A descriptor of every directory below ``root``, children before their parents, and ``root`` itself last.

    It is valid until the next one is asked for.

    Raises:
        OSError: as from open(2), or ESTALE if somebody moves directories about meanwhile.
    """
    here = os.open(b".", _OPEN, dir_fd=root)
    try:
        for fd, below in _walk(here, _subdirectories):
            if not below:
                yield fd
    finally:
        os.close(here)


def remove_tree(parent: int, name: bytes) -> None:
    """Delete whatever is called ``name`` in the directory ``parent``, and all below it. No error if it is not there.

    Raises:
        OSError: as from unlinkat(2), or ESTALE if somebody moves directories about meanwhile.
    """
    if not _unlink_or_is_directory(parent, name):
        return
    here = os.open(name, _OPEN, dir_fd=parent)
    try:
        for fd, below in _walk(here, _unlink_files):
            if below:
                os.rmdir(below, dir_fd=fd)
    finally:
        os.close(here)
    os.rmdir(name, dir_fd=parent)


def _walk(here: int, enter: Callable[[int], list[bytes]]) -> Iterator[tuple[int, bytes]]:
    """Walk with one descriptor, ``here``, which moves. ``enter`` lists the directories to go into.

    Yields (here, b"") when all below a directory is done, then (its parent, its name) one level up.
    """
    above: list[tuple[int, bytes, list[bytes]]] = []  # (inode, name, directories to do) of every level above
    name, to_do = b"", enter(here)
    while True:
        while to_do:
            child = to_do.pop()
            above.append((os.fstat(here).st_ino, name, to_do))
            _move(here, child)
            name, to_do = child, enter(here)
        yield here, b""
        if not above:
            return
        done = name
        inode, name, to_do = above.pop()
        _move(here, b"..")
        if os.fstat(here).st_ino != inode:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), name)
        yield here, done


def _move(here: int, name: bytes) -> None:
    """Make a descriptor of a directory one of its neighbour."""
    there = os.open(name, _OPEN, dir_fd=here)
    os.dup2(there, here, inheritable=False)
    os.close(there)


def _subdirectories(directory: int) -> list[bytes]:
    with os.scandir(directory) as entries:
        return [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _unlink_files(directory: int) -> list[bytes]:
    """Unlink all but directories, whose names are returned."""
    return [name for name in map(os.fsencode, os.listdir(directory)) if _unlink_or_is_directory(directory, name)]


def _unlink_or_is_directory(parent: int, name: bytes) -> bool:
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        return True
    except FileNotFoundError:
        pass
    return False
