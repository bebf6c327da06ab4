"""Programs in containers whose output is kept instead of shown: for checks, and for Python programs."""

from __future__ import annotations

import _signal as signal  # `signal` itself: +2 ms
import os
import select
import sys
import time

from pycontainer.engine import events, life
from pycontainer.engine import exec as entering
from pycontainer.engine.attachment import (
    CHUNK,
    EXITED,
    FROM_STDERR,
    FROM_STDOUT,
    SIGNAL,
    TO_STDIN,
    Interrupted,
)
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.engine.exec import ExecOptions
    from pycontainer.engine.options import Roots, RunOptions
    from pycontainer.image.events import Event

GRACE = 10  # seconds for a process to begin, and for the monitor to say that a killed one is dead


class Captured(Record):
    """How a command ended.

    Attributes:
        code: its exit code; 128 + n after signal n, 137 if it took too long.
        late: it took too long, and was killed.
    """

    code: int
    late: bool


def capture(
    roots: Roots,
    name: str,
    options: ExecOptions,
    deliver: Callable[[int, bytes], None],
    *,
    stdin: bytes = b"",
    timeout: float | None = None,
) -> Captured:
    """Run a command in a container to its end.

    Args:
        name: the container's.
        options: what to run; ``interactive`` where there is something to read.
        deliver: is called with 1 or 2, for stdout or stderr, and a piece of what was written.
        stdin: what it reads.
        timeout: seconds until it is killed. A start is given some seconds more: it must come to its end too, and
            who may signal it in there may have stopped the new process.

    Raises PycError when it can't begin. Any thread may call this.
    """
    with entering.target(roots, name) as found:
        try:
            entered = entering.start(roots, found, options, await_record=_awaiting(timeout))
            try:
                status, late = _Conversation(entered.client, deliver, stdin, timeout).hold()
            except BaseException:
                entered.performance.kill()
                entering.finished(entered, None)
                raise
        except Interrupted as interrupted:
            return Captured(life.exit_code(interrupted.number), True)
        code = entering.finished(entered, status)
        events.write(roots, "exec_die", found.container, exitCode=str(code))
        return Captured(code, late)


def run_captured(
    roots: Roots,
    options: RunOptions,
    deliver: Callable[[int, bytes], None],
    *,
    stdin: bytes = b"",
    timeout: float | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Captured:
    """Make a container and run it to its end. Arguments as of :func:`capture`, ``progress`` as of a pull.

    Raises PycError when it can't begin, with nothing left behind.
    """
    from pycontainer.engine import foreground  # who only enters containers makes none
    from pycontainer.engine.create import create
    from pycontainer.engine.image.obtain import obtained
    from pycontainer.engine.privilege import require_root
    from pycontainer.engine.repair import repair
    from pycontainer.engine.start import Attendance, Stdio, start
    from pycontainer.engine.users import Map

    require_root()
    repair(roots)
    with obtained(roots, options, progress) as image:
        bundle = create(roots, image, options)
    owners = Map(bundle.users)
    try:
        events.write(roots, "create", bundle.container)
        there = Attendance(Stdio(options.container.interactive), await_record=_awaiting(timeout))
        started = start(roots, bundle, there, owners)
        try:
            _, late = _Conversation(started.client, deliver, stdin, timeout).hold()
            while started.performance.read_records():
                pass
        except BaseException:
            started.performance.kill()
            raise
        finally:
            foreground.wind_up(started, bundle)
        status = started.performance.wait_status()
        return Captured(life.exit_code(signal.SIGKILL if status is None else status), late)
    except Interrupted as interrupted:
        return Captured(life.exit_code(interrupted.number), True)
    finally:
        foreground.leave(roots, bundle)
        owners.keep()


def _awaiting(timeout: float | None) -> Callable[[int], None] | None:
    """Wait for a start; Interrupted if it takes too long, as by the signal that ends it."""
    if timeout is None:
        return None
    deadline = time.monotonic() + timeout + GRACE

    def wait(status: int) -> None:
        poll = select.poll()
        poll.register(status, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Interrupted(signal.SIGKILL)

    return wait


class _Conversation:
    """With the monitor of a process, from its start to its end, through the socket ``client``."""

    def __init__(self, client: int, deliver: Callable[[int, bytes], None], stdin: bytes, timeout: float | None) -> None:
        self.client, self.deliver, self.stdin = client, deliver, memoryview(stdin)
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.late = False
        self.status: int | None = None

    def hold(self) -> tuple[int | None, bool]:
        """The wait status, None if nobody saw it, and whether it took too long."""
        poll = select.poll()
        poll.register(self.client, select.POLLIN | select.POLLOUT)
        writing = True
        while True:
            ready = poll.poll(self._left())
            if not ready:
                self._kill()
            if writing and ready and ready[0][1] & select.POLLOUT:
                writing = self._feed()
                poll.modify(self.client, select.POLLIN | (select.POLLOUT if writing else 0))
            if ready and ready[0][1] & ~select.POLLOUT and not self._hear():
                return self.status, self.late

    def _left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic()) * 1000

    def _kill(self) -> None:
        if self.late:
            raise Interrupted(signal.SIGKILL)
        self.late, self.deadline = True, time.monotonic() + GRACE
        with suppress(OSError):
            os.write(self.client, bytes([SIGNAL, signal.SIGKILL]))

    def _feed(self) -> bool:
        """Send some of its stdin, and at the end that this is the end; whether there is more to send."""
        piece, rest = self.stdin[:CHUNK], self.stdin[CHUNK:]
        try:
            os.write(self.client, bytes([TO_STDIN]) + piece)
        except BlockingIOError:
            return True
        except OSError:  # it has ended
            return False
        self.stdin = rest
        return len(piece) > 0

    def _hear(self) -> bool:
        try:
            message = os.read(self.client, CHUNK + 1)
        except (BlockingIOError, ConnectionResetError):  # that it has gone is said before what it has left to be read
            return True
        if message and message[0] == EXITED:
            self.status = int.from_bytes(message[1:], sys.byteorder)
        elif message and message[0] in (FROM_STDOUT, FROM_STDERR):
            self.deliver(1 if message[0] == FROM_STDOUT else 2, message[1:])
        return bool(message)
