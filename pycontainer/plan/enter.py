"""A second process in a container (`exec`, and hooks that run inside): its steps, in order.

The new process is in the container, and can be looked at from in there, from its first moment: so it must never have
had the host's root directory or a descriptor that leads to it (CVE-2016-9962, CVE-2024-21626). The monitor, whom nobody
in there can see, enters the container's namespaces, gives birth, and comes back.

Out of a user namespace there is no way back; there the process joins the namespaces itself, and nobody in that user
namespace may look at a process whose memory belongs to the one above. So does a process that gets a label of a security
module, since it needs the host's /proc for that. A monitor without power over the host does go into the user
namespace, where it has power over the other ones, and does not come back.
"""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Plan, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.plan import (
    identity,
    labels,
    limits,
    monitor,
    mounts,
    namespaces,
    program,
    scheduling,
    seccomp,
    terminal,
)
from pycontainer.plan.seccomp import Filter
from pycontainer.plan.slots import (
    CALLER,
    CONTAINER,
    INIT_END,
    INIT_PID,
    INIT_PIDFD,
    INSIDE,
    MASTER,
    MONITOR_END,
    ROOT,
    STDERR,
    STDIN,
    STDOUT,
    TO_STDIN,
    TTY,
)
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.cgroups import Group
    from pycontainer.oci.spec import Spec


class Entry(Record):
    """What the plan depends on beside the spec.

    Attributes:
        container: its ID.
        kinds: of the namespaces to join: those of the container's first process that are not the caller's own.
        group: its cgroup, or None to stay out of it.
        filter: the system call filter.
        given: the descriptors that the performer is started with.
        preserved: how many descriptors of the caller's from 3 on the program gets.
        path: the program's path where argv[0] does not lead to it.
        confined: behind the container's whole wall; if not, only in its namespaces, for a hook that the engine trusts.
        caller: who enters; unprivileged, only as root of its user namespace the others.
        watched: the monitor stays, carries the process's input and output, and knows how it ends; if not, the process
            is the child of whoever started the performer.
    """

    container: str
    kinds: tuple[str, ...]
    group: Group | None = None
    filter: Filter | None = None
    given: frozenset[Slot] = frozenset()
    preserved: int = 0
    path: str = ""
    confined: bool = True
    caller: identity.Caller = identity.ROOT
    watched: bool = False


def enter(spec: Spec, entry: Entry) -> Plan:
    """The plan that starts ``spec``'s process, which need not be the container's first, in the container."""
    return tuple(_steps(spec, entry))


def _steps(spec: Spec, entry: Entry) -> Iterator[Step]:
    group, watched = entry.group, entry.watched
    inside = ("user" not in entry.kinds or entry.caller.unprivileged) and not labels.wanted(spec)
    if group:
        yield from group.open()
    yield from terminal.own_pipes(spec, entry.given, inherited=not watched)
    yield _hide()
    yield _give_birth(entry) if inside else _born(entry)
    if inside:
        yield from _forget_cgroup(entry)
        yield _forget(entry)
    yield from namespaces.handshake(first=False) if watched else namespaces.held_handshake()
    if watched:
        yield from program.let_go(entry.given)
        yield monitor.alone("/")
    yield from _affinity(spec, "initial")
    if group:
        yield from group.enter()
    yield from _affinity(spec, "final")
    yield from limits.oom_score(spec)
    yield from labels.open_attributes(spec)
    yield _take_root() if inside else _join(entry)
    yield from identity.root_of_the_namespace(spec, tied=entry.watched)
    yield from _open_terminal(spec, entry)
    yield _session(spec, entry)
    yield from _working_directory(spec)
    if entry.confined:
        yield from _wall(spec, entry)
    if not entry.confined or spec["process"].get("noNewPrivileges"):
        yield from _filter(spec, entry)
    yield from program.execute(spec, under_init=False, path=entry.path)
    if watched:
        yield from program.supervise(tty=terminal.wanted(spec), given=entry.given, counters=None, once=True)


def _filter(spec: Spec, entry: Entry) -> Iterator[Step]:
    """The system call filter, and before it what it might forbid."""
    yield from program.close_descriptors()
    yield from program.keep_descriptors(entry.preserved)
    if entry.confined:
        yield from identity.no_new_privs(spec)
        yield from seccomp.install(entry.filter, taken=INIT_END)


