"""Device nodes: the few that every program expects, and those that were asked for (mknod(2))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Call, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.light import cache
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
_KINDS = {"c": k.S_IFCHR, "u": k.S_IFCHR, "b": k.S_IFBLK, "p": k.S_IFIFO}


def nodes(spec: Spec, *, bound: bool) -> tuple[Step, ...]:
    """Make the nodes in the container's own /dev; ``bound``: where nobody may, show the host's."""
    if not any(m["destination"] == "/dev" and m.get("type") == "tmpfs" for m in spec.get("mounts") or ()):
        return _found(spec)  # it has somebody else's /dev, the host's perhaps: not ours to make nodes in
    return _always_there(bound), *(_asked_for(device, bound=bound) for device in spec["linux"].get("devices") or ())


@cache
def _always_there(bound: bool) -> Step:
    made = [calls.mknodat(DEV, name, k.S_IFCHR | 0o666, major, minor) for name, major, minor in DEFAULT]
    if bound:
        made = [call for name, _, _ in DEFAULT for call in _bound(f"/dev/{name}", DEV, name)]
    links = [calls.symlinkat(target, DEV, name) for name, target in LINKS]
    return Step(
        "Make the devices",
        "A device node is a number that the kernel looks up: these few, and none that reaches a disk",
        INIT,
        (*made, *links),
        "mknod(2)",
        Proof("/proc/{pid}/fd/{new /dev}/"),
    )


def _found(spec: Spec) -> tuple[Step, ...]:
    """The /dev that is there: its null is what covers files."""
    if not spec["linux"].get("maskedPaths"):
        return ()
    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS
    return (
        Step(
            "Find /dev",
            "What may not be read is covered by /dev/null, so there must be one",
            INIT,
            (calls.openat2(ROOT, "dev", k.O_PATH | k.O_DIRECTORY, resolve=resolve, out=DEV),),
            "openat2(2)",
        ),
    )


def _bound(source: str, directory: Slot, name: str) -> tuple[Call, ...]:
    """A device of the host at its place: in a user namespace nobody may make nodes."""
    clone = Slot("device")
    return (
        calls.mknodat(directory, name, k.S_IFREG | 0o666, 0, 0),
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
    return Step(f"Make {path}", "A device that was asked for; its cgroup allows it too", INIT, tuple(steps), "mknod(2)")


def console(tty: Slot) -> tuple[Call, ...]:
    """/dev/console is the terminal, bound by its descriptor: no path could be swapped in between."""
    clone = Slot("console")
    return (
        calls.mknodat(DEV, "console", k.S_IFREG | 0o600, 0, 0),
        calls.openat2(DEV, "console", k.O_PATH | k.O_NOFOLLOW, out=mounts.TARGET),
        calls.open_tree(tty, "", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH, out=clone),
        calls.move_mount(clone, mounts.TARGET),
    )
