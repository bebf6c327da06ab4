"""System calls that Python's ``os`` lacks. They raise OSError, as those of ``os`` do."""

from __future__ import annotations

import os

from pycontainer.core import _core
from pycontainer.core.constants import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)

__all__ = [
    "RESOLVE_BENEATH",
    "RESOLVE_IN_ROOT",
    "RESOLVE_NO_MAGICLINKS",
    "RESOLVE_NO_SYMLINKS",
    "RESOLVE_NO_XDEV",
    "connect",
    "fsconfig",
    "fsmount",
    "fsopen",
    "listen",
    "make_files_as",
    "openat2",
    "pidfd_send_signal",
    "socketpair",
    "spawn",
]


def _checked(result: int, *what: object) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result), *what)
    return result


def openat2(dirfd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open ``path`` below ``dirfd`` under the rules of ``resolve`` (RESOLVE_*); the descriptor is close-on-exec.

    Source: openat2(2). Raises OSError, EAGAIN included when a rename raced with ``..``.
    """
    raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    return _checked(_core.lib.pyc_openat2(dirfd, raw, flags | os.O_CLOEXEC, mode, resolve), path)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Signal exactly the process that ``pidfd`` names. Source: pidfd_send_signal(2)."""
    _checked(_core.lib.pyc_pidfd_send_signal(pidfd, signal))


SOCK_STREAM, SOCK_SEQPACKET = 1, 5


def socketpair(kind: int) -> tuple[int, int]:
    """Two connected sockets of the family AF_UNIX, as plain descriptors: `socket` takes 2 ms to load.

    Source: socketpair(2); ``kind`` is SOCK_STREAM or SOCK_SEQPACKET.
    """
    ends = _core.ffi.new("int[2]")
    _checked(_core.lib.pyc_socketpair(kind, ends))
    return int(ends[0]), int(ends[1])


def listen(path: str) -> int:
    """A new socket of the family AF_UNIX at ``path``, for one to connect at a time. Source: unix(7)."""
    return _checked(_core.lib.pyc_listen(os.fsencode(path)), path)


def connect(path: str) -> int:
    """A socket that is connected to the one at ``path``. Source: unix(7)."""
    return _checked(_core.lib.pyc_connect(os.fsencode(path)), path)


def fsopen(type: str) -> int:
    """A context in which a filesystem of that type can be configured. Source: fsopen(2)."""
    return _checked(_core.lib.pyc_fsopen(type.encode()), type)


def fsconfig(fs: int, command: int, key: str = "", value: str = "") -> None:
    """Set a parameter of it, or with FSCONFIG_CMD_CREATE make it. Source: fsconfig(2)."""
    ffi = _core.ffi
    words = [ffi.new("char[]", os.fsencode(word)) if word else ffi.NULL for word in (key, value)]
    _checked(_core.lib.pyc_fsconfig(fs, command, *words), key)


def fsmount(fs: int, attributes: int) -> int:
    """Make a mount of it that is attached nowhere, and goes with the descriptor returned. Source: fsmount(2)."""
    return _checked(_core.lib.pyc_fsmount(fs, attributes))


def make_files_as(id: int) -> None:
    """Make this thread's files belong to the user and group ``id``, and keep all capabilities; 0 is root again.

    Where root is not among the ids of an id-mapped mount it can make nothing. Source: setfsuid(2), capabilities(7).
    """
    _checked(_core.lib.pyc_make_files_as(id))


def spawn(executable: int, descriptors: list[int], argv: list[str], cgroup: int = -1) -> tuple[int, int]:
    """Start an open executable with ``descriptors`` as 3, 4, ... and nothing else of this process.

    It is born in the v2 cgroup whose directory ``cgroup`` is open on; -1: where this process is.
    Returns (pid, pidfd). Source: clone(2) with CLONE_VM|CLONE_VFORK|CLONE_PIDFD, or clone3 with CLONE_INTO_CGROUP too;
    then execveat(2).
    """
    ffi = _core.ffi
    strings = [ffi.new("char[]", item.encode()) for item in argv]
    pidfd = ffi.new("int *")
    pid = _core.lib.pyc_spawn(executable, descriptors, len(descriptors), [*strings, ffi.NULL], cgroup, pidfd)
    return _checked(pid, "the performer"), int(pidfd[0])
