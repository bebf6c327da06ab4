"""An overlay that nobody sees: a mount that is attached nowhere, and exists while its descriptor is open.

What a container that does not run looks like has to be shown to ``cp``, ``export`` and ``diff``. Attached anywhere,
such a mount would be left behind by a SIGKILL and be in everybody's way; as a descriptor it goes with the process.
Sources: fsopen(2), fsmount(2); Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from pycontainer.core import constants as k
from pycontainer.core.kernel import fsconfig, fsmount, fsopen
from pycontainer.errors import HostLacks, NotFound

_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def overlay(lowers: Sequence[str], upper: str = "", work: str = "") -> Iterator[int]:
    """Stack directories, the top one first; with ``upper`` what is written goes there, else nothing can be.

    Yields a descriptor for use with the ``*at`` calls only (it is like one of O_PATH).

    Raises:
        NotFound: one of the directories is not there.
        HostLacks: no overlayfs, or a kernel that can't be given layers one by one (before 6.5).
    """
    mount = _mount(lowers, upper, work)
    try:
        yield mount
    finally:
        os.close(mount)


def _mount(lowers: Sequence[str], upper: str, work: str) -> int:
    keys = [("lowerdir+", lower) for lower in lowers] + ([("upperdir", upper), ("workdir", work)] if upper else [])
    with contextlib.ExitStack() as held:
        try:
            fs = fsopen("overlay")
        except OSError as error:
            raise HostLacks(f"can't stack layers: fsopen overlay: {os.strerror(error.errno or 0).lower()}") from None
        held.callback(os.close, fs)
        fsconfig(fs, k.FSCONFIG_SET_STRING, "source", "overlay")
        for key, path in keys:
            directory = _open(path)
            held.callback(os.close, directory)
            try:  # a parameter is 255 bytes at most, and a colon or comma in a path would end it
                fsconfig(fs, k.FSCONFIG_SET_STRING, key, f"/proc/self/fd/{directory}")
            except OSError as error:
                raise HostLacks(
                    f"can't stack layers one by one ({key}: {os.strerror(error.errno or 0).lower()})",
                    hint="this takes Linux 6.5",
                ) from None
        fsconfig(fs, k.FSCONFIG_CMD_CREATE)
        return fsmount(fs, k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOSUID)


def _open(path: str) -> int:
    try:
        return os.open(path, _OPEN)
    except FileNotFoundError:
        raise NotFound(f"layer {path} is missing", hint="'pyc system check --repair' brings it back") from None
