"""Namespaces: what a process can see (namespaces(7))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Proof, Slot, Step
from pycontainer.light import cache, lru_cache
from pycontainer.plan.slots import INIT_END, INIT_PID, INIT_PIDFD, MONITOR_END
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Namespace, Spec

FLAGS = {
    "mount": k.CLONE_NEWNS,
    "pid": k.CLONE_NEWPID,
    "network": k.CLONE_NEWNET,
    "ipc": k.CLONE_NEWIPC,
    "uts": k.CLONE_NEWUTS,
    "user": k.CLONE_NEWUSER,
    "cgroup": k.CLONE_NEWCGROUP,
    "time": k.CLONE_NEWTIME,
}
FILES = {
    "user": "user",
    "cgroup": "cgroup",
    "ipc": "ipc",
    "uts": "uts",
    "network": "net",
    "pid": "pid",
    "time": "time",
    "mount": "mnt",
}
"""The files of /proc/PID/ns that lead to a process's namespaces."""
# A cgroup namespace shows the cgroup of whoever makes it as its root, so init makes it, once it is in its cgroup.
AFTER_THE_CGROUP = ("cgroup",)


def has(spec: Spec, kind: str) -> bool:
    """Whether the container gets its own namespace of this kind, or joins another than the host's."""
    return any(namespace["type"] == kind for namespace in spec["linux"].get("namespaces", ()))


def _made(spec: Spec) -> list[Namespace]:
    return [namespace for namespace in spec["linux"].get("namespaces", ()) if not namespace.get("path")]


def _joined(spec: Spec) -> list[Namespace]:
    return [namespace for namespace in spec["linux"].get("namespaces", ()) if namespace.get("path")]


def clone(spec: Spec, cgroup: Slot | None, *, sibling: bool = False) -> tuple[Step, ...]:
    """The monitor becomes two processes, the second one in new namespaces.

    As a ``sibling`` it is the child of whoever started the performer, which does not stay.
    """
    flags = k.CLONE_PARENT if sibling else 0
    offsets = _set_clocks(spec)
    for namespace in _made(spec):
        if namespace["type"] not in AFTER_THE_CGROUP and not (namespace["type"] == "time" and offsets):
            flags |= FLAGS[namespace["type"]]
    return (
        *_open_joined(spec),
        *offsets,
        Step(
            "Make the container's first process",
            "One clone3 makes a process and its namespaces; only a child can be PID 1 of a new PID namespace",
            MONITOR,
            (*_cloned(flags, cgroup, sibling), *_children_here(spec)),
            "clone(2)",
            Proof("/proc/{pid}/ns/pid_for_children"),
            field="linux.namespaces",
        ),
    )


@lru_cache(maxsize=64)  # the same for most containers of a process
def _cloned(flags: int, cgroup: Slot | None, sibling: bool) -> tuple[Call, ...]:
    return (
        calls.clone3(flags, child=INIT, out=INIT_PID, cgroup=cgroup),
        calls.close(INIT_END),
        *(() if sibling else (calls.pidfd_open(INIT_PID, out=INIT_PIDFD),)),
    )


_OWN_PID = Slot("own pid namespace")


def _children_here(spec: Spec) -> tuple[Call, ...]:
    """The monitor's next children, which are commands of ours, are born where it is itself."""
    if not any(ns["type"] == "pid" for ns in _joined(spec)):
        return ()
    return calls.setns(_OWN_PID, k.CLONE_NEWPID), calls.close(_OWN_PID)


def is_first(spec: Spec) -> bool:
    """Whether the container's process is the first of its PID namespace, so that all others there end with it."""
    return any(namespace["type"] == "pid" for namespace in _made(spec))


@cache
def handshake(*, first: bool = True) -> tuple[Step, ...]:
    """Neither process goes on without the other; ``first``: it will be the container's first."""
    then = "and with PID 1 everything in its PID namespace" if first else "which nobody would be waiting for"
    return (
        Step(
            f"Tie {'init' if first else 'the process'} to the monitor",
            f"If the monitor dies the kernel kills {'init' if first else 'the process'}, {then}",
            INIT,
            (calls.prctl(k.PR_SET_PDEATHSIG, k.SIGKILL), calls.close(MONITOR_END), calls.umask(0)),
            "PR_SET_PDEATHSIG(2const)",
            Proof("/proc/{pid}/fd"),
        ),
        Step(
            f"Let {'init' if first else 'it'} go",
            "What only the parent can do for it is done",
            MONITOR,
            (calls.write(MONITOR_END, b"g"),),
            "socketpair(2)",
        ),
        Step(
            "Wait for the monitor",
            "End of file here would mean that the monitor died before this one was tied to it",
            INIT,
            (calls.read(INIT_END, 1, expect=1),),
            "socketpair(2)",
        ),
    )


def held_handshake() -> tuple[Step, ...]:
    """The same for a container that is held: it is nobody's, and waits for the one that is still starting it."""
    return (
        Step(
            "Wait to be let go",
            "What can only be done from outside comes first: the maps of a user namespace, devices of the network",
            INIT,
            (calls.umask(0), calls.read(INIT_END, 1, expect=1)),
            "socketpair(2)",
        ),
    )


