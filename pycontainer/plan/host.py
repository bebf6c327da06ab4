"""What a plan has to know of the host before it is made."""

from __future__ import annotations

import os
import stat

from pycontainer.core.constants import RLIMITS
from pycontainer.errors import HostLacks
from pycontainer.light import cache
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec


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


def oom_score(spec: Spec) -> int:
    """Our own oom_score_adj, if the container is to have another; else 0."""
    if not spec["process"].get("oomScoreAdj"):
        return 0
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


def exceeded(spec: Spec) -> tuple[tuple[str, int, int], ...]:
    """The rlimits whose hard limit is to be higher than ours: name, our soft limit, the hard limit it is to have."""
    asked = spec["process"].get("rlimits")
    if not asked:
        return ()
    import resource  # +0.2 ms

    found: list[tuple[str, int, int]] = []
    for limit in asked:
        if limit["type"] not in RLIMITS:
            continue  # plan/limits.py refuses it
        soft, hard = (own if own >= 0 else 2**64 - 1 for own in resource.getrlimit(RLIMITS[limit["type"]]))
        if limit["hard"] > hard:
            found.append((limit["type"], soft, limit["hard"]))
    return tuple(found)


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
