"""Bind propagation: whether a container hears of what is mounted on the host later (mount_namespaces(7))."""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pycontainer.oci.grammar.mounts import Mount


def check(mounts: Collection[Mount]) -> None:
    """What is mounted below a source is only told on if the mount that it is on is shared.

    Raises UsageError.
    """
    for mount in mounts:
        words = {word.removeprefix("r") for word in mount.options} & {"shared", "slave"}
        if mount.type != "bind" or not words:
            continue
        point, tags = _mount_of(os.path.realpath(mount.source))
        if not tags & ({"shared"} if "shared" in words else {"shared", "master"}):
            kind = "a shared mount" if "shared" in words else "a shared or slave mount"
            raise UsageError(
                f"{mount.source} is mounted on {point}, but it is not {kind}", hint=f"mount --make-rshared {point}"
            )


def _mount_of(path: str) -> tuple[str, set[str]]:
    """The mount point that a path is below, and its propagation (proc_pid_mountinfo(5), optional fields)."""
    best, tags = "", set[str]()
    with open("/proc/self/mountinfo", errors="surrogateescape") as table:
        for line in table:
            fields = line.split(" ")
            point = fields[4].encode("latin-1", "surrogateescape").decode("unicode_escape", "replace")
            if len(point) >= len(best) and f"{path}/".startswith(point.rstrip("/") + "/"):
                best, tags = point, {word.partition(":")[0] for word in fields[6 : fields.index("-")]}
    return best, tags
