"""What a root filesystem is made of. Nothing is mounted here: :mod:`pycontainer.plan.root` turns it into steps."""

from __future__ import annotations

import os
from _thread import get_native_id

from pycontainer.core.kernel import RESOLVE_BENEATH, RESOLVE_NO_XDEV, openat2
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterable


class Overlay(Record):
    """Layers under one writable directory.

    Attributes:
        base: the directory that the other paths are relative to, so that many layers fit into one mount option.
        lowers: the layers, the top one first.
        upper: where changes go, or "" for a read-only tree of at least two layers.
        work: overlay's scratch directory, on the same filesystem as ``upper``.
        volatile: skip syncing at unmount; right where the container is removed when it ends.
        top: a directory with all of these below it, on the mount that it is on itself; "" if there is none.
    """

    base: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    volatile: bool = False
    top: str = ""


class Directory(Record):
    """A directory that is the root filesystem as it is, as in an OCI bundle."""

    path: str


RootFS = Overlay | Directory


def are_together(top: str, paths: Iterable[str]) -> bool:
    """Whether all ``paths``, which are relative to ``top``, are below it and on the very mount that it is on."""
    try:
        directory = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        for path in paths:
            os.close(openat2(directory, path, os.O_PATH, resolve=RESOLVE_BENEATH | RESOLVE_NO_XDEV))
    except OSError:  # EXDEV: another mount; ENOENT: it can't be made, and whoever makes it says why
        return False
    finally:
        os.close(directory)
    return True


_DIRECTORIES = ("proc", "sys", "dev", "etc")
_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")


def skeleton(root: str) -> str:
    """The path of a layer of empty mount points that goes below every image.

    An image may lack /proc or /etc/hosts. Without this layer they would be made in each container's own: slow to make
    and to delete, and they would show up as changes of the container's.
    """
    return f"{root}/skeleton"


def make_skeleton(root: str) -> None:
    """Make that layer, once."""
    path = skeleton(root)
    if os.path.isdir(path):
        return
    unfinished = f"{path}.{get_native_id()}"  # a thread's own: several may start the first container of a store
    for directory in _DIRECTORIES:
        os.makedirs(f"{unfinished}/{directory}", 0o755, exist_ok=True)
    for file in _FILES:
        with open(f"{unfinished}/{file}", "w") as opened:
            os.fchmod(opened.fileno(), 0o644)
    for directory in ("", *_DIRECTORIES):
        os.chmod(f"{unfinished}/{directory}", 0o755)
    try:
        os.rename(unfinished, path)
    except OSError:  # another process was quicker
        from shutil import rmtree

        rmtree(unfinished)
