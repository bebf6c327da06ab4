"""The layers of an image as one tree: overlay, with mapped owners where there is a user namespace."""

from __future__ import annotations

import os

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Proof, Slot, Step
from pycontainer.plan.slots import ROOT, USERS
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycontainer.rootfs.overlay import Overlay

LOWERDIR_PLUS = (6, 5)  # the kernel that takes overlay's layers one by one
DETACHED_LAYERS = (6, 15)  # the kernel that takes them as descriptors, of mounts that are attached nowhere


def stack(rootfs: Overlay, mount_point: str, kernel: tuple[int, int]) -> tuple[Step, ...]:
    """By init, in the container's own mount namespace; on kernels before LOWERDIR_PLUS attached at ``mount_point``."""
    return (_overlay(rootfs) if kernel >= LOWERDIR_PLUS else _overlay_by_options(rootfs, mount_point),)


def take(rootfs: Overlay, mount_point: str, kernel: tuple[int, int], owner: int) -> tuple[Step, ...]:
    """By the monitor, for a user namespace in which root is the host's ``owner``."""
    if kernel >= DETACHED_LAYERS:
        return (_mapped_overlay(rootfs, owner),)
    return (_mapped_by_options(rootfs, mount_point, owner),)


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


def leave(rootfs: Overlay, kernel: tuple[int, int]) -> tuple[Step, ...]:
    """What init does not keep of them."""
    why = "The root has mounts of its own of all of them; from these, more of the host's files can be reached"
    return _closed("Close the layers", why, INIT, rootfs, kernel)


def let_go(rootfs: Overlay, kernel: tuple[int, int]) -> tuple[Step, ...]:
    """Nor does the monitor."""
    why = (
        "Each was a mount that is attached nowhere; the kernel takes its time to let go of one, and init does not wait"
    )
    return _closed("Let go of the layers", why, MONITOR, rootfs, kernel)


def _closed(title: str, why: str, where: str, rootfs: Overlay, kernel: tuple[int, int]) -> tuple[Step, ...]:
    if kernel < DETACHED_LAYERS:
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