def _wall(spec: Spec, entry: Entry) -> Iterator[Step]:
    yield from scheduling.steps(spec)
    yield from limits.rlimits(spec)
    yield from identity.keyring(entry.container)
    yield from identity.bound(spec)
    if not spec["process"].get("noNewPrivileges"):
        yield from _filter(spec, entry)
    yield from identity.become(spec, tied=entry.watched, caller=entry.caller)
    yield from labels.apply(spec)


def _hide() -> Step:
    return Step(
        "Let nobody look into it",
        "Who has the same user could read its memory and descriptors; its children will be as it is, up to execve",
        MONITOR,
        (calls.prctl(k.PR_SET_DUMPABLE, 0),),
        "PR_SET_DUMPABLE(2const)",
    )


def _give_birth(entry: Entry) -> Step:
    cgroup = entry.group.clone_into if entry.group else None
    flags = sum(namespaces.FLAGS[kind] for kind in entry.kinds if kind != "cgroup" or not cgroup)
    back = (calls.setns(CALLER, flags),) if flags and entry.watched else ()
    return Step(
        f"Enter its namespaces{',' if back else ' and'} make a process there{', and come back' if back else ''}",
        "A process that entered on its own would for a moment show the host's files to those who see it in there",
        MONITOR,
        (*_arrive(entry, flags), _clone(entry), *back, *_keep(entry)),
        "setns(2)",
        Proof("/proc/{pid}/ns/mnt"),
    )


def _arrive(entry: Entry, flags: int) -> tuple[Call, ...]:
    """Join the namespaces, and have the root that its processes have.

    Whoever joins a mount namespace gets the root that is first there. A container that was started inside of a chroot,
    by a caller who could pivot only there, has the host's own root first.
    """
    if not flags:
        return ()
    moved = (calls.fchdir(INSIDE), calls.chroot("."), calls.chdir("/")) if "mount" in entry.kinds else ()
    return (calls.setns(CONTAINER, flags), *moved)


def _forget_cgroup(entry: Entry) -> Iterator[Step]:
    """It was born in its cgroup of v2; first of all it lets go of that directory of the host's."""
    if not entry.group or not entry.group.clone_into:
        return
    yield from entry.group.let_go()
    if "cgroup" not in entry.kinds:
        return
    yield Step(
        "Join its cgroup namespace",
        "Only now: who sees no cgroups but the container's can't move a process from outside into them (nsdelegate)",
        INIT,
        (calls.setns(CONTAINER, namespaces.FLAGS["cgroup"]),),
        "cgroup_namespaces(7)",
        Proof("/proc/{pid}/ns/cgroup"),
    )


def _clone(entry: Entry) -> Call:
    cgroup = entry.group.clone_into if entry.group else None
    return calls.clone3(0 if entry.watched else k.CLONE_PARENT, child=INIT, out=INIT_PID, cgroup=cgroup)


def _keep(entry: Entry) -> tuple[Call, ...]:
    return (calls.close(INIT_END), calls.pidfd_open(INIT_PID, out=INIT_PIDFD)) if entry.watched else ()


def _forget(entry: Entry) -> Step:
    return Step(
        "Hold nothing that leads out",
        "It was born with copies of the monitor's descriptors",
        INIT,
        tuple(calls.close(slot) for slot in (CONTAINER, INSIDE, CALLER) if slot in entry.given),
        "close(2)",
    )


def _take_root() -> Step:
    return Step(
        "Take the root directory",
        "Paths in the container are looked up below this descriptor, which no symbolic link leads out of",
        INIT,
        (calls.openat(k.AT_FDCWD, "/", k.O_PATH | k.O_DIRECTORY, out=ROOT),),
        "openat2(2)",
        Proof("/proc/{pid}/root"),
        field="root.path",
    )


def _born(entry: Entry) -> Step:
    pid = (calls.setns(CONTAINER, k.CLONE_NEWPID),) if "pid" in entry.kinds else ()
    return Step(
        "Make a process in the container",
        "Into a PID namespace one can only be born; setns(2) says where the next child will be",
        MONITOR,
        (*pid, _clone(entry), *_keep(entry)),
        "setns(2)",
        Proof("/proc/{pid}/ns/pid_for_children"),
    )


def _join(entry: Entry) -> Step:
    flags = sum(namespaces.FLAGS[kind] for kind in entry.kinds if kind != "pid")
    return Step(
        "Join its namespaces",
        "One call with a descriptor of its first process: a pid could be another's by now, a pidfd can not",
        INIT,
        (
            *_arrive(entry, flags),
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
            field="process.execCPUAffinity",
        ),
    )


