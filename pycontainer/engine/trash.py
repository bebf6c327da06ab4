"""The trash: what is removed goes out of sight at once, by a rename; then it is deleted, file by file."""

from __future__ import annotations

import fcntl
import os

from pycontainer.image.tree import remove_tree
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


def directory(roots: Roots) -> str:
    """Where it is: on the same filesystem as all that is removed."""
    return roots.root + "/trash"


def empty(roots: Roots) -> None:
    """Delete what discarded containers have left, unless somebody else is at it.

    One that wrote nothing leaves some empty directories. Deleting them takes a millisecond, so that is left to the next
    start, which does it while it waits for the kernel.
    """
    with suppress(OSError):
        trash = os.open(directory(roots), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(trash, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in os.listdir(trash):
                with suppress(OSError):
                    delete(directory(roots), name)
        finally:
            os.close(trash)


_RECORDS = ("container.json", "config.json", "life", "log", "name", "hosts", "hostname", "resolv.conf")
_FILES = (*_RECORDS, "work/work/incompat/volatile/dirty")
_DIRECTORIES = ("work/work/incompat/volatile", "work/work/incompat", "work/work", "work", "upper", "")
"""What most containers leave: our files, and overlay's marks where no container can write."""


def delete(directory: str, name: str) -> None:
    """Delete what has that name there, if anything has, following no link; it is looked into only if there is more."""
    with suppress(OSError):
        for file in _FILES:
            os.unlink(f"{directory}/{name}/{file}")
        for below in _DIRECTORIES:
            os.rmdir(f"{directory}/{name}/{below}")
        return
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):
            remove_tree(parent, name.encode())
    finally:
        os.close(parent)
