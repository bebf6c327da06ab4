"""Where this host keeps its cgroups: the mounted hierarchies and the controllers of each (cgroups(7)).

In cgroup v1 every controller, or a few together, has a hierarchy of its own; in v2 there is one hierarchy for all. A
host in "hybrid" mode has both, and each controller lives in one of them. Reading all this costs two small files.
"""

from __future__ import annotations

import os

from pycontainer.errors import HostLacks
from pycontainer.light import lock, lru_cache
from pycontainer.record import Record

# Options of a v1 superblock that name no controller (Documentation/admin-guide/cgroup-v1/cgroups.rst).
_NO_CONTROLLER = frozenset(("rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods"))


class Hierarchy(Record):
    """One mounted tree of cgroups.

    Attributes:
        version: 1 or 2.
        mount: where it is mounted.
        root: the cgroup that the mount shows at its top, "/" unless we live in a container ourselves.
        writable: whether the mount allows changes at all.
        controllers: that limit processes in this tree; none in a v1 tree that has only a name.
        name: of a v1 tree, as mount(8) takes it: its controllers with commas, or ``name=systemd``.
    """

    version: int
    mount: str
    root: str
    writable: bool
    controllers: tuple[str, ...]
    name: str = ""


class Hierarchies(Record):
    """What a host has.

    Attributes:
        v1: each v1 controller's hierarchy.
        v2: the unified hierarchy, where it is mounted.
    """

    v1: dict[str, Hierarchy]
    v2: Hierarchy | None

    def home(self, controller: str) -> Hierarchy | None:
        """The hierarchy that ``controller`` lives in. What v1 calls blkio is io in v2."""
        if controller in self.v1:
            return self.v1[controller]
        unified = "io" if controller == "blkio" else controller
        return self.v2 if self.v2 and unified in self.v2.controllers else None


def detect() -> Hierarchies:
    """Read what is mounted here and now. Raises OSError without /proc."""
    mountinfo = _mountinfo()
    v2 = next((mount for mount in _mounts(mountinfo, "cgroup2")), None)
    controllers = _read(f"{v2.mount}/cgroup.controllers") if v2 else ""
    return parse(mountinfo, controllers)


class _Mounts(Record):
    """What is mounted.

    Attributes:
        seen_by: the process, and the namespace that it was in.
        file: /proc/self/mountinfo, in which poll(2) reports an event when something has been mounted or unmounted.
        is_file: its device and inode: a program may close descriptors that it knows nothing of, and use the number.
        text: its lines about cgroups, from before that: a host with many containers has hundreds of others.
    """

    seen_by: tuple[int, int]
    file: int
    is_file: tuple[int, int]
    text: str


_mounts_now = _Mounts((0, 0), -1, (0, 0), "")
_looking = lock()


def _mountinfo() -> str:
    """Of /proc/self/mountinfo, which the kernel writes anew only where it is not what it was at the last call."""
    global _mounts_now
    here = os.getpid(), os.stat("/proc/self/ns/mnt").st_ino
    with _looking:
        if _mounts_now.seen_by == here and _identity(_mounts_now.file) == _mounts_now.is_file:
            if not _has_changed(_mounts_now.file):
                return _mounts_now.text
            os.close(_mounts_now.file)
        file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        lines = [line for line in _whole(file).splitlines() if " - cgroup" in line]
        _mounts_now = _Mounts(here, file, _identity(file), "\n".join(lines))
        return _mounts_now.text


def _identity(file: int) -> tuple[int, int]:
    try:
        found = os.fstat(file)
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino


def _has_changed(file: int) -> bool:
    import select  # a command asks once

    poll = select.poll()
    poll.register(file, select.POLLPRI)
    return bool(poll.poll(0))


@lru_cache(maxsize=4)  # a program that starts many containers finds the same each time
def parse(mountinfo: str, controllers: str) -> Hierarchies:
    """Understand the text of /proc/self/mountinfo and of the v2 root's cgroup.controllers (proc_pid_mountinfo(5))."""
    v1: dict[str, Hierarchy] = {}
    for mount in _mounts(mountinfo, "cgroup"):
        for controller in mount.controllers:
            known = v1.get(controller)
            if known is None or (mount.writable and not known.writable):
                v1[controller] = mount
    v2 = next((mount for mount in _mounts(mountinfo, "cgroup2")), None)
    return Hierarchies(v1, v2._replace(controllers=tuple(controllers.split())) if v2 else None)


def _mounts(mountinfo: str, fstype: str) -> list[Hierarchy]:
    """Mounts of cgroups, those that can be written first."""
    found = []
    for line in mountinfo.splitlines():
        if f" - {fstype} " not in line:
            continue
        fields, _, filesystem = line.partition(" - ")
        _, _, _, root, target, options = fields.split(" ")[:6]
        superblock = filesystem.split(" ")[2].split(",")
        writable = "ro" not in options.split(",") and "ro" not in superblock
        controllers: tuple[str, ...] = ()
        name = ""
        if fstype == "cgroup":  # in v2 these are all settings of the tree
            controllers = tuple(o for o in superblock if o not in _NO_CONTROLLER and "=" not in o)
            name = ",".join(controllers) or next((o for o in superblock if o.startswith("name=")), "")
        version = 1 if fstype == "cgroup" else 2
        found.append(Hierarchy(version, _unescape(target), _unescape(root), writable, controllers, name))
    return sorted(found, key=lambda mount: not mount.writable)


def _unescape(path: str) -> str:
    """Space, tab, newline and backslash stand as octal numbers in mountinfo."""
    if "\\" not in path:
        return path
    for character in " \t\n\\":
        path = path.replace(f"\\{ord(character):03o}", character)
    return path


def own_cgroup(hierarchy: Hierarchy, membership: str | None = None) -> str:
    """The cgroup of this process in ``hierarchy``, as a path below its mount; "" at its top.

    ``membership`` is the text of /proc/self/cgroup. Raises HostLacks when the mount does not show it.
    """
    for line in (_read("/proc/self/cgroup") if membership is None else membership).splitlines():
        _, names, path = line.split(":", 2)
        if names == hierarchy.name:
            break
    else:
        path = "/.."
    root = hierarchy.root.rstrip("/")
    if path.startswith("/..") or not (path + "/").startswith(root + "/"):
        raise HostLacks(f"{hierarchy.mount} does not show the cgroup that this process is in")
    return path[len(root) :].rstrip("/")


def directory(above: str, name: str) -> int:
    """A descriptor of the cgroup ``name`` in ``above``, both made if they are not there; -1 if that can't be done."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(f"{above}/{name}", flags)
    except FileNotFoundError:
        pass
    try:
        os.makedirs(f"{above}/{name}", exist_ok=True)
        return os.open(f"{above}/{name}", flags)
    except OSError:
        return -1


def _read(path: str) -> str:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _whole(file)
    finally:
        os.close(file)


def _whole(file: int) -> str:
    return b"".join(iter(lambda: os.read(file, 65536), b"")).decode("utf-8", "surrogateescape")