# --- terminal and streams -----------------------------------------------------------------------------------------


def _open_terminal(spec: Spec, entry: Entry) -> tuple[Step, ...]:
    opened = terminal.open_inside(spec, entry.given, blocking=not entry.watched)
    return (*opened, *_pass_on_the_master()) if opened and entry.watched else opened


_SHOWN = 0  # where the monitor finds the master among the process's descriptors; it becomes stdin right after


def _pass_on_the_master() -> tuple[Step, ...]:
    """The process has opened it, since only it is in the container; the monitor, outside, is to hold it."""
    return (
        Step(
            "Show the terminal to the monitor",
            "Who carries its bytes is outside, and takes a copy of this descriptor",
            INIT,
            (calls.dup3(MASTER, _SHOWN), calls.write(INIT_END, b"t")),
            "socketpair(2)",
        ),
        Step(
            "Take the terminal",
            "pidfd_getfd copies a descriptor of another process, for those who could trace it",
            MONITOR,
            (
                calls.read(MONITOR_END, 1, expect=1),
                calls.pidfd_getfd(INIT_PIDFD, _SHOWN, out=MASTER),
                calls.write(MONITOR_END, b"g"),
            ),
            "pidfd_getfd(2)",
            field="process.terminal",
        ),
        Step(
            "Wait until it is taken",
            "What becomes of this process next is for nobody to copy from",
            INIT,
            (calls.read(INIT_END, 1, expect=1),),
            "socketpair(2)",
        ),
    )


def _session(spec: Spec, entry: Entry) -> Step:
    given, uid = entry.given, spec["process"]["user"].get("uid", 0)
    if terminal.wanted(spec):
        stdio = [TTY, TTY, TTY]
        peer = calls.ioctl(MASTER, k.TIOCGPTPEER, k.O_RDWR | k.O_NOCTTY | k.O_CLOEXEC, out=TTY)
        taken: tuple[Call, ...] = (peer, calls.ioctl(TTY, k.TIOCSCTTY, 0))
    else:
        stdio = [slot for slot in (STDIN, STDOUT, STDERR) if slot in given]
        taken = ()
    gives = entry.watched and not mounts.has_users(spec)
    own = [slot for slot in dict.fromkeys(stdio) if slot is TTY or gives] if uid else []
    dups = [calls.dup3(slot, number) for number, slot in enumerate(stdio)]
    return Step(
        "Start a session",
        "It must not share a controlling terminal with whoever started it",
        INIT,
        (
            calls.setsid(),
            *taken,
            *(calls.fchownat(slot, "", uid, -1, k.AT_EMPTY_PATH) for slot in own),
            *dups,
            *(_nothing_to_read() if entry.watched and TTY not in stdio and TO_STDIN not in given else ()),
        ),
        "setsid(2)",
        Proof("/proc/{pid}/fd/0"),
    )


_NULL = Slot("its /dev/null")


def _nothing_to_read() -> tuple[Call, ...]:
    """/dev/null as stdin: the container's own, or none if it has made something else of that; an empty pipe remains."""
    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS
    opened = calls.openat2(
        ROOT, "dev/null", k.O_RDWR | k.O_NOCTTY | k.O_NONBLOCK, resolve=resolve, out=_NULL, tolerate=_NOT_A_DEVICE
    )
    return opened, calls.dup3(_NULL, 0)


_NOT_A_DEVICE = (2, 13, 21, 40)  # ENOENT, EACCES, EISDIR, ELOOP


def _working_directory(spec: Spec) -> tuple[Step, ...]:
    """Found with the container's root as /; only the container's first process has it made where it is missing."""
    cwd = spec["process"].get("cwd", "/")
    if not cwd.startswith("/"):
        raise UsageError(f"working directory {cwd}: not an absolute path")
    return (
        Step(
            "Go to the working directory",
            "Found with the container's root as /, so that no symbolic link and no leftover descriptor leads out",
            INIT,
            (
                calls.openat2(ROOT, cwd.lstrip("/") or ".", k.O_PATH | k.O_DIRECTORY, out=mounts.TARGET),
                calls.fchdir(mounts.TARGET),
            ),
            "openat2(2)",
            Proof("/proc/{pid}/cwd"),
            field="process.cwd",
        ),
    )
