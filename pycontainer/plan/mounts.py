"""Mounts: filesystems of the kernel's, binds of the host's, and what of /proc and /sys is hidden (mount(8), proc(5))."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Call, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.plan.slots import DEV, PROC, PTS, ROOT

if TYPE_CHECKING:
    from pycontainer.oci.spec import Mount, Spec

EEXIST, ENOENT, EACCES = 17, 2, 13

# Mount options by name: what they set, what they clear, and whether for the whole tree (mount(8), "r" options of
# mount_setattr(2)). What is not here is the filesystem's own option.
_ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (k.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, k.MOUNT_ATTR_RDONLY),
    "nosuid": (k.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, k.MOUNT_ATTR_NOSUID),
    "nodev": (k.MOUNT_ATTR_NODEV, 0),
    "dev": (0, k.MOUNT_ATTR_NODEV),
    "noexec": (k.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, k.MOUNT_ATTR_NOEXEC),
    "noatime": (k.MOUNT_ATTR_NOATIME, k.MOUNT_ATTR__ATIME),
    "relatime": (0, k.MOUNT_ATTR__ATIME),
    "atime": (0, k.MOUNT_ATTR__ATIME),
    "strictatime": (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR__ATIME),
    "nostrictatime": (0, k.MOUNT_ATTR__ATIME),
    "nodiratime": (k.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, k.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (k.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, k.MOUNT_ATTR_NOSYMFOLLOW),
}
_PROPAGATION = {
    "private": k.MS_PRIVATE,
    "slave": k.MS_SLAVE,
    "shared": k.MS_SHARED,
    "unbindable": k.MS_UNBINDABLE,
}
_IGNORED = {"defaults", "async", "loud", "nomand", "noiversion", "tmpcopyup"}


class Attributes(NamedTuple):
    """The options of one mount, sorted by what performs them."""

    set: int = 0
    clear: int = 0
    set_below: int = 0
    clear_below: int = 0
    propagation: int = 0
    propagation_below: int = 0
    bind: bool = False
    recursive: bool = False
    data: tuple[str, ...] = ()


def attributes(options: list[str]) -> Attributes:
    """Sort mount options; the later of two that contradict each other wins."""
    a = Attributes()
    for option in options:
        below = option[1:] if option.startswith("r") else ""
        if option in _ATTRIBUTES:
            on, off = _ATTRIBUTES[option]
            a = a._replace(set=a.set & ~off | on, clear=a.clear & ~on | off)
        elif option in _PROPAGATION:
            a = a._replace(propagation=_PROPAGATION[option])
        elif option in ("bind", "rbind"):
            a = a._replace(bind=True, recursive=option == "rbind")
        elif below in _PROPAGATION:
            a = a._replace(propagation_below=_PROPAGATION[below])
        elif below in _ATTRIBUTES:
            on, off = _ATTRIBUTES[below]
            a = a._replace(set_below=a.set_below & ~off | on, clear_below=a.clear_below & ~on | off)
        elif option not in _IGNORED:
            a = a._replace(data=(*a.data, option))
    return a


# --- the mounts of a spec -----------------------------------------------------------------------------------------

# Where a symbolic link of the image's must not decide: procfs is where we write sysctls, /dev where we make devices.
_PLAIN_DIRECTORIES = ("/proc", "/sys", "/dev")
_KNOWN_SLOTS = {"/proc": PROC, "/dev": DEV}


def mount_all(
    spec: Spec, *, is_directory: Callable[[str], bool], cgroup: Callable[[Mount], tuple[Step, ...]]
) -> tuple[Step, ...]:
    """One step per mount of the spec, in its order.

    ``is_directory`` answers for bind sources on the host; ``cgroup`` makes the steps of a mount of type cgroup.
    """
    steps: list[Step] = []
    for mount in spec.get("mounts", ()):
        if mount.get("type") == "cgroup":
            steps += cgroup(mount)
        else:
            steps.append(_step(mount, is_directory))
    return tuple(steps)


def _step(mount: Mount, is_directory: Callable[[str], bool]) -> Step:
    a = attributes(mount.get("options", []))
    destination = mount["destination"]
    fresh = _KNOWN_SLOTS.get(destination, Slot("mount"))
    if a.bind or mount.get("type") == "bind":
        source = mount["source"]
        made = bind(source, a, out=fresh)
        target = target_directory(destination) if is_directory(source) else target_file(destination)
        title, why = f"Bind {source} to {destination}", "The same directory at a second place: a mount, not a copy"
    elif mount["type"] == "devpts" and any(option == "pyc.opened" for option in a.data):
        fresh, made, target = PTS, (), target_directory(destination)
        title, why = "Attach the terminal's filesystem", _WHY["devpts"]
    else:
        made = filesystem(mount["type"], a, source=mount.get("source", ""), out=fresh)
        target = target_directory(destination)
        title, why = f"Mount {destination}", _WHY.get(mount["type"], "A filesystem of the container's own")
    return Step(
        title,
        why,
        INIT,
        (*made, *target, calls.move_mount(fresh, TARGET)),
        "mount(8)",
        Proof("/proc/{pid}/mountinfo", f"{destination} "),
    )


_WHY = {
    "proc": "A new proc shows the PID namespace of who mounts it; the host's would show the host's processes",
    "tmpfs": "Memory as a filesystem: it is empty, and gone with the container",
    "devpts": "Terminals of the container's own, so that none of the host's can be reached",
    "mqueue": "POSIX message queues belong to the IPC namespace",
    "sysfs": "The kernel's view of devices, of the container's own network namespace",
}


def filesystem(fstype: str, a: Attributes, *, source: str = "", out: Slot) -> tuple[Call, ...]:
    """A new filesystem instance as a mount that is attached nowhere yet."""
    fs = Slot("filesystem")
    parameters = [calls.fsconfig(fs, k.FSCONFIG_SET_STRING, "source", source)] if source else []
    for option in a.data:
        key, equals, value = option.partition("=")
        if equals:
            parameters.append(calls.fsconfig(fs, k.FSCONFIG_SET_STRING, key, value))
        else:
            parameters.append(calls.fsconfig(fs, k.FSCONFIG_SET_FLAG, key))
    return (
        calls.fsopen(fstype, out=fs),
        *parameters,
        calls.fsconfig(fs, k.FSCONFIG_CMD_CREATE),
        calls.fsmount(fs, a.set, out=out),
        calls.close(fs),
    )


def bind(source: str, a: Attributes, *, out: Slot) -> tuple[Call, ...]:
    """A clone of what is mounted at ``source``, with its own flags; private unless asked otherwise."""
    recursive = k.AT_RECURSIVE if a.recursive else 0
    propagation = a.propagation_below or a.propagation or k.MS_PRIVATE
    result = [
        calls.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE | recursive, out=out),
        calls.mount_setattr(
            out, recursive, set=a.set_below, clear=_clearable(a.clear_below, a.set_below), propagation=propagation
        ),
    ]
    if a.set or a.clear:
        result.append(calls.mount_setattr(out, 0, set=a.set, clear=_clearable(a.clear, a.set)))
    return tuple(result)


def _clearable(clear: int, set: int) -> int:
    """mount_setattr(2): to set an access-time mode, the whole field must be cleared."""
    return clear | k.MOUNT_ATTR__ATIME if set & k.MOUNT_ATTR__ATIME else clear


# --- mount points -------------------------------------------------------------------------------------------------

TARGET = Slot("target")
PARENT = Slot("parent")


def parents(path: str) -> tuple[Call, ...]:
    """Make the directories above ``path`` that the root lacks, and open the last one as PARENT.

    Each is found by openat2 with the new root as /, so a symbolic link of the image's leads nowhere else.
    """
    names = [name for name in path.split("/") if name]
    if ".." in names:
        raise UsageError(f"{path}: a mount point with '..' in it")
    result = [_open_directory(".", PARENT)]
    for depth, name in enumerate(names[:-1], 1):
        result.append(calls.mkdirat(PARENT, name, 0o755, tolerate=(EEXIST,)))
        result.append(_open_directory("/".join(names[:depth]), PARENT))
    return tuple(result)


def _open_directory(path: str, out: Slot, resolve: int = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS) -> Call:
    return calls.openat2(ROOT, path, k.O_PATH | k.O_DIRECTORY, resolve=resolve, out=out)


def target_directory(path: str) -> tuple[Call, ...]:
    """Open the directory ``path`` of the new root as TARGET, made where it is missing."""
    relative = path.strip("/")
    if not relative:
        return (_open_directory(".", TARGET),)
    above, parent = _above(path)
    make = calls.mkdirat(parent, relative.rsplit("/", 1)[-1], 0o755, tolerate=(EEXIST,))
    if path in _PLAIN_DIRECTORIES:
        return make, _open_directory(relative, TARGET, k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS)
    return *above, make, _open_directory(relative, TARGET)


def target_file(path: str) -> tuple[Call, ...]:
    """Open the file ``path`` of the new root as TARGET, made where it is missing."""
    relative = path.strip("/")
    above, parent = _above(path)
    make = calls.mknodat(parent, relative.rsplit("/", 1)[-1], k.S_IFREG | 0o644, 0, 0, tolerate=(EEXIST,))
    return *above, make, calls.openat2(ROOT, relative, k.O_PATH, out=TARGET)


def _above(path: str) -> tuple[tuple[Call, ...], Slot]:
    """What opens the directory that ``path`` is in, and its slot; directly below the root that is the root."""
    return (parents(path), PARENT) if "/" in path.strip("/") else ((), ROOT)


# --- after the pivot ----------------------------------------------------------------------------------------------


def mask(spec: Spec, *, is_directory: Callable[[str], bool]) -> tuple[Step, ...]:
    """Cover files that tell too much with /dev/null, and directories with one empty tmpfs."""
    paths = spec["linux"].get("maskedPaths") or []
    if not paths:
        return ()
    cover, empty = Slot("cover"), Slot("empty tmpfs")
    files = [path for path in paths if not is_directory(path)]
    directories = [path for path in paths if is_directory(path)]
    result: list[Call] = []
    if directories:
        nothing = attributes(["ro", "nosuid", "nodev", "noexec", "size=0k", "mode=555"])
        result += filesystem("tmpfs", nothing, source="pyc-mask", out=empty)
    for path in files + directories:
        source = (empty, "", k.AT_EMPTY_PATH) if path in directories else (DEV, "null", 0)
        result.append(calls.openat2(ROOT, path.lstrip("/"), k.O_PATH, out=TARGET, tolerate=(ENOENT, EACCES)))
        result.append(calls.open_tree(source[0], source[1], k.OPEN_TREE_CLONE | source[2], out=cover))
        result.append(calls.move_mount(cover, TARGET))
    return (
        Step(
            "Mask what tells or does too much",
            "Some files of /proc and /sys are not divided by any namespace: they would show or change the host",
            INIT,
            tuple(result),
            "proc(5)",
            Proof("/proc/{pid}/mountinfo", "/proc/kcore "),
        ),
    )


def protect(spec: Spec) -> tuple[Step, ...]:
    """Make some paths read-only by binding them onto themselves."""
    paths = spec["linux"].get("readonlyPaths") or []
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
        ),
    )
