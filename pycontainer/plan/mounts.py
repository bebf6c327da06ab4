"""Mounts: new filesystems, and binds of the host's (mount(8))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.light import lru_cache
from pycontainer.plan.slots import DEV, PROC, PTS, ROOT, USERS
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pycontainer.cgroups import View
    from pycontainer.oci.spec import Mount, Spec

EEXIST, ENOENT, EACCES = 17, 2, 13
TARGET, PARENT = Slot("target"), Slot("parent")

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
    "norelatime": (0, k.MOUNT_ATTR__ATIME),  # nor is there another default
    "atime": (0, k.MOUNT_ATTR__ATIME),
    "strictatime": (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR__ATIME),
    "nostrictatime": (0, k.MOUNT_ATTR__ATIME),
    "nodiratime": (k.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, k.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (k.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, k.MOUNT_ATTR_NOSYMFOLLOW),
}
PROPAGATION = {
    "private": k.MS_PRIVATE,
    "slave": k.MS_SLAVE,
    "shared": k.MS_SHARED,
    "unbindable": k.MS_UNBINDABLE,
}
_IGNORED = {"defaults", "async", "loud", "silent", "nomand", "iversion", "noiversion", "tmpcopyup"}
# What lxcfs shows in place of the kernel's, with the container's own numbers.
REPLACEABLE_PROC = frozenset(
    f"/proc/{name}"
    for name in "cpuinfo diskstats loadavg meminfo net/dev slabinfo stat swaps uptime sys/kernel/ns_last_pid".split()
)


class Attributes(Record):
    """The options of one mount, sorted by what performs them."""

    set: int = 0
    clear: int = 0
    set_below: int = 0
    clear_below: int = 0
    propagation: int = 0
    propagation_below: int = 0
    bind: bool = False
    recursive: bool = False
    idmap: str = ""
    subpath: str = ""
    data: tuple[str, ...] = ()


def attributes(options: Sequence[str]) -> Attributes:
    """Sort mount options; the later of two that contradict each other wins."""
    return _sorted(tuple(options))


@lru_cache(maxsize=256)  # a start asks forty times, mostly the same
def _sorted(options: tuple[str, ...]) -> Attributes:
    a = Attributes()
    for option in options:
        below = option[1:] if option.startswith("r") else ""
        if option in _ATTRIBUTES:
            on, off = _ATTRIBUTES[option]
            a = a._replace(set=a.set & ~off | on, clear=a.clear & ~on | off)
        elif option in PROPAGATION:
            a = a._replace(propagation=PROPAGATION[option])
        elif option in ("bind", "rbind"):
            a = a._replace(bind=True, recursive=option == "rbind")
        elif option in ("idmap", "ridmap"):
            a = a._replace(idmap=option)
        elif below in PROPAGATION:
            a = a._replace(propagation_below=PROPAGATION[below])
        elif below in _ATTRIBUTES:
            on, off = _ATTRIBUTES[below]
            a = a._replace(set_below=a.set_below & ~off | on, clear_below=a.clear_below & ~on | off)
        elif option.startswith("X-mount.subdir="):  # mount(8)
            a = a._replace(subpath=option.partition("=")[2])
        elif option not in _IGNORED:
            a = a._replace(data=(*a.data, option))
    return a


def option_names() -> set[str]:
    """The mount options that are not left to the filesystem."""
    recursive = {f"r{name}" for name in (*_ATTRIBUTES, *PROPAGATION)}
    return {*_ATTRIBUTES, *PROPAGATION, *recursive, "bind", "rbind", "idmap", "ridmap", *_IGNORED}


# --- the mounts of a spec -----------------------------------------------------------------------------------------

# Where a symbolic link of the image's must not decide: procfs is where we write sysctls, /dev where we make devices.
_PLAIN_DIRECTORIES = ("/proc", "/sys", "/dev")
_KNOWN_SLOTS = {"/proc": PROC, "/dev": DEV}


def mount_all(
    spec: Spec,
    *,
    kind_of: Callable[[str], str],
    cgroups: tuple[View, ...],
    pty: bool,
    users: bool,
) -> tuple[Step, ...]:
    """One step per mount of the spec, in its order.

    ``kind_of`` tells a directory of the host from a file; ``cgroups`` are the hierarchies that the container has a
    place in; with ``pty`` the monitor has made the devpts already; with ``users`` what :func:`take_outside` took for
    a user namespace.
    """
    steps: list[Step] = []
    dev = has_dev(spec)
    of_its_own = any(namespace["type"] == "cgroup" for namespace in spec["linux"].get("namespaces") or ())
    views = tuple(view._replace(directory="") for view in cgroups) if of_its_own else cgroups
    for asked in spec.get("mounts") or ():
        mount = labelled(spec, asked)
        destination, options = mount["destination"], tuple(mount.get("options") or ())
        if mount.get("type") in ("cgroup", "cgroup2") and not is_bind(mount):
            steps += _cgroup(destination, options, views, _below(spec, destination))
        elif mount.get("type") == "devpts" and pty:
            steps.append(_attach_devpts(destination, dev=dev))
        else:
            taken = _taken(mount) if _is_outside(mount, users=users) else None
            if is_bind(mount):
                steps.append(_bound(destination, mount["source"], options, kind_of, taken, dev=dev))
            else:
                steps.append(_mounted(destination, mount["type"], mount.get("source", ""), options, taken, dev=dev))
    return tuple(steps)


def has_dev(spec: Spec) -> bool:
    """Whether /dev is a new filesystem, in which there is nothing but what we make."""
    return any(mount["destination"] == "/dev" and mount.get("type") == "tmpfs" for mount in spec.get("mounts") or ())


def labelled(spec: Spec, mount: Mount) -> Mount:
    """With the SELinux context that all files of a new filesystem have, if one is asked for (mountLabel)."""
    label = spec["linux"].get("mountLabel")
    if not label or mount.get("type") not in ("tmpfs", "devpts", "mqueue") or is_bind(mount):
        return mount
    return {**mount, "options": [*(mount.get("options") or []), f"context={label}"]}


def is_bind(mount: Mount) -> bool:
    """Whether it shows a file or directory of the host."""
    options = mount.get("options") or ()
    return mount.get("type") == "bind" or "bind" in options or "rbind" in options


# --- what is taken from outside -----------------------------------------------------------------------------------


def take_outside(spec: Spec, *, users: bool) -> tuple[Step, ...]:
    """Clone what a process in the new namespaces could not: the monitor does, and hands the descriptor on.

    From a mount namespace of its own, no clone spreads to the host any more. From a user namespace of its own, not
    every path can be reached, and the flags of mounts are locked. And ids are mapped by whoever owns the filesystem.
    A disk is none of the devices that the container may open, and a server is reached through the host's network.
    """
    taken = [mount for mount in spec.get("mounts") or () if _is_outside(mount, users=users)]
    return tuple(
        Step(
            f"Take {mount['source']}",
            "Done in the host's namespaces, since it needs rights there; it will be attached at its place later",
            MONITOR,
            (*_take(mount), *_map_ids(mount)),
            "open_tree(2)" if is_bind(mount) else "fsopen(2)",
            field="mounts",
        )
        for mount in taken
    )


def taken(spec: Spec, *, users: bool) -> Iterator[Slot]:
    """The descriptors of these mounts, and of the user namespaces that map their owners."""
    outside = [mount for mount in spec.get("mounts") or () if _is_outside(mount, users=users)]
    yield from map(_taken, outside)
    yield from dict.fromkeys(users_of(mount) for mount in outside if is_mapped(mount) and users_of(mount) is not USERS)


def _take(mount: Mount) -> tuple[Call, ...]:
    a = attributes(mount.get("options") or [])
    if is_bind(mount):
        return bind(mount["source"], a, out=_taken(mount))
    return filesystem(mount["type"], a, source=mount["source"], out=_taken(mount))


def _is_outside(mount: Mount, *, users: bool) -> bool:
    """Whether only the monitor can make it; ``users``: the container has a user namespace of its own."""
    if not is_bind(mount):
        return mount["type"] not in _MADE_BY_ANYBODY and bool(mount.get("source"))
    a = attributes(mount.get("options") or [])
    return users or k.MS_SHARED in (a.propagation, a.propagation_below) or is_mapped(mount)


def has_users(spec: Spec) -> bool:
    """Whether the container has a user namespace of its own."""
    return any(ns["type"] == "user" and not ns.get("path") for ns in spec["linux"].get("namespaces") or ())


def is_mapped(mount: Mount) -> bool:
    """Whether the owners of its files are shown as others."""
    return bool(mount.get("uidMappings") or mount.get("gidMappings") or attributes(mount.get("options") or []).idmap)


def _taken(mount: Mount) -> Slot:
    return Slot(f"mount for {mount['destination']}")


def users_of(mount: Mount) -> Slot:
    """The user namespace whose maps say how ids are shown; whoever starts the performer hands it over.

    A mount that has no maps of its own is shown as the container's ids; those with the same maps share one.
    """
    own = [
        " ".join(f"{part['containerID']}:{part['hostID']}:{part['size']}" for part in maps or ())
        for maps in (mount.get("uidMappings"), mount.get("gidMappings"))
    ]
    return Slot(f"user namespace {own[0]} / {own[1]}") if any(own) else USERS


def _map_ids(mount: Mount) -> tuple[Call, ...]:
    if not is_mapped(mount):
        return ()
    a = attributes(mount.get("options") or [])
    recursive = k.AT_RECURSIVE if a.idmap == "ridmap" else 0
    slot = _taken(mount)
    return (calls.mount_setattr(slot, recursive, set=k.MOUNT_ATTR_IDMAP, userns=users_of(mount)),)


def _attach_devpts(destination: str, *, dev: bool) -> Step:
    return Step(
        f"Mount {destination}",
        "The filesystem that the terminal was opened in, before there was a container",
        INIT,
        (*_target(destination, dev=dev), calls.move_mount(PTS, TARGET)),
        "devpts(5)",
        Proof("/proc/{pid}/mountinfo", f"{destination} "),
        field="mounts",
    )


def _below(spec: Spec, directory: str) -> tuple[str, ...]:
    """What other mounts need there: podman binds the hierarchy of systemd for a container that runs one."""
    mounts = [mount["destination"].removeprefix(directory + "/") for mount in spec.get("mounts") or ()]
    return tuple(name for name in mounts if not name.startswith("/") and "/" not in name)


@lru_cache(maxsize=256)  # the same for most containers of a process
def _cgroup(
    destination: str, options: tuple[str, ...], views: tuple[View, ...], below: tuple[str, ...]
) -> tuple[Step, ...]:
    """The hierarchies below one directory; a single cgroup2 is the directory itself.

    Without a cgroup namespace a hierarchy begins at the host's top, so the container's ``directory`` is bound instead.
    """
    if not views:
        return ()
    a = attributes(options)
    made: list[Call] = []
    if any(view.name for view in views):
        frame = attributes(["nosuid", "nodev", "noexec", "mode=755", "size=64k"])
        made += (*filesystem("tmpfs", frame, out=_FRAME), *target_directory(destination))
        made.append(calls.move_mount(_FRAME, TARGET))
    for view in views:
        if not view.directory:
            made += filesystem(view.fstype, a._replace(data=view.options), out=Slot("hierarchy"))
        else:
            made += bind(view.directory, a, out=Slot("hierarchy"))
        made += target_below(_FRAME, view.name) if view.name else target_directory(destination)
        made.append(calls.move_mount(Slot("hierarchy"), TARGET))
        made += (calls.symlinkat(view.name, _FRAME, link) for link in view.links)
    if any(view.name for view in views):
        made += (calls.mkdirat(_FRAME, name, 0o755, tolerate=(EEXIST,)) for name in below)
    if any(view.name for view in views) and a.set & k.MOUNT_ATTR_RDONLY:
        made.append(calls.mount_setattr(_FRAME, 0, set=k.MOUNT_ATTR_RDONLY))
    return (
        Step(
            f"Mount {destination}",
            "In its cgroup namespace the container sees its own cgroup as the top, and may read what it uses",
            INIT,
            tuple(made),
            "cgroup_namespaces(7)",
            Proof("/proc/{pid}/mountinfo", f"{destination} "),
            field="mounts",
        ),
    )


_FRAME = Slot("cgroup frame")


def _bound(
    destination: str,
    source: str,
    options: tuple[str, ...],
    kind_of: Callable[[str], str],
    taken: Slot | None,
    *,
    dev: bool,
) -> Step:
    a = attributes(options)
    fresh = taken or _slot_for(destination)
    shown = f"{source}/{a.subpath}" if a.subpath else source
    return Step(
        f"Bind {source} to {destination}",
        "The same directory at a second place: a mount, not a copy",
        INIT,
        (*(() if taken else bind(source, a, out=fresh)), *_attached(destination, fresh, kind_of(shown), dev=dev)),
        "mount(8)",
        Proof("/proc/{pid}/mountinfo", f"{destination} "),
        field="mounts",
    )


@lru_cache(maxsize=256)  # the same for most containers of a process
def _attached(destination: str, mount: Slot, kind: str, *, dev: bool) -> tuple[Call, ...]:
    target = _target(destination, dev=dev) if kind == "directory" else target_file(destination)
    return *target, calls.move_mount(mount, TARGET)


@lru_cache(maxsize=256)
def _mounted(
    destination: str, fstype: str, source: str, options: tuple[str, ...], taken: Slot | None, *, dev: bool
) -> Step:
    a = attributes(options)
    fresh = taken or _slot_for(destination)
    made = () if taken else filesystem(fstype, a, source=source, out=fresh)
    if a.subpath:
        made = (*made, *_target(destination, dev=dev), calls.move_mount(fresh, TARGET), *_part(fresh, a))
    return Step(
        f"Mount {destination}",
        _WHY.get(fstype, "A filesystem of the container's own"),
        INIT,
        (*made, *_target(destination, dev=dev), calls.move_mount(fresh, TARGET)),
        "mount(8)",
        Proof("/proc/{pid}/mountinfo", f"{destination} "),
        field="mounts",
    )


def _slot_for(destination: str) -> Slot:
    return _KNOWN_SLOTS.get(destination, Slot("mount"))


_MADE_BY_ANYBODY = frozenset(
    "proc sysfs tmpfs ramfs devpts mqueue overlay cgroup cgroup2 binfmt_misc bpf debugfs tracefs securityfs configfs "
    "fusectl hugetlbfs pstore efivarfs".split()
)
"""Filesystems of memory or of the kernel's own: they need neither a device nor a server."""

