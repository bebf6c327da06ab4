"""After the pivot: what of /proc and /sys is covered, and what may be read but not written."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Call, Proof, Slot, Step
from pycontainer.light import lru_cache
from pycontainer.plan.mounts import EACCES, ENOENT, TARGET, attributes, filesystem
from pycontainer.plan.slots import DEV, ROOT
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.oci.spec import Spec

EINVAL, ENOTDIR = 22, 20


def mask(spec: Spec, *, kind_of: Callable[[str], str]) -> tuple[Step, ...]:
    """Cover files that tell too much with /dev/null, and directories with one empty tmpfs.

    What the host's own /proc and /sys lack, the container's lack too, so it needs no cover.
    """
    return _masked(tuple([(path, kind_of(path)) for path in spec["linux"].get("maskedPaths") or ()]))


@lru_cache(maxsize=256)
def _masked(paths: tuple[tuple[str, str], ...]) -> tuple[Step, ...]:
    kinds = {path: kind for path, kind in paths if kind and path.startswith(_KERNEL_S)}
    others = [path for path, _ in paths if not path.startswith(_KERNEL_S)]
    result: list[Call] = []
    attached = False
    if "directory" in kinds.values():
        result += filesystem("tmpfs", _NOTHING, out=_EMPTY)
    for path, kind in kinds.items():
        cover = (_EMPTY, "", k.AT_EMPTY_PATH) if kind == "directory" else (DEV, "null", k.AT_SYMLINK_NOFOLLOW)
        result.append(calls.openat2(ROOT, path.lstrip("/"), k.O_PATH, out=TARGET, tolerate=(ENOENT, EACCES)))
        if kind == "directory" and not attached:  # kernels before 6.15 clone only what is attached somewhere
            result.append(calls.move_mount(_EMPTY, TARGET))
            attached = True
        else:
            result.append(calls.open_tree(cover[0], cover[1], k.OPEN_TREE_CLONE | cover[2], out=_COVER))
            result.append(calls.move_mount(_COVER, TARGET))
    for path in others:
        result += _either(path)
    if not result:
        return ()
    return (
        Step(
            "Mask what tells or does too much",
            "Some files of /proc and /sys are not divided by any namespace: they would show or change the host",
            INIT,
            tuple(result),
            "proc(5)",
            Proof("/proc/{pid}/mountinfo", f" {next(iter((*kinds, *others)))} "),
            field="linux.maskedPaths",
        ),
    )


_KERNEL_S = ("/proc/", "/sys/")
_NOTHING = attributes(["ro", "nosuid", "nodev", "noexec", "size=0k", "mode=555"])
_EMPTY, _COVER, _DIRECTORY = Slot("empty tmpfs"), Slot("cover"), Slot("directory to mask")


def _either(path: str) -> tuple[Call, ...]:
    """Only the image knows what this is. A file does not cover a directory, and one that is covered is none."""
    name = path.lstrip("/")
    return (
        calls.openat2(ROOT, name, k.O_PATH, out=TARGET, tolerate=(ENOENT, EACCES, ENOTDIR)),
        calls.open_tree(DEV, "null", k.OPEN_TREE_CLONE | k.AT_SYMLINK_NOFOLLOW, out=_COVER),
        calls.move_mount(_COVER, TARGET)._replace(tolerate=(EINVAL, ENOTDIR)),
        calls.openat2(ROOT, name, k.O_PATH | k.O_DIRECTORY, out=_DIRECTORY, tolerate=(ENOENT, EACCES, ENOTDIR)),
        *filesystem("tmpfs", _NOTHING, out=_EMPTY),
        calls.move_mount(_EMPTY, _DIRECTORY),
    )


def protect(spec: Spec) -> tuple[Step, ...]:
    """Make some paths read-only by binding them onto themselves."""
    return _protected(tuple(spec["linux"].get("readonlyPaths") or ()))


@lru_cache(maxsize=256)
def _protected(paths: tuple[str, ...]) -> tuple[Step, ...]:
    if not paths:
        return ()
    copy = Slot("read-only copy")
    result: list[Call] = []
    for path in paths:
        result += (
            calls.openat2(ROOT, path.lstrip("/"), k.O_PATH, out=TARGET, tolerate=(ENOENT,)),
            calls.open_tree(TARGET, "", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH | k.AT_RECURSIVE, out=copy),
            calls.mount_setattr(copy, k.AT_RECURSIVE, set=k.MOUNT_ATTR_RDONLY),
            calls.move_mount(copy, TARGET),
        )
    return (
        Step(
            "Protect what may be read but not written",
            "The files of /proc/sys change the whole host, unless the mount that shows them is read-only",
            INIT,
            tuple(result),
            "proc_sys(5)",
            Proof("/proc/{pid}/mountinfo", "/proc/sys "),
            field="linux.readonlyPaths",
        ),
    )
