"""A second process in a container (`exec`, and hooks that run inside): its steps, in order.

The monitor opens and enters what a process can only be born into: the cgroup and the PID namespace. The new process
joins the other namespaces, the mount namespace last, and is then behind the same wall as the first one was.
"""

from __future__ import annotations

from collections.abc import Iterator

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Plan, Proof, Slot, Step
from pycontainer.plan import identity, labels, limits, namespaces, program, scheduling, seccomp, terminal
from pycontainer.plan.seccomp import Filter
from pycontainer.plan.slots import CONSOLE, INIT_END, MASTER, ROOT, STDERR, STDIN, STDOUT, TTY
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.cgroups import Group
    from pycontainer.oci.spec import Spec


class Entry(Record):
    """What the plan depends on beside the spec.

    Attributes:
        container: its ID.
        kinds: of the namespaces to join, whose descriptors are given.
        group: its cgroup, or None to stay out of it.
        filter: the system call filter.
        given: the descriptors that the performer is started with.
        kept: how many descriptors of the caller's from 3 on the program gets.
        path: the program's path where argv[0] does not lead to it.
        confined: behind the container's whole wall; if not, only in its namespaces, for a hook that the engine trusts.
    """

    container: str
    kinds: tuple[str, ...]
    group: Group | None = None
    filter: Filter | None = None
    given: frozenset[Slot] = frozenset()
    kept: int = 0
    path: str = ""
    confined: bool = True


def namespace(kind: str) -> Slot:
    """The container's namespace of a kind."""
    return Slot(f"{kind} namespace")


def enter(spec: Spec, entry: Entry) -> Plan:
    """The plan that starts ``spec``'s process, which need not be the container's first, in the container."""
    return tuple(_steps(spec, entry))


def _steps(spec: Spec, entry: Entry) -> Iterator[Step]:
    group = entry.group
    if group:
        yield from group.open()
    yield _born(entry)
    yield from namespaces.held_handshake()
    yield from _affinity(spec, "initial")
    if group:
        yield from group.enter()
    yield from _affinity(spec, "final")
    yield from limits.oom_score(spec)
    yield from labels.open_attributes(spec)
    yield _join(entry)
    yield from _session(spec, entry.given)
    yield from program.working_directory(spec)
    if entry.confined:
        yield from _wall(spec, entry)
    yield from program.close_descriptors()
    if entry.confined and spec["process"].get("noNewPrivileges"):
        yield from identity.no_new_privs(spec)
        yield from seccomp.install(entry.filter, taken=INIT_END)
    yield from program.keep_descriptors(entry.kept)
    yield from program.execute(spec, under_init=False, path=entry.path)


def _wall(spec: Spec, entry: Entry) -> Iterator[Step]:
    yield from scheduling.steps(spec)
    yield from limits.rlimits(spec)
    yield from identity.keyring(entry.container)
    yield from identity.bound(spec)
    if not spec["process"].get("noNewPrivileges"):
        yield from seccomp.install(entry.filter, taken=INIT_END)
    yield from identity.become(spec, tied=False)
    yield from labels.apply(spec)


def _born(entry: Entry) -> Step:
    pid = (calls.setns(namespace("pid"), k.CLONE_NEWPID),) if "pid" in entry.kinds else ()
    cgroup = entry.group.clone_into if entry.group else None
    return Step(
        "Make a process in the container",
        "Into a PID namespace one can only be born; setns(2) says where the next child will be",
        MONITOR,
        (*pid, calls.clone3(k.CLONE_PARENT, child=INIT, out=Slot("process"), cgroup=cgroup)),
        "setns(2)",
        Proof("/proc/{pid}/ns/pid_for_children"),
    )


def _join(entry: Entry) -> Step:
    kinds = sorted(entry.kinds, key=lambda kind: (kind != "user", kind == "mount"))
    return Step(
        "Join its namespaces",
        "The user namespace first, which gives the right to the others; the mount namespace last, which hides ours",
        INIT,
        (
            *(calls.setns(namespace(kind), namespaces.FLAGS[kind]) for kind in kinds if kind != "pid"),
            calls.openat(k.AT_FDCWD, "/", k.O_PATH | k.O_DIRECTORY, out=ROOT),
        ),
        "setns(2)",
        Proof("/proc/{pid}/ns/mnt"),
    )


def _affinity(spec: Spec, when: str) -> tuple[Step, ...]:
    cpus = (spec["process"].get("execCPUAffinity") or {}).get(when)
    if not cpus:
        return ()
    mask = scheduling.bits(str(cpus), f"process.execCPUAffinity.{when}")
    return (
        Step(
            f"Set the {when} CPUs",
            "A process that enters a realtime container must not disturb it before it has been put in its place",
            INIT,
            (calls.sched_setaffinity(mask),),
            "sched_setaffinity(2)",
            Proof("/proc/{pid}/status", "Cpus_allowed_list"),
        ),
    )


def _session(spec: Spec, given: frozenset[Slot]) -> tuple[Step, ...]:
    """A terminal of the container's own devpts, found without following anything that the container has put there."""
    if not terminal.wanted(spec):
        stdio = [slot for slot in (STDIN, STDOUT, STDERR) if slot in given]
        opened = ()
    else:
        stdio = [TTY, TTY, TTY]
        resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS
        uid = spec["process"]["user"].get("uid", 0)
        opened = (
            calls.openat2(ROOT, "dev/pts/ptmx", k.O_RDWR | k.O_NOCTTY, resolve=resolve, out=MASTER),
            calls.ioctl(MASTER, k.TIOCSPTLCK, bytes(4)),
            *terminal.resize(spec),
            calls.ioctl(MASTER, k.TIOCGPTPEER, k.O_RDWR | k.O_NOCTTY | k.O_CLOEXEC, out=TTY),
            calls.ioctl(TTY, k.TIOCSCTTY, 0),
            *((calls.fchownat(TTY, "", uid, -1, k.AT_EMPTY_PATH),) if uid else ()),
            *((calls.sendmsg(CONSOLE, b"/dev/ptmx", MASTER),) if CONSOLE in given else ()),
        )
    return (
        Step(
            "Start a session",
            "It must not share a controlling terminal with whoever started it",
            INIT,
            (calls.setsid(), *opened, *(calls.dup3(slot, number) for number, slot in enumerate(stdio))),
            "setsid(2)",
            Proof("/proc/{pid}/fd/0"),
        ),
    )
