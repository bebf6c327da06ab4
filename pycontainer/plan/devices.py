"""Device nodes: the few that every program expects, and those that were asked for (mknod(2))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Call, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.light import lru_cache
from pycontainer.plan import mounts
from pycontainer.plan.slots import DEV, ROOT
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Device, Spec

# What the runtime-spec says is always there (config-linux.md, Default Devices).
DEFAULT = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_PLACES = frozenset(f"/dev/{name}" for name, *_ in (*DEFAULT, *LINKS))
_KINDS = {"c": k.S_IFCHR, "u": k.S_IFCHR, "b": k.S_IFBLK, "p": k.S_IFIFO}


def nodes(spec: Spec, *, bound: bool) -> tuple[Step, ...]:
    """Make the nodes in the container's own /dev; ``bound``: where nobody may, show the host's.

    It is a new filesystem, or where the spec has none for it the root's own directory. What is there already stays as
    it is: a name that the image gave to something of its own is no device (config-linux.md, Default Devices).
    """
    mounted = [mount for mount in spec.get("mounts") or () if mount["destination"] == "/dev"]
    if mounted and (mounts.is_bind(mounted[-1]) or mounted[-1].get("type") == "devtmpfs"):
        return _theirs(spec)  # the host's perhaps: not ours to make nodes in
    ours = mounts.has_dev(spec)
    asked = [_asked_for(device, bound=bound) for device in spec["linux"].get("devices") or ()]
    bind = frozenset(mount["destination"][5:] for mount in spec.get("mounts") or () if mount["destination"] in _PLACES)
    made = (_always_there(bound=bound, new=ours, but=bind), *asked)
    return made if ours else (*_found(made=not mounted), *made, *_proven(spec))


@lru_cache(maxsize=16)
def _always_there(*, bound: bool, new: bool, but: frozenset[str]) -> Step:
    """All of them, ``but`` those that are mounted."""
    there = () if new else (mounts.EEXIST,)
    if bound:
        made = [call for name, _, _ in DEFAULT if name not in but for call in _bound(f"/dev/{name}", DEV, name, there)]
    else:
        made = [
            calls.mknodat(DEV, name, k.S_IFCHR | 0o666, *numbers, tolerate=there)
            for name, *numbers in DEFAULT
            if name not in but
        ]
    if not new and "ptmx" not in but:  # one that leads elsewhere would be a way to terminals of others
        made.append(calls.unlinkat(DEV, "ptmx", tolerate=(mounts.ENOENT,)))
    links = [calls.symlinkat(target, DEV, name, tolerate=there) for name, target in LINKS if name not in but]
    return Step(
        "Make the devices",
        "A device node is a number that the kernel looks up: these few, and none that reaches a disk",
        INIT,
        (*made, *links),
        "mknod(2)",
        Proof("/proc/{pid}/fd/{new /dev}/"),
        field="linux.devices",
    )


def _found(*, made: bool = False) -> tuple[Step, ...]:
    """The /dev that is there, ``made`` if it is not."""
    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS
    return (
        Step(
            "Find /dev",
            "No new filesystem is mounted there, so this directory is where devices are looked for",
            INIT,
            (
                *((calls.mkdirat(ROOT, "dev", 0o755, tolerate=(mounts.EEXIST,)),) if made else ()),
                calls.openat2(ROOT, "dev", k.O_PATH | k.O_DIRECTORY, resolve=resolve, out=DEV),
            ),
            "openat2(2)",
            field="root.path",
        ),
    )


def _theirs(spec: Spec) -> tuple[Step, ...]:
    """The /dev of others: its null is what covers files, and its console is where a terminal goes."""
    if not spec["linux"].get("maskedPaths") and not spec["process"].get("terminal"):
        return ()
    return (*_found(), *_proven(spec))


def _proven(spec: Spec) -> tuple[Step, ...]:
    """Whoever made that directory could have put any file there as ``null`` (CVE-2025-31133)."""
    if not spec["linux"].get("maskedPaths"):
        return ()
    null = Slot("its null")
    return (
        Step(
            "See that its /dev/null is the device",
            "It covers what may not be read; a file has places to seek to, and this device has none but 0",
            INIT,
            (
                calls.openat2(DEV, "null", k.O_RDONLY | k.O_NOFOLLOW | k.O_NONBLOCK, out=null),
                calls.lseek(null, 1, expect=0),
                calls.close(null),
            ),
            "null(4)",
            field="linux.maskedPaths",
        ),
    )


def _bound(source: str, directory: Slot, name: str, there: tuple[int, ...] = ()) -> tuple[Call, ...]:
    """A device of the host at its place: in a user namespace nobody may make nodes."""
    clone = Slot("device")
    return (
        calls.mknodat(directory, name, k.S_IFREG | 0o666, 0, 0, tolerate=there),
        calls.openat2(directory, name, k.O_PATH | k.O_NOFOLLOW, out=mounts.TARGET),
        calls.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE, out=clone),
        calls.move_mount(clone, mounts.TARGET),
    )


def _asked_for(device: Device, *, bound: bool) -> Step:
    path, kind = device["path"], _KINDS.get(device["type"])
    if kind is None:
        raise UsageError(f"linux.devices[].type: {path}: {device['type']!r} is none of {', '.join(_KINDS)}")
    mode = device.get("fileMode", 0o666) & 0o7777
    name = path.rsplit("/", 1)[-1]
    made, parent = mounts.above(path)
    steps: list[Call] = [*made, calls.unlinkat(parent, name, tolerate=(mounts.ENOENT,))]
    if bound:
        steps += _bound(path, parent, name)
    else:
        steps.append(calls.mknodat(parent, name, kind | mode, device.get("major", 0), device.get("minor", 0)))
    if (device.get("uid") or device.get("gid")) and not bound:
        owner = device.get("uid", 0), device.get("gid", 0)
        steps.append(calls.fchownat(parent, name, *owner, k.AT_SYMLINK_NOFOLLOW))
    return Step(
        f"Make {path}",
        "A device that was asked for; its cgroup allows it too",
        INIT,
        tuple(steps),
        "mknod(2)",
        field="linux.devices",
    )


def console(tty: Slot) -> tuple[Call, ...]:
    """/dev/console is the terminal, bound by its descriptor: no path could be swapped in between."""
    clone = Slot("console")
    return (
        calls.mknodat(DEV, "console", k.S_IFREG | 0o600, 0, 0, tolerate=(mounts.EEXIST,)),
        calls.openat2(DEV, "console", k.O_PATH | k.O_NOFOLLOW, out=mounts.TARGET),
        calls.open_tree(tty, "", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH, out=clone),
        calls.move_mount(clone, mounts.TARGET),
    )