def _set_clocks(spec: Spec) -> tuple[Step, ...]:
    """How far the clocks of a time namespace are ahead, which can only be said before anybody is in it."""
    offsets = spec["linux"].get("timeOffsets") or {}
    if not offsets or not any(ns["type"] == "time" for ns in _made(spec)):
        return ()
    file = Slot("timens_offsets")
    lines = [f"{clock} {by.get('secs', 0)} {by.get('nanosecs', 0)}" for clock, by in offsets.items()]  # type: ignore[attr-defined]
    return (
        Step(
            "Set the clocks",
            "A time namespace shifts the clocks that count since boot; they can't be changed once somebody lives in it",
            MONITOR,
            (
                calls.unshare(k.CLONE_NEWTIME),
                calls.openat(k.AT_FDCWD, "/proc/self/timens_offsets", k.O_WRONLY, out=file),
                calls.write(file, "\n".join(lines)),
                calls.close(file),
            ),
            "time_namespaces(7)",
            Proof("/proc/{pid}/timens_offsets"),
            field="linux.timeOffsets",
        ),
    )


def _open_joined(spec: Spec) -> tuple[Step, ...]:
    joined = _joined(spec)
    if not joined:
        return ()
    opened = tuple(calls.openat(k.AT_FDCWD, ns["path"], k.O_RDONLY, out=_slot(ns)) for ns in joined)
    # The PID namespace of a process never changes; setns there is for the children to come.
    pid = tuple(calls.setns(_slot(ns), k.CLONE_NEWPID) for ns in joined if ns["type"] == "pid")
    if pid:
        pid = (calls.openat(k.AT_FDCWD, "/proc/self/ns/pid", k.O_RDONLY, out=_OWN_PID), *pid)
    return (
        Step(
            "Open the namespaces to join",
            "A namespace that others made is joined through a file descriptor",
            MONITOR,
            opened + pid,
            "setns(2)",
            field="linux.namespaces[].path",
        ),
    )


def join(spec: Spec) -> tuple[Step, ...]:
    """Init enters the namespaces that are not its own."""
    joined = [ns for ns in _joined(spec) if ns["type"] != "pid"]
    joined.sort(key=lambda ns: (ns["type"] != "user", ns["type"] == "mount"))  # user first, mount last
    if not joined:
        return ()
    return (
        Step(
            "Join the namespaces of others",
            "Sharing a namespace is how two containers share a network, or see each other's processes",
            INIT,
            tuple(calls.setns(_slot(ns), FLAGS[ns["type"]]) for ns in joined),
            "setns(2)",
            Proof("/proc/{pid}/ns/net"),
            field="linux.namespaces[].path",
        ),
    )


def _slot(namespace: Namespace) -> Slot:
    return Slot(f"{namespace['type']} namespace")


def hide_cgroup(spec: Spec) -> tuple[Step, ...]:
    """The container sees its own cgroup as the root of the hierarchy."""
    if not any(ns["type"] == "cgroup" for ns in _made(spec)):
        return ()
    return (
        Step(
            "Hide where the cgroup is",
            "A cgroup namespace shows the cgroup of the process that makes it as /, so it is made inside the cgroup",
            INIT,
            (calls.unshare(k.CLONE_NEWCGROUP),),
            "cgroup_namespaces(7)",
            Proof("/proc/{pid}/ns/cgroup"),
            field="linux.namespaces",
        ),
    )


def name(spec: Spec) -> tuple[Step, ...]:
    """Host name and NIS domain name, which the UTS namespace keeps."""
    names = []
    if spec.get("hostname"):
        names.append(calls.sethostname(spec["hostname"]))
    if spec.get("domainname"):
        names.append(calls.setdomainname(spec["domainname"]))
    if not names:
        return ()
    return (
        Step(
            "Name it",
            "The UTS namespace has a host name of its own",
            INIT,
            tuple(names),
            "uts_namespaces(7)",
            field="hostname",
        ),
    )


def loopback(spec: Spec) -> tuple[Step, ...]:
    """A new network namespace has one device, lo, and it is down."""
    return _loopback_up() if any(ns["type"] == "network" for ns in _made(spec)) else ()


@cache
def _loopback_up() -> tuple[Step, ...]:
    socket = Slot("socket")
    up = b"lo".ljust(16, b"\0") + k.IFF_UP.to_bytes(24, "little")  # struct ifreq
    return (
        Step(
            "Bring up loopback",
            "A new network namespace is empty but for lo, which is down: not even 127.0.0.1 answers",
            INIT,
            (
                calls.socket(k.AF_INET, k.SOCK_DGRAM, 0, out=socket),
                calls.ioctl(socket, k.SIOCSIFFLAGS, up),
                calls.close(socket),
            ),
            "netdevice(7)",
            Proof("/proc/{pid}/net/if_inet6"),
        ),
    )
