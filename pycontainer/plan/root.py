"""The root filesystem: taken, or stacked (plan/layers.py), and then made the only one there is by pivot_root."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.light import cache
from pycontainer.plan.mounts import PROPAGATION
from pycontainer.plan.slots import ROOT
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs.overlay import Directory

if TYPE_CHECKING:
    from pycontainer.rootfs.overlay import RootFS


@cache
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


def take(rootfs: RootFS, mount_point: str, kernel: tuple[int, int], *, owner: int) -> tuple[Step, ...]:
    """For a user namespace, make the root outside: inside, the flags of mounts are locked, and no ids can be mapped.

    ``owner`` is the host's id that root is there.
    """
    if isinstance(rootfs, Directory):
        return (_directory(rootfs, MONITOR),)
    from pycontainer.plan import layers  # a bundle of another engine's has none

    return layers.take(rootfs, mount_point, kernel, owner)


def assemble(rootfs: RootFS, mount_point: str, kernel: tuple[int, int], *, taken: bool = False) -> tuple[Step, ...]:
    """Make the new root a mount, attached at ``mount_point``: pivot_root wants a mount point.

    ``taken``: :func:`take` has been there already.
    """
    if taken:
        made: tuple[Step, ...] = ()
    elif isinstance(rootfs, Directory):
        made = (_directory(rootfs, INIT),)
    else:
        from pycontainer.plan import layers

        made = layers.stack(rootfs, mount_point, kernel)
        if kernel < layers.LOWERDIR_PLUS:
            return made  # attached already
    target = Slot("mount point")
    return (
        *made,
        Step(
            "Attach the new root",
            "pivot_root only accepts a mount point, and a mount becomes one when it is attached",
            INIT,
            (
                calls.openat(k.AT_FDCWD, mount_point, k.O_PATH | k.O_DIRECTORY, out=target),
                calls.move_mount(ROOT, target),
                calls.close(target),  # it is the host's directory, and not what covers it now
            ),
            "move_mount(2)",
            Proof("/proc/{pid}/mountinfo", f" {mount_point} "),
            field="root.path",
        ),
    )


def leave_layers(rootfs: RootFS, kernel: tuple[int, int]) -> tuple[Step, ...]:
    """Init closes what the root was stacked of, before it needs a descriptor by its number (plan/users.py)."""
    if isinstance(rootfs, Directory):
        return ()
    from pycontainer.plan import layers

    return layers.leave(rootfs, kernel)


def let_go_of_layers(rootfs: RootFS, kernel: tuple[int, int]) -> tuple[Step, ...]:
    """So does the monitor, after init: a detached mount goes with its last descriptor."""
    if isinstance(rootfs, Directory):
        return ()
    from pycontainer.plan import layers

    return layers.let_go(rootfs, kernel)


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
        field="root.path",
    )


@cache
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
            field="root.path",
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
            field="root.path",
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
            field="linux.rootfsPropagation",
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
            field="root.readonly",
        ),
    )
