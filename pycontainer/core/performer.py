"""Start the performer with a plan and follow what it reports."""

from __future__ import annotations

import errno
import os
from _struct import pack  # `struct` itself is a file more to be read
from fcntl import fcntl

from pycontainer.core import kernel
from pycontainer.core.constants import AT_EMPTY_PATH, CLONE_INTO_CGROUP, SIGCHLD, SIGKILL
from pycontainer.core.step import INIT, MONITOR, ROLES, Call, Plan, Proof, Slot, Step, Strings
from pycontainer.core.wire import RECORD_BYTES, REFUSED, Outcome, Score, calls_of, encode, outcomes
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

F_ADD_SEALS = 1033
SEAL_ALL = 0x0F  # no write, no grow, no shrink, and no more seals
SPAWN_FLAGS = 0x5100  # CLONE_VM|CLONE_VFORK|CLONE_PIDFD
FIRST_GIVEN = 9  # wire.h: after the plan, the status socket and a gate for each role


def start_step(name: str, cgroup: int = -1) -> Step:
    """What :func:`pycontainer.core.kernel.spawn` does, as the first step of every plan that is watched."""
    if cgroup < 0:
        born = Call("clone", (SPAWN_FLAGS | SIGCHLD,))
    else:
        born = Call("clone3", (pack("11Q", SPAWN_FLAGS | CLONE_INTO_CGROUP, 0, 0, 0, SIGCHLD, *[0] * 5, cgroup), 88))
    return Step(
        "Start the performer",
        "A tiny static program carries out the plan, so that no Python, and nothing of Python's memory, "
        "enters a container",
        "pyc",
        (
            born,
            Call("execveat", (Slot("performer"), "", Strings(("pyc-monitor", name)), Strings(()), AT_EMPTY_PATH)),
        ),
        "memfd_create(2)",
        Proof("/proc/{pid}/exe"),
    )


class Observer:
    """Somebody who watches a plan being performed, call by call, and may take their time."""

    def begin(self, plan: Plan, given: tuple[Slot, ...]) -> None:
        """All that will be done, and what the performer is started with, as descriptors from FIRST_GIVEN on."""

    def before(self, index: int, step: Step, call: Call, pid: int) -> None:
        """``call`` is about to be made by process ``pid``, which waits."""

    def after(self, index: int, step: Step, call: Call, record: Outcome, pid: int) -> None:
        """``call`` has been made."""


class PlanFailed(Exception):
    """A call failed that the plan does not tolerate. The process that made it is gone.

    Attributes:
        step, call, record: where and how.
        earlier: the records before it, by index.
    """

    def __init__(self, step: Step, call: Call, record: Outcome, earlier: dict[int, Outcome]) -> None:
        super().__init__(step.title, call.name, record.error)
        self.step, self.call, self.record, self.earlier = step, call, record, earlier


_executable: int | None = None


