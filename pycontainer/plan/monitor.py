"""The monitor's own place: out of its caller's session, with a log, a door for clients, and what follows at the end."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import MONITOR, Proof, Slot, Step
from pycontainer.light import cache
from pycontainer.plan.slots import LISTENER, LOCK, LOG, LOG_DIRECTORY
from pycontainer.record import Record

EAGAIN, ENOENT, ECONNRESET = 11, 2, 104
STATUS = 4  # wire.h: the socket to the pyc that started the performer
LOCK_FD = 3  # where the lock is for the program that follows
LAST_FD = 0xFFFFFFFF
RESET, GONE = Slot("pyc was killed"), Slot("pyc is gone")


class Command(Record):
    """A command of ours that the monitor starts, in the host's namespaces."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()


class Watch(Record):
    """How a container is watched over.

    Attributes:
        directory: the container's own, for the log; "" for no log.
        live: where its live state is.
        container: its ID.
        log_files, log_bytes: how many files the log may have, and how large one may be (0: any size).
        stop_signal: asks it to end when the monitor gets a SIGTERM, as when the host goes down.
        stop_timeout: seconds until it is killed then; negative for never.
        once: its stdin ends with the client that started it.
        check: looks after its health, every ``interval`` seconds, and every ``early`` seconds until it has settled.
        afterwards: follows when the container has ended and the pyc that started it is not there any more.
        always: or even if it is there.
    """

    directory: str
    live: str
    container: str
    log_files: int = 3
    log_bytes: int = 10_000_000
    once: bool = False
    stop_signal: int = k.SIGTERM
    stop_timeout: float = 10.0
    check: Command | None = None
    interval: float = 0.0
    early: float = 0.0
    afterwards: Command | None = None
    always: bool = False


def settle(watch: Watch | None) -> tuple[Step, ...]:
    """While init works, the monitor gets ready for a long life."""
    return (alone(watch.live), _open_door(), *_open_log(watch)) if watch else ()


@cache
def _open_door() -> Step:
    return Step(
        "Open a door for clients",
        "Whoever attaches later connects to this socket: only root can, since its directory is root's",
        MONITOR,
        (
            calls.unlinkat(k.AT_FDCWD, "attach", tolerate=(ENOENT,)),
            calls.socket(k.AF_UNIX, k.SOCK_SEQPACKET | k.SOCK_NONBLOCK, 0, out=LISTENER),
            calls.bind(LISTENER, "attach"),
            calls.listen(LISTENER, 64),
        ),
        "unix(7)",
    )


def alone(directory: str) -> Step:
    """Out of the caller's session, in a directory of our own choice."""
    return Step(
        "Leave the caller's session and directory",
        "A key pressed in the caller's terminal must not reach the monitor, nor may it keep a disk of theirs busy",
        MONITOR,
        (calls.setsid(), calls.chdir(directory), calls.umask(0o077)),
        "setsid(2)",
        Proof("/proc/{pid}/cwd"),
    )


def _open_log(watch: Watch) -> tuple[Step, ...]:
    if not watch.directory:
        return ()
    flags = k.O_WRONLY | k.O_CREAT | k.O_APPEND
    return (
        Step(
            "Open the log",
            "All that the container writes is kept in a file, which the monitor replaces by a new one when it is full",
            MONITOR,
            (
                calls.openat(k.AT_FDCWD, watch.directory, k.O_PATH | k.O_DIRECTORY, out=LOG_DIRECTORY),
                calls.openat(LOG_DIRECTORY, "log", flags, 0o600, out=LOG),
            ),
            "openat(2)",
        ),
    )


def follow(watch: Watch | None) -> tuple[Step, ...]:
    """At the very end. The call that looks for pyc fails while it is there; what depends on its result is skipped."""
    if watch is None or watch.afterwards is None:
        return ()
    program, at = watch.afterwards, LOCK if watch.always else GONE
    become = Step(
        "Become the program that decides what follows",
        "Restart it, remove it, or nothing: that is a decision, so it is Python's; it keeps the container's lock",
        MONITOR,
        (
            calls.dup3(LOCK, LOCK_FD),
            calls.close_range(LOCK_FD + 1, LAST_FD, k.CLOSE_RANGE_CLOEXEC),
            calls.execveat(at, program.argv[0], program.argv, program.env),
        ),
        "execveat(2)",
    )
    return (become,) if watch.always else (_look_for_pyc(), become)


@cache
def _look_for_pyc() -> Step:
    return Step(
        "See whether pyc is still there",
        "If it is, it does what is left to do itself; end of file on its socket says that it has gone, after one "
        "error if it was killed before it had read all",
        MONITOR,
        (
            calls.recvfrom(STATUS, 1, k.MSG_DONTWAIT, out=RESET, tolerate=(EAGAIN, ECONNRESET)),
            calls.recvfrom(STATUS, 1, k.MSG_DONTWAIT, out=GONE, tolerate=(EAGAIN,)),
        ),
        "recv(2)",
    )
