"""The root filesystem: stacked by overlay, then made the only one there is by pivot_root."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.plan.mounts import PROPAGATION
from pycontainer.plan.slots import ROOT
from pycontainer.rootfs.overlay import Directory, Overlay, RootFS

LOWERDIR_PLUS = (6, 5)  # the kernel that takes overlay's layers one by one


def leave_propagation() -> tuple[Step, ...]:
    """Before the first mount, or it would appear on the host too."""
    return (
        Step(
            "Stop mounts from spreading to the host",
            "A new mount namespace is a copy whose mounts still tell the host's of changes; as slaves they only listen",
            INIT,
            (calls.mount(None, "/", None, k.MS_REC | k.MS_SLAVE),),
            "mount_namespaces(7)",
            Proof("/proc/{pid}/mountinfo", " / / "),
        ),
    )


def take(rootfs: RootFS, *, outside: bool) -> tuple[Step, ...]:
    """Take a root directory from outside of the new namespaces, where a user namespace would lock its flags."""
    return (_directory(rootfs, MONITOR),) if outside and isinstance(rootfs, Directory) else ()


def assemble(rootfs: RootFS, mount_point: str, kernel: tuple[int, int], *, taken: bool = False) -> tuple[Step, ...]:
    """Make the new root a mount, attached at ``mount_point``: pivot_root wants a mount point.

    ``taken``: :func:`take` has been there already.
    """
    if isinstance(rootfs, Overlay) and kernel < LOWERDIR_PLUS:
        return (_overlay_by_options(rootfs, mount_point),)
    target = Slot("mount point")
    if isinstance(rootfs, Overlay):
        made: tuple[Step, ...] = (_overlay(rootfs),)
    else:
        made = () if taken else (_directory(rootfs, INIT),)
    return (
        *made,
        Step(
            "Attach the new root",
            "pivot_root only accepts a mount point, and a mount becomes one when it is attached",
            INIT,
            (
                calls.openat(k.AT_FDCWD, mount_point, k.O_PATH | k.O_DIRECTORY, out=target),
                calls.move_mount(ROOT, target),
            ),
            "move_mount(2)",
            Proof("/proc/{pid}/mountinfo", f" {mount_point} "),
        ),
    )


# With these a directory of the upper layer would be described by the layers below it, so that it could not be read,
# copied or made an image without them. Some kernels have them on by default.
_OFF = ("redirect_dir", "metacopy")

STACK = "Stack the layers"
STACK_WHY = "Overlay shows read-only layers, top first, and one writable directory on them, as a single tree"


def _overlay(rootfs: Overlay) -> Step:
    fs = Slot("overlay")
    parameters = [calls.fsconfig(fs, k.FSCONFIG_SET_STRING, "lowerdir+", lower) for lower in rootfs.lowers]
    if rootfs.upper:
        parameters.append(calls.fsconfig(fs, k.FSCONFIG_SET_STRING, "upperdir", rootfs.upper))
        parameters.append(calls.fsconfig(fs, k.FSCONFIG_SET_STRING, "workdir", rootfs.work))
    parameters += [calls.fsconfig(fs, k.FSCONFIG_SET_STRING, option, "off") for option in _OFF]
    if rootfs.volatile:
        parameters.append(calls.fsconfig(fs, k.FSCONFIG_SET_FLAG, "volatile"))
    return Step(
        STACK,
        STACK_WHY,
        INIT,
        (
            calls.chdir(rootfs.base),
            calls.fsopen("overlay", out=fs),
            calls.fsconfig(fs, k.FSCONFIG_SET_STRING, "source", "overlay"),
            *parameters,
            calls.fsconfig(fs, k.FSCONFIG_CMD_CREATE),
            calls.fsmount(fs, k.MOUNT_ATTR_NODEV, out=ROOT),
            calls.close(fs),
        ),
        "fsopen(2)",
        Proof("/proc/{pid}/fd"),
    )


def _overlay_by_options(rootfs: Overlay, mount_point: str) -> Step:
    """For kernels whose fsconfig takes no list of layers: one mount(2), whose options must fit into a page."""
    options = "lowerdir=" + ":".join(rootfs.lowers)
    if rootfs.upper:
        options += f",upperdir={rootfs.upper},workdir={rootfs.work}"
    options += "".join(f",{option}=off" for option in _OFF)
    if rootfs.volatile:
        options += ",volatile"
    return Step(
        STACK,
        STACK_WHY,
        INIT,
        (
            calls.chdir(rootfs.base),
            calls.mount("overlay", mount_point, "overlay", k.MS_NODEV, options),
            calls.openat(k.AT_FDCWD, mount_point, k.O_PATH | k.O_DIRECTORY, out=ROOT),
        ),
        "mount(2)",
        Proof("/proc/{pid}/mountinfo", f" {mount_point} "),
    )


def _directory(rootfs: Directory, where: str) -> Step:
    return Step(
        "Take the root directory",
        "A clone of the mount that the directory is on, with the directory as its root",
        where,
        (
            calls.open_tree(k.AT_FDCWD, rootfs.path, k.OPEN_TREE_CLONE | k.AT_RECURSIVE, out=ROOT),
            calls.mount_setattr(ROOT, k.AT_RECURSIVE, propagation=k.MS_PRIVATE),
        ),
        "open_tree(2)",
    )


def pivot() -> tuple[Step, ...]:
    """The new root becomes /, and the host's tree is let go."""
    return (
        Step(
            "Change the root",
            "pivot_root swaps the root mounts, so that the host's tree can be unmounted; chroot would only hide it",
            INIT,
            (
                calls.fchdir(ROOT),
                calls.pivot_root(".", "."),  # the old root now lies on top of the new one, at the same place
                calls.umount2(".", k.MNT_DETACH),
                calls.chdir("/"),
            ),
            "pivot_root(2)",
            Proof("/proc/{pid}/root"),
        ),
    )


def move() -> tuple[Step, ...]:
    """Where the root is a ramdisk, which pivot_root can't let go: the new root covers the old one."""
    return (
        Step(
            "Cover the root",
            "A ramdisk can't be unmounted, so the new root is moved on top of it; who keeps a way below has it all",
            INIT,
            (calls.fchdir(ROOT), calls.mount(".", "/", None, k.MS_MOVE), calls.chroot("."), calls.chdir("/")),
            "mount(2)",
            Proof("/proc/{pid}/root"),
        ),
    )


def propagation(wanted: str) -> tuple[Step, ...]:
    """How mounts below the new root spread, with rootfsPropagation's names."""
    if not wanted:
        return ()
    recursive = wanted.startswith("r")
    kind = PROPAGATION.get(wanted.removeprefix("r"))
    if kind is None:
        raise UsageError(f"linux.rootfsPropagation: {wanted!r} is none of {', '.join(PROPAGATION)}")
    return (
        Step(
            "Say how mounts below the root spread",
            "After pivot_root, which does not take a shared mount",
            INIT,
            (calls.mount_setattr(ROOT, k.AT_RECURSIVE if recursive else 0, propagation=kind),),
            "mount_namespaces(7)",
            Proof("/proc/{pid}/mountinfo", " / / "),
        ),
    )


def read_only() -> tuple[Step, ...]:
    """After the last mount point has been made in it."""
    return (
        Step(
            "Make the root read-only",
            "The flag is the mount's, not the filesystem's; what is mounted below keeps its own",
            INIT,
            (calls.mount_setattr(ROOT, 0, set=k.MOUNT_ATTR_RDONLY),),
            "mount_setattr(2)",
            Proof("/proc/{pid}/mountinfo", " / / "),
        ),
    )
