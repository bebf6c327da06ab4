"""The root filesystem: stacked by overlay, then made the only one there is by pivot_root."""

from __future__ import annotations

import os

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.light import cache
from pycontainer.plan.mounts import PROPAGATION
from pycontainer.plan.slots import ROOT, USERS
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs.overlay import Directory, Overlay, RootFS

if TYPE_CHECKING:
    from collections.abc import Iterable

LOWERDIR_PLUS = (6, 5)  # the kernel that takes overlay's layers one by one
DETACHED_LAYERS = (6, 15)  # the kernel that takes them as descriptors, of mounts that are attached nowhere


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
    if kernel >= DETACHED_LAYERS:
        return (_mapped_overlay(rootfs, owner),)
    return (_mapped_by_options(rootfs, mount_point, owner),)


def assemble(rootfs: RootFS, mount_point: str, kernel: tuple[int, int], *, taken: bool = False) -> tuple[Step, ...]:
    """Make the new root a mount, attached at ``mount_point``: pivot_root wants a mount point.

    ``taken``: :func:`take` has been there already.
    """
    if taken:
        made: tuple[Step, ...] = ()
    elif isinstance(rootfs, Directory):
        made = (_directory(rootfs, INIT),)
    elif kernel >= LOWERDIR_PLUS:
        made = (_overlay(rootfs),)
    else:
        return (_overlay_by_options(rootfs, mount_point),)
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
        ),
    )


# With these a directory of the upper layer would be described by the layers below it, so that it could not be read,
# copied or made an image without them. Some kernels have them on by default.
_OFF = ("redirect_dir", "metacopy")

STACK = "Stack the layers"
STACK_WHY = "Overlay shows read-only layers, top first, and one writable directory on them, as a single tree"


_FS = Slot("overlay")


def _overlay(rootfs: Overlay) -> Step:
    layers = [calls.fsconfig(_FS, k.FSCONFIG_SET_STRING, "lowerdir+", lower) for lower in rootfs.lowers]
    if rootfs.upper:
        layers.append(calls.fsconfig(_FS, k.FSCONFIG_SET_STRING, "upperdir", rootfs.upper))
        layers.append(calls.fsconfig(_FS, k.FSCONFIG_SET_STRING, "workdir", rootfs.work))
    made = _stacked(rootfs, layers, (calls.fsconfig(_FS, k.FSCONFIG_CMD_CREATE),))
    return Step(STACK, STACK_WHY, INIT, made, "fsopen(2)", Proof("/proc/{pid}/fd"))


def _stacked(rootfs: Overlay, layers: Iterable[Call], made: tuple[Call, ...]) -> tuple[Call, ...]:
    return (
        calls.chdir(rootfs.base),
        calls.fsopen("overlay", out=_FS),
        calls.fsconfig(_FS, k.FSCONFIG_SET_STRING, "source", "overlay"),
        *layers,
        *(calls.fsconfig(_FS, k.FSCONFIG_SET_STRING, option, "off") for option in _OFF),
        *((calls.fsconfig(_FS, k.FSCONFIG_SET_FLAG, "volatile"),) if rootfs.volatile else ()),
        *made,
        calls.fsmount(_FS, k.MOUNT_ATTR_NODEV, out=ROOT),
        calls.close(_FS),
    )


# --- for a user namespace -----------------------------------------------------------------------------------------

MAPPED_WHY = (
    "Root in the container is nobody special outside; id-mapped mounts of the layers show root's files as its own, "
    "and what it writes is stored as root's: nothing on disk is changed for it"
)
_OWN, _UPPER, _WORK = Slot("its own directory"), Slot("upper"), Slot("work")
_ALL, _LAYER = Slot("all layers"), Slot("layer")


def _mapped(path: str, out: Slot) -> tuple[Call, ...]:
    return (
        calls.open_tree(k.AT_FDCWD, path, k.OPEN_TREE_CLONE, out=out),
        calls.mount_setattr(out, 0, set=k.MOUNT_ATTR_IDMAP, userns=USERS),
    )


def _as_owner(owner: int, *made: Call) -> tuple[Call, ...]:
    """Overlay makes files as who mounts it, and a mapped mount only takes those of mapped ids."""
    return (
        calls.prctl(k.PR_SET_SECUREBITS, k.SECBIT_NO_SETUID_FIXUP),  # or the next two would cost us capabilities
        calls.setfsgid(owner),
        calls.setfsuid(owner),
        *made,
        calls.setfsuid(0),
        calls.setfsgid(0),
        calls.prctl(k.PR_SET_SECUREBITS, 0),
    )


def _mapped_overlay(rootfs: Overlay, owner: int) -> Step:
    layers = _below_one_mount(rootfs) if rootfs.top else _of_many_mounts(rootfs)
    made = _as_owner(owner, calls.fsconfig(_FS, k.FSCONFIG_CMD_CREATE))
    steps = (*_stacked(rootfs, layers, made), calls.chdir("/"))
    return Step(STACK, MAPPED_WHY, MONITOR, steps, "mount_setattr(2)", Proof("/proc/{pid}/fd"))