def executable() -> int:
    """A read-only descriptor of a sealed memfd that holds the performer, one for the life of this process.

    A container that finds it through /proc/1/exe can neither write it nor open it for writing, and it is no file
    of the host's. Source: memfd_create(2), F_ADD_SEALS in fcntl(2).
    """
    global _executable
    if _executable is None:
        with open(os.path.join(os.path.dirname(__file__), "performer"), "rb") as file:
            program = file.read()
        writable = os.memfd_create("pyc-performer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(writable, program)
            fcntl(writable, F_ADD_SEALS, SEAL_ALL)
            _executable = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(writable)
    return _executable


class Performance:
    """A plan being performed.

    Attributes:
        monitor: pid of the monitor.
        pidfd: the monitor's; readable when it has ended.
        status: the socket that records come from; at its end the monitor has ended.
        results: the records so far, by index of the call.
    """

    def __init__(
        self,
        plan: Plan,
        given: dict[Slot, int],
        *,
        name: str,
        observer: Observer | None = None,
        cgroup: int = -1,
        score: Score | None = None,
    ) -> None:
        """Start a performer on ``plan`` with the descriptors ``given``, which stay open here too.

        ``name`` is what ps(1) shows; ``cgroup`` where it is born, as for :func:`pycontainer.core.kernel.spawn`;
        ``score`` is the plan encoded, if it is already. Raises OSError when no process can be made.
        """
        if score is None:
            watched = observer is not None
            score = Score(calls_of(plan), encode(plan, tuple(given), gated=watched, report_all=watched))
        self.calls = score.calls
        self.results: dict[int, Outcome] = {}
        self._observer = observer
        self._pids: dict[str, int] = {}
        self._gates: dict[str, int] = {}
        self._announced = -1
        reap_those_left()
        plan_fd = os.memfd_create("pyc-plan", os.MFD_CLOEXEC)
        self.status, status = kernel.socketpair(kernel.SOCK_STREAM)
        handed_over = [plan_fd, status]
        try:
            os.write(plan_fd, score.image)
            for role in ROLES:
                gate, self._gates[role] = os.pipe2(os.O_CLOEXEC) if observer else (status, -1)
                handed_over.append(gate)
            self._spawn([*handed_over, *given.values()], name, plan, tuple(given), cgroup)
        finally:
            for fd in set(handed_over):
                os.close(fd)

    def _spawn(self, descriptors: list[int], name: str, plan: Plan, given: tuple[Slot, ...], cgroup: int) -> None:
        if (observer := self._observer) is not None:
            start = start_step(name, cgroup)
            observer.begin((start, *plan), given)
            observer.before(-2, start, start.calls[0], os.getpid())
        self.monitor, self.pidfd = kernel.spawn(executable(), descriptors, ["pyc-monitor", name], cgroup)
        self._pids[MONITOR] = self.monitor
        if observer is not None:
            observer.after(-2, start, start.calls[0], Outcome(-2, 0, self.monitor, 0), os.getpid())
            observer.before(-1, start, start.calls[1], self.monitor)
            observer.after(-1, start, start.calls[1], Outcome(-1, 0, 0, 0), self.monitor)

    def wait_started(self, await_record: Callable[[int], None] | None = None) -> None:
        """Return when the container's program has been executed.

        ``await_record`` is called with ``status`` to wait until that is readable, and may raise what it likes.
        Raises PlanFailed: a call failed; the container does not exist, but what the monitor had made may.
        """
        if self._observer is not None:
            self._one_by_one(self._observer)
        last = len(self.calls) - 1  # what tells it is near the end
        started = next(index for index in range(last, -1, -1) if _tells_the_start(*self.calls[index]))
        self._wait_until(started, await_record)

    def wait_for(self, awaited: Callable[[Step, Call], bool]) -> Outcome:
        """The record of the first call that is ``awaited``, once it has been made. Raises PlanFailed."""
        return self._wait_until(next(i for i, (step, call) in enumerate(self.calls) if awaited(step, call)))

    def _wait_until(self, index: int, await_record: Callable[[int], None] | None = None) -> Outcome:
        while index not in self.results:
            if await_record:
                await_record(self.status)
            if not self.read_records():
                step, call = self.calls[index]
                raise PlanFailed(step, call, Outcome(index, errno.ECONNRESET, 0, 0), self.results)
        return self.results[index]

    def _one_by_one(self, observer: Observer) -> None:
        """Let the processes make one call at a time, up to the first execve."""
        for index, (step, call) in enumerate(self.calls):
            self._announce(index, observer)
            if call.name == "execve":
                break
            self._let_go(step.role, 1)
            while index not in self.results:
                if not self._is_answered(step.role) or not self.read_records():
                    raise PlanFailed(step, call, Outcome(index, errno.ECONNRESET, 0, 0), self.results)
        for role in ROLES:
            self._let_go(role, len(self.calls))

    def _let_go(self, role: str, calls: int) -> None:
        with suppress(BrokenPipeError):  # it has ended: the records say why
            os.write(self._gates[role], b"." * calls)

    def _is_answered(self, role: str) -> bool:
        """Wait for a record; False if the process whose turn it is was killed instead, or the monitor.

        The others wait at their gates, and would keep the status socket open for ever.
        """
        import select  # only for those who watch

        poll = select.poll()
        poll.register(self.status, select.POLLIN)
        poll.register(self.pidfd, select.POLLIN)
        turn = -1
        with suppress(ProcessLookupError):
            turn = os.pidfd_open(self._pids[role]) if self._pids.get(role) else -1
        try:
            if turn >= 0:
                poll.register(turn, select.POLLIN)
            poll.poll()
            poll.unregister(self.pidfd)  # who ends may have reported just before
            if turn >= 0:
                poll.unregister(turn)
            return bool(poll.poll(0))
        finally:
            if turn >= 0:
                os.close(turn)

    def _announce(self, index: int, observer: Observer) -> None:
        if index > self._announced:
            step, call = self.calls[index]
            self._announced = index
            observer.before(index, step, call, self._pids.get(step.role, 0))

    def read_records(self) -> bool:
        """Take in what the performer has reported since, waiting for it; False when it has ended.

        Raises PlanFailed.
        """
        data = os.read(self.status, RECORD_BYTES * 128)  # the performer writes whole records
        for record in outcomes(data):
            self._take(record)
        return bool(data)

    def _take(self, record: Outcome) -> None:
        if record.index == REFUSED:
            raise RuntimeError("the performer refused the plan: the encoder and wire.h disagree")
        step, call = self.calls[record.index]
        if self._observer and _tells_the_start(step, call):
            self._narrate_exec(self._observer)
        self.results[record.index] = record
        if call.child and record.value > 0:
            self._pids[call.child] = record.value
            if step.role != MONITOR and self._observer:
                self._pids[call.child] = _only_child(self._pids[step.role])
        if self._observer:
            self._announce(record.index, self._observer)
            self._observer.after(record.index, step, call, record, self._pids.get(step.role, 0))
        if record.error > 0 and record.error not in call.tolerate:
            raise PlanFailed(step, call, record, self.results)

    def _narrate_exec(self, observer: Observer) -> None:
        """An execve that succeeds reports nothing: its process has become another program."""
        for index, (step, call) in enumerate(self.calls):
            if call.name == "execve" and index not in self.results:
                self._announce(index, observer)
                observer.after(index, step, call, Outcome(index, 0, 0, 0), self._pids.get(step.role, 0))
                return

    @property
    def init(self) -> int:
        """Pid of the container's first process, in this process's pid namespace; 0 before it exists."""
        return self._pids.get(INIT, 0) or next(
            (r.value for i, r in self.results.items() if self.calls[i][1].child == INIT and r.value > 0), 0
        )

    def wait_status(self) -> int | None:
        """The wait status of the container's first process, once `supervise` has reported it."""
        for index, record in self.results.items():
            if self.calls[index][1].name == "supervise":
                return record.value
        return None

    def kill(self) -> None:
        """End the monitor, and with it (PR_SET_PDEATHSIG) the container."""
        with suppress(ProcessLookupError):
            kernel.pidfd_send_signal(self.pidfd, SIGKILL)

    def kill_both(self) -> None:
        """The same, where the process may have been stopped before it was tied to the monitor."""
        if child := _only_child(self.monitor):
            with suppress(ProcessLookupError):
                pidfd = os.pidfd_open(child)
                try:
                    if _only_child(self.monitor) == child:  # else the number may be another's by now
                        kernel.pidfd_send_signal(pidfd, SIGKILL)
                finally:
                    os.close(pidfd)
        self.kill()

    def close(self) -> None:
        """Release the monitor's descriptors, for which a process that failed may wait, and wait for its end."""
        self._release()
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)

    def leave(self) -> None:
        """Release the descriptors of a monitor that goes on; it is waited for when this process starts another."""
        self._release()
        _left.append(self.pidfd)

    def _release(self) -> None:
        for fd in (self.status, *(gate for gate in self._gates.values() if gate >= 0)):
            os.close(fd)


_left: list[int] = []  # pidfds of monitors that went on


def reap_those_left() -> None:
    """Wait for those that have ended: a process that lives on would else be the parent of zombies."""
    for _ in range(len(_left)):
        try:
            pidfd = _left.pop(0)  # so that it is ours: what another thread has closed may be any descriptor
        except IndexError:
            return
        ended = True
        with suppress(ChildProcessError):  # somebody else waits for all children of this process
            ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is not None
        if ended:
            os.close(pidfd)
        else:
            _left.append(pidfd)


def _tells_the_start(step: Step, call: Call) -> bool:
    """The monitor's read that ends when init has executed the program: the end of the error pipe."""
    return call.name == "read" and call.expect == 0 and step.role == MONITOR


def _only_child(parent: int) -> int:
    """The pid here of a child of ``parent``'s, wherever it was made: in its own pid namespace it has another; or 0."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as children:
            return int(children.read().split()[0])
    except (OSError, IndexError):
        return 0  # it has ended already
