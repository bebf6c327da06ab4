"""The program: where it starts, what it inherits, and the execve that ends our part (execve(2))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, PROGRAM, Call, Proof, Slot, Step
from pycontainer.core.wire import REPORTS
from pycontainer.errors import UsageError
from pycontainer.light import cache, lru_cache
from pycontainer.plan import mounts
from pycontainer.plan.slots import (
    CLIENT,
    FROM_STDERR,
    FROM_STDOUT,
    INIT_END,
    INIT_PID,
    INIT_PIDFD,
    LIFE,
    LISTENER,
    LOG,
    LOG_DIRECTORY,
    MASTER,
    MONITOR_END,
    START,
    STDERR,
    STDIN,
    STDOUT,
    TO_STDIN,
)
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.spec import Spec
    from pycontainer.plan.monitor import Watch

CHILD = Slot("init's child")
STARTER = Slot("starter")  # who has connected to START
STATUS_FD = 4  # wire.h: where the performer reports to, until REPORTS says another place
LAST_FD = 0xFFFFFFFF
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A directory of PATH that lacks the program, or holds something of that name that can't be executed
NOT_HERE = (2, 13, 20)  # ENOENT, EACCES, ENOTDIR


def working_directory(spec: Spec) -> tuple[Step, ...]:
    """Resolved inside the root and entered through the descriptor; made where it is missing, as docker does."""
    cwd = spec["process"].get("cwd", "/")
    if not cwd.startswith("/"):
        raise UsageError(f"working directory {cwd}: not an absolute path")
    if cwd == "/":
        return ()
    return (
        Step(
            "Go to the working directory",
            "Found with the new root as /, so that no symbolic link and no leftover descriptor leads out",
            INIT,
            (*mounts.target_directory(cwd), calls.fchdir(mounts.TARGET)),
            "openat2(2)",
            Proof("/proc/{pid}/cwd"),
            field="process.cwd",
        ),
    )


def wait_for_start(*, count: int = 0, labels: tuple[Slot, ...] = ()) -> tuple[Step, ...]:
    """The container is created, and this is how it waits to be started: for whoever connects to its socket.

    Args:
        count: how many descriptors of the caller's it will need.
        labels: the descriptors by which it will label the program.
    """
    return (
        _let_go_of_all((START, *(preserved(number) for number in range(3, 3 + count)), INIT_END, *labels)),
        Step(
            "Say that it is created",
            "Everything that could go wrong before the program runs has been done",
            INIT,
            (calls.write(INIT_END, b"r")._replace(report=True), calls.close(INIT_END)),
            "socketpair(2)",
        ),
        Step(
            "Wait for start",
            "Who starts it is told of what fails from here on, and at a successful execve reads the end of file",
            INIT,
            (calls.accept4(START, out=STARTER), calls.dup3(STARTER, STATUS_FD, k.O_CLOEXEC)),
            "accept(2)",
        ),
    )


def _let_go_of_all(needed: tuple[Slot, ...]) -> Step:
    """Close all descriptors but the streams, the one for reports, and ``needed``.

    These move down, none onto another: they are in the order of their numbers, which are higher (wire.h).
    """
    first = STATUS_FD + 1
    moved = tuple(calls.dup3(slot, number, k.O_CLOEXEC)._replace(out=slot) for number, slot in enumerate(needed, first))
    return Step(
        "Hold nothing while it waits",
        "That may take days, and each descriptor of a directory would be a way out for whoever gets hold of it",
        INIT,
        (*moved, calls.close_range(3, 3, 0), calls.close_range(first + len(needed), LAST_FD, 0)),
        "close_range(2)",
    )


def wait_for_hooks() -> tuple[Step, ...]:
    """The new root is complete and has not been entered: programs of the engine's may look at it and change it."""
    return (
        Step(
            "Let the hooks run",
            "The network, for one, is often made by a program that the engine names: in these namespaces, from outside",
            INIT,
            (calls.write(INIT_END, b"h")._replace(report=True), calls.read(INIT_END, 1, expect=1)),
            "socketpair(2)",
            field="hooks",
        ),
    )


def keep_descriptors(count: int) -> tuple[Step, ...]:
    """Those from 3 on that the caller wants the program to have (``--preserve-fds``).

    One may be where a failing execve is to be told of, so that moves out of their way: to the first number behind them
    that is free, since a high one may be beyond the process's limit (RLIMIT_NOFILE).
    """
    if not count:
        return ()
    out_of_the_way = (calls.duplicate(STATUS_FD, 3 + count, out=REPORTS),) if 3 + count > STATUS_FD else ()
    return (
        Step(
            "Leave some descriptors open",
            "The caller asked for it: a service may be handed the sockets that it is to listen at",
            INIT,
            (*out_of_the_way, *(calls.dup3(preserved(number), number) for number in range(3, 3 + count))),
            "dup(2)",
        ),
    )


def preserved(number: int) -> Slot:
    """The caller's descriptor ``number``."""
    return Slot(f"descriptor {number}")


@cache
def close_descriptors() -> tuple[Step, ...]:
    """Nothing but 0, 1 and 2 crosses the execve."""
    return (
        Step(
            "Close every other descriptor at execve",
            "A descriptor of a host directory would be a way out of the container",
            INIT,
            (calls.close_range(3, LAST_FD, k.CLOSE_RANGE_CLOEXEC),),
            "close_range(2)",
        ),
    )


