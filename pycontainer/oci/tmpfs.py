"""Empty filesystems that begin with what they cover (``tmpcopyup``), which podman asks for at /run and its like."""

from __future__ import annotations

import os
import stat

from pycontainer.core.kernel import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from pycontainer.oci import log
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs import copyup

if TYPE_CHECKING:
    from collections.abc import Iterable


def fill(pid: int, copied: Iterable[tuple[str, int]]) -> None:
    """Copy directories to mount points in the root of process ``pid``, before anybody's program runs in it.

    ``copied``: each mount point, and the directory that it covers, which is closed. Raises OSError.
    """
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    except PermissionError:
        log.warning("mounts[].options: tmpcopyup is not done without root, who alone may look into the container")
        return
    try:
        for destination, source in copied:
            _fill(root, destination, source)
            os.close(source)
    finally:
        os.close(root)


def _fill(root: int, destination: str, source: int) -> None:
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
    target = openat2(root, destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0, resolve)
    try:
        own = os.fstat(target)  # as the options of the mount say
        copyup.copy_up(source, target)
        os.fchown(target, own.st_uid, own.st_gid)
        os.fchmod(target, stat.S_IMODE(own.st_mode))
    finally:
        os.close(target)