_WHY = {
    "proc": "A new proc shows the PID namespace of who mounts it; the host's would show the host's processes",
    "tmpfs": "Memory as a filesystem: it is empty, and gone with the container",
    "devpts": "Terminals of the container's own, so that none of the host's can be reached",
    "mqueue": "POSIX message queues belong to the IPC namespace",
    "sysfs": "The kernel's view of devices, of the container's own network namespace",
    "overlay": "The layers of an image, stacked and read-only",
}


def filesystem(fstype: str, a: Attributes, *, source: str = "", out: Slot) -> tuple[Call, ...]:
    """A new filesystem instance as a mount that is attached nowhere yet."""
    fs = Slot("filesystem")
    propagation = a.propagation_below or a.propagation
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
        *((calls.mount_setattr(out, 0, propagation=propagation),) if propagation else ()),
    )


def bind(source: str, a: Attributes, *, out: Slot) -> tuple[Call, ...]:
    """A clone of what is mounted at ``source``, with its own flags; private unless asked otherwise."""
    recursive = k.AT_RECURSIVE if a.recursive else 0
    propagation = a.propagation_below or a.propagation or k.MS_PRIVATE
    taken: tuple[Call, ...] = (calls.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE | recursive, out=out),)
    if a.subpath:
        whole = Slot("whole")
        taken = (calls.openat(k.AT_FDCWD, source, k.O_PATH | k.O_DIRECTORY, out=whole), *_part(whole, a, out=out))
    result = [
        *taken,
        calls.mount_setattr(
            out, recursive, set=a.set_below, clear=_clearable(a.clear_below, a.set_below), propagation=propagation
        ),
    ]
    if a.set or a.clear:
        result.append(calls.mount_setattr(out, 0, set=a.set, clear=_clearable(a.clear, a.set)))
    return tuple(result)