@cache
def be_called_init() -> Step:
    """Before the filter, which may not let it; init changes the rest that ps(1) shows by itself."""
    return Step(
        "Be called what it is",
        "Init is a copy of the monitor, whose name says nothing inside of the container",
        INIT,
        (calls.prctl(k.PR_SET_NAME, "pyc-init"),),
        "prctl(2)",
        Proof("/proc/{pid}/comm"),
    )


def execute(spec: Spec, *, under_init: bool, path: str = "") -> tuple[Step, ...]:
    """Become the program, at ``path`` if argv[0] does not say; or, under ``--init``, let a child become it."""
    if not under_init:
        return (_exec(spec, INIT, path),)
    return (
        Step(
            "Make a child for the program",
            "The kernel gives PID 1 duties that few programs know: init stays to reap orphans and pass on signals",
            INIT,
            (calls.rt_sigprocmask(k.SIG_SETMASK, ~0 & (2**64 - 1)), calls.clone(child=PROGRAM, out=CHILD)),
            "pid_namespaces(7)",
        ),
        Step(
            "Take signals again",
            "Init blocks them all, to read them one by one; the program must not inherit that",
            PROGRAM,
            (calls.rt_sigprocmask(k.SIG_SETMASK, 0),),
            "sigprocmask(2)",
        ),
        _exec(spec, PROGRAM),
        Step(
            "Be PID 1",
            "Wait for orphans and signals until the program ends, then leave with its exit code",
            INIT,
            (calls.reap(CHILD),),
            "wait(2)",
        ),
    )


def _exec(spec: Spec, where: str, path: str = "") -> Step:
    process = spec["process"]
    argv, env = tuple(process.get("args") or ()), tuple(process.get("env") or ())
    if not argv or not argv[0]:
        raise UsageError("no command: neither the image nor the command line has one")
    *others, last = (path,) if path else candidates(argv[0], env)
    tries: list[Call] = [calls.execve(path, argv, env, tolerate=NOT_HERE) for path in others]
    return Step(
        "Become the program",
        "execve replaces what this process runs; it stays the same process, in the same namespaces",
        where,
        (*tries, calls.execve(last, argv, env)),
        "execve(2)",
        Proof("/proc/{pid}/exe"),
        field="process.args",
    )


def candidates(program: str, env: tuple[str, ...]) -> tuple[str, ...]:
    """Where the program may be: itself if it has a slash, else in each directory of the container's PATH."""
    if "/" in program:
        return (program,)
    path = next((item[5:] for item in env if item.startswith("PATH=")), DEFAULT_PATH)
    return tuple(f"{directory or '.'}/{program}" for directory in path.split(":"))


def supervise(
    *, tty: bool, given: frozenset[Slot], counters: Slot | None, watch: Watch | None = None, once: bool = False
) -> tuple[Step, ...]:
    """The monitor's part once the program runs; ``once``: its stdin ends with its first client."""

    def present(slot: Slot) -> Slot | None:
        return slot if slot in given else None

    stdio = (MASTER, MASTER, None) if tty else (present(TO_STDIN), present(FROM_STDOUT), present(FROM_STDERR))
    return (
        _know_that_it_runs(),
        Step(
            "Watch over it",
            "The parent carries the container's input and output, waits for its end and records how it ended",
            MONITOR,
            (
                calls.supervise(
                    INIT_PID,
                    INIT_PIDFD,
                    tty=tty,
                    stdio=stdio,
                    client=present(CLIENT),
                    exit_file=present(LIFE),
                    counters=counters,
                    **(_watching(watch) if watch else {"once": once}),
                ),
            ),
            "wait(2)",
        ),
    )


@cache
def _know_that_it_runs() -> Step:
    return Step(
        "Know that the program runs",
        "Init's end of this socket closes at a successful execve: end of file is the good news",
        MONITOR,
        (calls.read(MONITOR_END, 1, expect=0, report=True),),
        "socketpair(2)",
    )


def _watching(watch: Watch) -> dict[str, Any]:
    """What the monitor does beside carrying bytes."""
    log = (LOG, LOG_DIRECTORY, watch.log_bytes, watch.log_files) if watch.directory else None
    check = (watch.interval, watch.early, watch.check.argv[0], *watch.check) if watch.check else None
    return {
        "listener": LISTENER,
        "log": log,
        "once": watch.once,
        "stop": (watch.stop_signal, watch.stop_timeout),
        "container": watch.container,
        "check": check,
    }


@lru_cache(maxsize=64)  # the same for most containers of a process
def let_go(given: frozenset[Slot], *taken: Slot) -> tuple[Step, ...]:
    """The monitor closes the container's ends of the pipes, and what it had ``taken`` for init, which has copies."""
    ends = [slot for slot in (STDIN, STDOUT, STDERR) if slot in given] + list(taken)
    if not ends:
        return ()
    return (
        Step(
            "Let go of the container's ends",
            "A pipe ends when its last writer closes it: that must be the container, not the monitor, which has no use "
            "for its mounts and namespaces either",
            MONITOR,
            tuple(calls.close(slot) for slot in ends),
            "pipe(7)",
        ),
    )