def _below_one_mount(rootfs: Overlay) -> list[Call]:
    """All are found below one mount, which maps ids: a mount for each takes longer, above all to be let go of."""
    layers = [*_mapped(rootfs.top, _ALL)]
    named = [("lowerdir+", lower) for lower in rootfs.lowers]
    for key, path in (*named, ("upperdir", rootfs.upper), ("workdir", rootfs.work)):
        below = os.path.normpath(f"{rootfs.base}/{path}").removeprefix(rootfs.top + "/")
        layers.append(calls.openat(_ALL, below, k.O_RDONLY | k.O_DIRECTORY, out=_LAYER))
        layers += (_by_descriptor(key, _LAYER), calls.close(_LAYER))
    return layers


def _of_many_mounts(rootfs: Overlay) -> list[Call]:
    layers: list[Call] = []
    for lower, layer in zip(rootfs.lowers, _layers(rootfs), strict=True):
        layers += (*_mapped(lower, layer), _by_descriptor("lowerdir+", layer))
    layers += _mapped(os.path.dirname(rootfs.upper), _OWN)  # both of its directories must be on one mount
    for key, path, layer in (("upperdir", rootfs.upper, _UPPER), ("workdir", rootfs.work, _WORK)):
        layers.append(calls.openat(_OWN, os.path.basename(path), k.O_RDONLY | k.O_DIRECTORY, out=layer))
        layers.append(_by_descriptor(key, layer))
    return layers


def _layers(rootfs: Overlay) -> list[Slot]:
    return [Slot(f"layer {number}") for number in range(len(rootfs.lowers))]


def _opened(rootfs: Overlay) -> tuple[Slot, ...]:
    """What is still open when the layers are stacked."""
    return (_ALL,) if rootfs.top else (*_layers(rootfs), _UPPER, _WORK, _OWN)


def leave_layers(rootfs: RootFS, kernel: tuple[int, int]) -> tuple[Step, ...]:
    """Init closes what the root was stacked of, before it needs a descriptor by its number (plan/users.py)."""
    why = "The root has mounts of its own of all of them; from these, more of the host's files can be reached"
    return _closed("Close the layers", why, INIT, rootfs, kernel)


def let_go_of_layers(rootfs: RootFS, kernel: tuple[int, int]) -> tuple[Step, ...]:
    """So does the monitor, after init: a detached mount goes with its last descriptor."""
    why = (
        "Each was a mount that is attached nowhere; the kernel takes its time to let go of one, and init does not wait"
    )
    return _closed("Let go of the layers", why, MONITOR, rootfs, kernel)


def _closed(title: str, why: str, where: str, rootfs: RootFS, kernel: tuple[int, int]) -> tuple[Step, ...]:
    if isinstance(rootfs, Directory) or kernel < DETACHED_LAYERS:
        return ()
    closed = tuple(map(calls.close, _opened(rootfs)))
    return (Step(title, why, where, closed, "open_tree(2)", Proof("/proc/{pid}/fd")),)


def _by_descriptor(key: str, layer: Slot) -> Call:
    return calls.fsconfig(_FS, k.FSCONFIG_SET_FD, key, aux=layer)


def _mapped_by_options(rootfs: Overlay, mount_point: str, owner: int) -> Step:
    """For kernels that only stack what is attached: in a mount namespace that lasts as long as this takes."""
    host, place = Slot("the host's mounts"), Slot("place")
    covered: list[Call] = []
    for path in (*rootfs.lowers, os.path.dirname(rootfs.upper)):
        covered += _mapped(path, _OWN)
        covered.append(calls.openat(k.AT_FDCWD, path, k.O_PATH | k.O_DIRECTORY, out=place))
        covered += (calls.move_mount(_OWN, place), calls.close(place), calls.close(_OWN))
    return Step(
        STACK,
        MAPPED_WHY,
        MONITOR,
        (
            calls.chdir(rootfs.base),
            calls.openat(k.AT_FDCWD, "/proc/self/ns/mnt", k.O_RDONLY, out=host),
            calls.unshare(k.CLONE_NEWNS),
            calls.mount(None, "/", None, k.MS_REC | k.MS_SLAVE),
            *covered,
            *_as_owner(owner, calls.mount("overlay", mount_point, "overlay", k.MS_NODEV, _options(rootfs))),
            calls.open_tree(k.AT_FDCWD, mount_point, k.OPEN_TREE_CLONE, out=ROOT),
            calls.setns(host, k.CLONE_NEWNS),
            calls.close(host),
        ),
        "mount_setattr(2)",
        Proof("/proc/{pid}/fd"),
    )


def _overlay_by_options(rootfs: Overlay, mount_point: str) -> Step:
    """For kernels whose fsconfig takes no list of layers: one mount(2), whose options must fit into a page."""
    return Step(
        STACK,
        STACK_WHY,
        INIT,
        (
            calls.chdir(rootfs.base),
            calls.mount("overlay", mount_point, "overlay", k.MS_NODEV, _options(rootfs)),
            calls.openat(k.AT_FDCWD, mount_point, k.O_PATH | k.O_DIRECTORY, out=ROOT),
        ),
        "mount(2)",
        Proof("/proc/{pid}/mountinfo", f" {mount_point} "),
    )


def _options(rootfs: Overlay) -> str:
    options = "lowerdir=" + ":".join(rootfs.lowers)
    if rootfs.upper:
        options += f",upperdir={rootfs.upper},workdir={rootfs.work}"
    options += "".join(f",{option}=off" for option in _OFF)
    return options + ",volatile" if rootfs.volatile else options


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