def _part(whole: Slot, a: Attributes, *, out: Slot | None = None) -> tuple[Call, ...]:
    """Clone what is at a subpath: looked up once, by a call that never leaves ``whole``, and then a descriptor.

    Whoever can write there may turn a directory into a symbolic link at any moment.
    """
    part, recursive = Slot("part"), k.AT_RECURSIVE if a.recursive else 0
    inside = k.RESOLVE_BENEATH | k.RESOLVE_NO_MAGICLINKS
    return (
        calls.openat2(whole, a.subpath, k.O_PATH, resolve=inside, out=part),
        calls.open_tree(part, "", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH | recursive, out=out or whole),
        calls.close(part),
    )


def _clearable(clear: int, set: int) -> int:
    """mount_setattr(2): to set an access-time mode, the whole field must be cleared."""
    return clear | k.MOUNT_ATTR__ATIME if set & k.MOUNT_ATTR__ATIME else clear


def _target(destination: str, *, dev: bool) -> tuple[Call, ...]:
    """A directory to mount on; those directly in our own /dev are the common case, if there is one (``dev``)."""
    parent, _, name = destination.rpartition("/")
    return target_below(DEV, name) if dev and parent == "/dev" else target_directory(destination)


# --- mount points -------------------------------------------------------------------------------------------------


