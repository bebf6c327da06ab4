"""An overlay that nobody sees: a mount that is attached nowhere, and exists while its descriptor is open.

What a container that does not run looks like has to be shown to ``cp``, ``export`` and ``diff``. Attached anywhere,
such a mount would be left behind by a SIGKILL and be in everybody's way; as a descriptor it goes with the process.
Sources: fsopen(2), fsmount(2); Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from pycontainer.core import constants as k
from pycontainer.core.kernel import fsconfig, fsmount, fsopen
from pycontainer.errors import HostLacks, NotFound
from pycontainer.light import ExitStack, contextmanager

_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def overlay(lowers: Sequence[str], upper: str = "", work: str = "") -> Iterator[int]:
    """Stack directories, the top one first; with ``upper`` what is written goes there, else nothing can be.

    Yields a descriptor for use with the ``*at`` calls only (it is like one of O_PATH).

    Raises:
        NotFound: one of the directories is not there.
        HostLacks: no overlayfs, or more layers than a kernel takes that can't be given them one by one (before 6.5).
    """
    mount = _mount(lowers, upper, work)
    try:
        yield mount
    finally:
        os.close(mount)


def _mount(lowers: Sequence[str], upper: str, work: str) -> int:
    with ExitStack() as held:
        descriptors = "/dev/fd" if os.path.islink("/dev/fd") else "/proc/self/fd"

        def name(path: str) -> str:
            """A path without colons and commas, which would end it, and short, so that many fit into one parameter."""
            directory = _open(path)
            held.callback(os.close, directory)
            return f"{descriptors}/{directory}"

        below, above = [name(lower) for lower in lowers], []
        if upper:
            above = [("upperdir", name(upper)), ("workdir", name(work))]
        try:
            return _made(_context(), [*(("lowerdir+", lower) for lower in below), *above])
        except OSError as error:  # before 6.5, the kernel takes any parameter, and looks at them when all are there
            return _older(below, above, error)


_LONGEST = 255
"""Bytes of a parameter: fsconfig(2)."""


def _older(below: list[str], above: list[tuple[str, str]], refused: OSError) -> int:
    """Linux before 6.5 takes its layers as one parameter, and before 6.15 none that is a mount attached nowhere."""
    together = ":".join(below)
    if len(together) > _LONGEST:
        raise HostLacks(
            f"can't stack {len(below)} layers one by one ({os.strerror(refused.errno or 0).lower()})",
            hint="this takes Linux 6.5",
        ) from None
    return _made(_context(), [("lowerdir", together), *above])


def _context() -> int:
    try:
        fs = fsopen("overlay")
    except OSError as error:
        raise HostLacks(f"can't stack layers: fsopen overlay: {os.strerror(error.errno or 0).lower()}") from None
    fsconfig(fs, k.FSCONFIG_SET_STRING, "source", "overlay")
    return fs


def _made(fs: int, parameters: list[tuple[str, str]]) -> int:
    """The mount of a context, with some more parameters; the context is closed."""
    try:
        for key, value in parameters:
            fsconfig(fs, k.FSCONFIG_SET_STRING, key, value)
        fsconfig(fs, k.FSCONFIG_CMD_CREATE)
        return fsmount(fs, k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOSUID)
    finally:
        os.close(fs)


def _open(path: str) -> int:
    try:
        return os.open(path, _OPEN)
    except FileNotFoundError:
        raise NotFound(f"layer {path} is missing", hint="'pyc system check --repair' brings it back") from None
