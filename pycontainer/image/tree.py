"""Deleting a directory tree by descriptors: no path is ever resolved, so no symlink in it leads anywhere."""

from __future__ import annotations

import errno
import os

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent: int, name: bytes) -> None:
    """Delete whatever is called ``name`` in the directory ``parent``, and all below it. No error if it is not there.

    A loop with one open directory, as an image may nest deeper than Python recurses or than we may have descriptors.
    The way up is ``..``, checked to be the directory we came from.

    Raises:
        OSError: as from unlinkat(2), or ESTALE if somebody moves directories about meanwhile.
    """
    if not _unlink_or_is_directory(parent, name):
        return
    above: list[tuple[int, bytes, list[bytes]]] = []  # (inode, name, directories left in it) of every level above
    here, here_name = os.open(name, _OPEN, dir_fd=parent), name
    try:
        left = _unlink_files(here)
        while True:
            if left:
                child = left.pop()
                above.append((os.fstat(here).st_ino, here_name, left))
                here, here_name = _move(here, child), child
                left = _unlink_files(here)
            elif above:
                emptied = here_name
                inode, here_name, left = above.pop()
                here = _move(here, b"..")
                if os.fstat(here).st_ino != inode:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), here_name)
                os.rmdir(emptied, dir_fd=here)
            else:
                break
    finally:
        os.close(here)
    os.rmdir(name, dir_fd=parent)


def _move(here: int, name: bytes) -> int:
    """Open a neighbour of a directory in its stead."""
    there = os.open(name, _OPEN, dir_fd=here)
    os.dup2(there, here, inheritable=False)
    os.close(there)
    return here


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