def above(path: str) -> tuple[tuple[Call, ...], Slot]:
    """What makes and opens the directory that ``path`` is in, and the slot it is in; just below the root, the root.

    Each directory is found by openat2 with the new root as /, so a symbolic link of the image's leads nowhere else.
    """
    names = [name for name in path.split("/") if name]
    if ".." in names:
        raise UsageError(f"{path}: a mount point with '..' in it")
    result: list[Call] = []
    parent = ROOT
    for depth, name in enumerate(names[:-1], 1):
        result.append(calls.mkdirat(parent, name, 0o755, tolerate=(EEXIST,)))
        result.append(_open_directory(ROOT, "/".join(names[:depth])))
        parent = PARENT
    return tuple(result), parent


def _open_directory(
    root: Slot, path: str, resolve: int = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS, *, out: Slot = PARENT
) -> Call:
    return calls.openat2(root, path, k.O_PATH | k.O_DIRECTORY, resolve=resolve, out=out)


def target_directory(path: str) -> tuple[Call, ...]:
    """Open the directory ``path`` of the new root as TARGET, made where it is missing."""
    relative = path.strip("/")
    if not relative:
        return (_open_directory(ROOT, ".", out=TARGET),)
    made, parent = above(path)
    make = calls.mkdirat(parent, relative.rsplit("/", 1)[-1], 0o755, tolerate=(EEXIST,))
    if path in _PLAIN_DIRECTORIES:
        return make, _open_directory(ROOT, relative, k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS, out=TARGET)
    return *made, make, _open_directory(ROOT, relative, out=TARGET)


def target_below(directory: Slot, name: str) -> tuple[Call, ...]:
    """Open a new directory of a filesystem that we have just made, where no image could put anything."""
    return calls.mkdirat(directory, name, 0o755, tolerate=(EEXIST,)), _open_directory(directory, name, out=TARGET)


def target_file(path: str) -> tuple[Call, ...]:
    """Open the file ``path`` of the new root as TARGET, made where it is missing."""
    relative = path.strip("/")
    made, parent = above(path)
    make = calls.mknodat(parent, relative.rsplit("/", 1)[-1], k.S_IFREG | 0o644, 0, 0, tolerate=(EEXIST,))
    return *made, make, calls.openat2(ROOT, relative, k.O_PATH, out=TARGET)
