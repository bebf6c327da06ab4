"""What a plan has to know of the host before it is made."""

from __future__ import annotations

import os
import stat

from pycontainer.errors import HostLacks
from pycontainer.light import cache


def kind_of(path: str) -> str:
    """What a path of the host is: ``directory``, ``file`` for anything else, "" for nothing."""
    return _kind_in_kernel(path) if path.startswith(("/proc/", "/sys/")) else _kind(path)


@cache
def _kind_in_kernel(path: str) -> str:
    """The kernel's own files, of which we ask for the same forty at each start, don't come and go."""
    return _kind(path)


def _kind(path: str) -> str:
    try:
        return "directory" if stat.S_ISDIR(os.stat(path).st_mode) else "file"
    except OSError:
        return ""


OLDEST = (5, 15)  # the kernel that has all calls which the plan can't do without


@cache
def kernel_version() -> tuple[int, int]:
    """(major, minor) of the running kernel.

    Raises HostLacks for one that is older than what the plan's calls need.
    """
    major, minor, *_ = os.uname().release.split(".")
    version = int(major), int(minor.split("-")[0])
    if version < OLDEST:
        raise HostLacks(f"Linux {major}.{minor} is too old: pyc needs 5.15 or later")
    return version
