"""When a container can't have a user namespace of its own on this host, and starts in the host's.

Root in it is then the host's root: that must not happen because of any failure that looks alike. So a cause is one call
with one answer, and where the host can be asked whether that is the reason, it is asked.
"""

from __future__ import annotations

import errno
import os

from pycontainer.core.constants import AT_RECURSIVE
from pycontainer.core.step import INIT, KEEPER, MONITOR, Slot, Struct
from pycontainer.light import suppress
from pycontainer.oci import sysctl
from pycontainer.plan.host import kernel_version
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.core.performer import PlanFailed
    from pycontainer.core.step import Call, Step
    from pycontainer.engine.options import Roots
    from pycontainer.oci.spec import Spec
    from pycontainer.rootfs.overlay import RootFS

STACKS_MAPPED_LAYERS = (5, 19)
"""The kernel whose overlayfs takes id-mapped layers."""


def cause(failed: PlanFailed, mount_point: str) -> str:
    """Why this host gives no user namespace, in words; "" if that is not what made the plan fail."""
    step, call, number = failed.step, failed.call, failed.record.error
    if call.name == "clone3":
        return _no_namespace(call, number)
    if call.name == "pidfd_getfd":
        return _no_descriptor(number)
    if call.name == "write" and call.args[0] == Slot("map"):
        return "the host has not given these ids to us" if number in (errno.EPERM, errno.EINVAL) else ""
    if call.name == "mount_setattr":
        return _no_map(step, call, number)
    if step.role == MONITOR and call.name in ("fsconfig", "mount") and number == errno.EINVAL:
        is_old = kernel_version() < STACKS_MAPPED_LAYERS
        return "overlayfs stacks no id-mapped layers before Linux 5.19" if is_old else ""
    return _not_within(step, call, number, mount_point) if step.role == INIT else ""


def _no_namespace(call: Call, number: int) -> str:
    if call.child != KEEPER:  # init gets other namespaces in the same call, and any of them may be the one
        return ""
    if number in (errno.ENOSPC, errno.EUSERS):
        return "there are as many user namespaces as user.max_user_namespaces allows"
    if number in (errno.EINVAL, errno.EPERM):
        return "the kernel gives us none" if os.path.exists("/proc/self/ns/user") else "this kernel has none"
    return ""


def _no_descriptor(number: int) -> str:
    if number == errno.EPERM and _read("/proc/sys/kernel/yama/ptrace_scope") == "3":
        return "kernel.yama.ptrace_scope=3 lets nobody say which ids its ids are"
    return ""


def _no_map(step: Step, call: Call, number: int) -> str:
    attributes = call.args[3]
    if not isinstance(attributes, Struct) or number not in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP):
        return ""
    before = step.calls[: step.calls.index(call)]
    path = next(arg for other in reversed(before) for arg in other.args if isinstance(arg, str) and arg[:1] == "/")
    flags = call.args[2]
    below = ", or of something mounted below it," if isinstance(flags, int) and flags & AT_RECURSIVE else ""
    return f"the filesystem of {path}{below} can't map ids"


def _not_within(step: Step, call: Call, number: int, mount_point: str) -> str:
    """What init, who is nobody on the host, could not do there."""
    if call.name == "openat" and call.args[1] == mount_point and number == errno.EACCES:
        return f"nobody but its owner may pass through {_closed(mount_point) or mount_point}"
    if call.name in ("fsmount", "fsconfig", "mount") and number == errno.EPERM:
        covered = _covered("/proc") or _covered("/sys")
        return f"{covered} is covered on the host, so no uncovered one may be mounted" if covered else ""
    if step.title == "Set kernel parameters" and number in (errno.EACCES, errno.EPERM):
        return "this kernel lets only the host's root set that kernel parameter"
    return ""


def _closed(path: str) -> str:
    """The first directory above that the host's root may not pass through without a power over files."""
    parts = path.split("/")
    for depth in range(2, len(parts)):
        found = os.stat(directory := "/".join(parts[:depth]))
        bit = 0o100 if found.st_uid == 0 else 0o010 if found.st_gid == 0 else 0o001
        if not found.st_mode & bit:
            return directory
    return ""


_MOUNT_POINTS = (
    *("/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd", "/sys/fs/bpf", "/sys/fs/cgroup", "/sys/fs/fuse/connections"),
    *("/sys/fs/pstore", "/sys/fs/resctrl", "/sys/fs/selinux", "/sys/kernel/config", "/sys/kernel/debug"),
    *("/sys/kernel/security", "/sys/kernel/tracing", "/sys/firmware/efi/efivars"),
)
"""Directories of procfs and sysfs that the kernel has made for other filesystems: these cover nothing."""


def _covered(top: str) -> str:
    """A file or directory of procfs or sysfs that something is mounted over."""
    for line in _read("/proc/self/mountinfo").splitlines():
        place = line.split(" ")[4]
        if place.startswith(f"{top}/") and not any(f"{place}/".startswith(f"{point}/") for point in _MOUNT_POINTS):
            return place
    return ""


def shared(spec: Spec) -> Spec:
    """The same spec for the host's user namespace."""
    linux = spec["linux"].copy()
    linux["namespaces"] = [one for one in spec["linux"]["namespaces"] if one["type"] != "user"]
    del linux["uidMappings"], linux["gidMappings"]
    own = [namespace["type"] for namespace in linux["namespaces"]]
    linux["sysctl"] = spec["linux"].get("sysctl", {}) | sysctl.defaults(own)
    mounts = [
        {**mount, "options": [word for word in mount.get("options", ()) if word not in ("idmap", "ridmap")]}
        for mount in spec["mounts"]
    ]
    return {**spec, "linux": linux, "mounts": mounts}  # type: ignore[typeddict-item]


def mount_again(rootfs: RootFS) -> None:
    """Let an overlay be mounted a second time: one that is volatile refuses that, for the host may have crashed."""
    work = getattr(rootfs, "work", "")
    if work:
        mark = f"{rootfs.base}/{work}/work/incompat/volatile"  # type: ignore[union-attr]
        with suppress(FileNotFoundError):
            os.unlink(mark + "/dirty")
            os.rmdir(mark)


def tell(roots: Roots, reason: str) -> None:
    """Say once for each reason, until the next boot, that a container shares the host's ids."""
    from binascii import crc32

    from pycontainer.engine.notes import note

    with suppress(FileExistsError):
        with open(f"{roots.runroot}/users/told.{crc32(reason.encode()):08x}", "x") as file:
            file.write(reason + "\n")
        note(f"note: no user namespace of its own, so root in it is the host's: {reason}")


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
