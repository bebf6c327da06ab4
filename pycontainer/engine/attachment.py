"""The client's side of a container's stdio: a terminal or pipes here, the monitor's socket there.

A message on the socket (SOCK_SEQPACKET) is one byte of kind and then its bytes; core/monitor.c is the other side.
"""

from __future__ import annotations

import _signal as signal  # `signal` itself: +2 ms
import os
import select
import sys

from pycontainer.core import kernel
from pycontainer.core.performer import Performance
from pycontainer.engine import keys as keys_module
from pycontainer.errors import Conflict
from pycontainer.light import ExitStack, nullcontext, suppress
from pycontainer.plan import slots
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import FrameType

    from pycontainer.core.step import Slot

TO_STDIN, RESIZE, SIGNAL, FROM_STDOUT, FROM_STDERR, EXITED, MUTE, TOLD = range(8)
CHUNK = 32768
# Signals that say something about us, not about the container
_OURS = {
    *(signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP),
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP),
}
_WINDOW = signal.SIGWINCH


_STREAMS = (
    (slots.STDIN, slots.TO_STDIN),
    (slots.STDOUT, slots.FROM_STDOUT),
    (slots.STDERR, slots.FROM_STDERR),
)
"""Each stream's end in the container, and the monitor's."""


def connection(wanted: Collection[Slot], ours: ExitStack) -> tuple[dict[Slot, int], int]:
    """Open what a monitor is handed to carry a process's stdio: those ``wanted`` of sockets and pipes.

    ``ours`` closes our copies. Returns them by slot, and the client's end of its socket.
    """
    monitor_end, init_end = kernel.socketpair(kernel.SOCK_STREAM)
    client, theirs = kernel.socketpair(kernel.SOCK_SEQPACKET)
    os.set_blocking(client, False)
    opened = {slots.MONITOR_END: monitor_end, slots.INIT_END: init_end, slots.CLIENT: theirs}
    for inner, outer in _STREAMS:
        if inner in wanted:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            opened[inner], opened[outer] = (reader, writer) if inner is slots.STDIN else (writer, reader)
            os.set_blocking(opened[outer], False)
    for descriptor in opened.values():
        ours.callback(os.close, descriptor)
    return {slot: descriptor for slot, descriptor in opened.items() if slot in wanted}, client


def require_terminal(*, tty: bool, stdin: bool) -> None:
    """What is typed into a terminal of the container's has to be typed somewhere. Raises Conflict, with docker's 1."""
    if tty and stdin and not os.isatty(0):
        error = Conflict("standard input is not a terminal", hint="leave out -t, or -i if nothing is to be read")
        error.exit_code = 1
        raise error


def terminal_size() -> tuple[int, int] | None:
    """Rows and columns of the terminal that is our stdin, or None."""
    try:
        size = os.get_terminal_size(0)
    except OSError:
        return None
    return size.lines, size.columns


_PATIENCE = 1000
"""Milliseconds that a start is given, which takes some dozens, after we were told to give up."""


class Interrupted(Exception):
    """A start does not come to its end, and is given up as a signal asks us.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        self.number = number


class Signals:
    """Collects the signals sent to us, so that none of them interrupts the making or unmaking of a container.

    As a context manager it takes over every signal that a user or a parent sends; ``descriptor`` becomes readable
    when one has come. With ``interrupt``, SIGINT still raises KeyboardInterrupt: somebody waits for a key.

    The bytes to read are the signals' numbers, written as each one comes (signal.set_wakeup_fd). A handler in Python
    could not do it: it runs when the interpreter gets to it, and one that came on the way into poll(2) would wait with
    us for something else to happen.
    """

    def __init__(self, *, interrupt: bool = False) -> None:
        self.pending: list[int] = []
        self.interrupt = interrupt
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        self.descriptor, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._woken_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in signal.valid_signals():
            if number >= signal.SIGRTMIN or number in _OURS:
                continue
            if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken_before)
        os.close(self.descriptor)
        os.close(self._wake)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.interrupt and number == signal.SIGINT:
            raise KeyboardInterrupt

    def take(self) -> list[int]:
        """The signals that have come since the last call."""
        self._read()
        taken, self.pending = self.pending, []
        return taken

    def fatal(self) -> int | None:
        """A signal that asks us to give up, if one has come: its number."""
        self._read()
        asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        return next((number for number in self.pending if number in asked), None)

    def await_record(self, status: int) -> None:
        """Wait for a performer's next record, and hear signals meanwhile.

        A start that hangs is rare: a process in a namespace that is shared may have stopped the new one. Raises
        Interrupted.
        """
        either = select.poll()
        either.register(status, select.POLLIN)
        either.register(self.descriptor, select.POLLIN)
        while True:
            number = self.fatal()
            ready = either.poll(_PATIENCE if number else None)
            if any(descriptor == status for descriptor, _ in ready):
                return
            if number and not ready:
                raise Interrupted(number)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self.pending += os.read(self.descriptor, 4096)


class NoSignals(Signals):
    """Takes over none: for a program that has containers, whose signals are its own."""

    def __enter__(self) -> NoSignals:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def await_record(self, status: int) -> None:
        """The program's own handlers interrupt the read that follows."""

    def _read(self) -> None:
        pass


class RawTerminal:
    """Standard input in raw mode, as long as the container has a terminal; always restored."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> None:
        import termios  # a shared object of its own: only where there is a terminal
        import tty

        self._mode = termios.tcgetattr(self.descriptor)
        tty.setraw(self.descriptor, termios.TCSANOW)

    def __exit__(self, *_: object) -> None:
        import termios

        termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._mode)


def window_size() -> bytes | None:
    """The struct winsize of our terminal, or None where there is none."""
    import fcntl
    import termios

    for descriptor in (1, 0, 2):
        with suppress(OSError):
            return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
    return None


class Attachment:
    """Carries bytes and signals until the container has ended and everything it wrote is delivered.

    Attributes:
        detached: the detach keys were pressed, we were told to end, or nobody reads us; the container goes on.
        code: what we are to exit with then.
        status: the wait status of its first process, or None if the monitor has not said it.
    """

    def __init__(
        self,
        client: int,
        performance: Performance | None,
        signals: Signals,
        *,
        stdin: int | None,
        tty: bool,
        proxy: bool,
        outputs: tuple[bool, bool] = (True, True),
        keys: bytes = b"",
        ends: bool = True,
        parting: tuple[int, ...] = (),
    ) -> None:
        """Be the client of the monitor behind the socket ``client``.

        Args:
            performance: the monitor, if it is a child of ours.
            stdin: what is read for the container; None for nothing.
            outputs: whether its stdout and stderr are shown.
            keys: the sequence that lets go of it, where it has a terminal.
            ends: the end of our stdin is the end of the container's.
            parting: signals on which we leave and let it go on.
        """
        self.client, self.performance, self.signals = client, performance, signals
        self.stdin, self.tty, self.proxy, self.ends = stdin, tty, proxy, ends
        self.outputs: dict[int, int | None] = {
            FROM_STDOUT: 1 if outputs[0] else None,
            FROM_STDERR: 2 if outputs[1] else None,
        }
        self.parting = parting
        self.detached, self.code = False, 0
        self.status: int | None = None
        self._matcher = keys_module.Matcher(keys if tty else b"")
        self._waiting: list[bytes] = []  # what the monitor is not ready for
        self._poll = select.poll()

    def run(self) -> None:
        """Return when the monitor has closed its end, or the detach keys were pressed."""
        raw = RawTerminal(self.stdin) if self.tty and self.stdin is not None and os.isatty(self.stdin) else None
        with raw or nullcontext():
            if self.tty:
                self._resize()
            self._loop()

    def _loop(self) -> None:
        poll = self._poll
        poll.register(self.client, select.POLLIN)
        if self.performance:
            poll.register(self.performance.status, select.POLLIN)
        poll.register(self.signals.descriptor, select.POLLIN)
        self._listen_to_stdin()
        while not self.detached:
            for descriptor, event in poll.poll():
                if descriptor == self.signals.descriptor:
                    self._forward_signals()
                elif descriptor == self.stdin:
                    self._pull_stdin()
                elif self.performance and descriptor == self.performance.status:
                    if not self.performance.read_records():
                        poll.unregister(descriptor)
                elif descriptor == self.client:
                    if event & select.POLLOUT:
                        self._resume()
                    if event & ~select.POLLOUT and not self._pull_client():
                        return

    def _listen_to_stdin(self) -> None:
        if self.stdin is not None:
            self._poll.register(self.stdin, select.POLLIN)

    def _pull_stdin(self) -> None:
        assert self.stdin is not None
        try:
            data = os.read(self.stdin, CHUNK)
        except OSError:  # a terminal that is gone
            data = b""
        if not data:
            self._poll.unregister(self.stdin)
            self.stdin = None
            if self.ends:
                self._send(bytes([TO_STDIN]))
            return
        data, self.detached = self._matcher.feed(data)
        if data:
            self._send(bytes([TO_STDIN]) + data)

    def _send(self, message: bytes) -> None:
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._push_waiting()
            if self._waiting:  # the container does not read: neither do we
                self._poll.modify(self.client, select.POLLIN | select.POLLOUT)
                if self.stdin is not None:
                    self._poll.unregister(self.stdin)

    def _push_waiting(self) -> None:
        """Send what waits, as far as the monitor takes it."""
        with suppress(BlockingIOError):
            while self._waiting:
                with suppress(BrokenPipeError, ConnectionResetError):  # the container has ended
                    os.write(self.client, self._waiting[0])
                del self._waiting[0]

    def _resume(self) -> None:
        """The monitor takes messages again."""
        self._push_waiting()
        if not self._waiting:
            self._poll.modify(self.client, select.POLLIN)
            self._listen_to_stdin()

    def _pull_client(self) -> bool:
        try:
            message = os.read(self.client, CHUNK + 1)
        except (BlockingIOError, ConnectionResetError):
            return True  # some of our input was not read: that is told before what is left for us to read
        if message and message[0] == EXITED:
            self.status = int.from_bytes(message[1:], sys.byteorder)
        elif message:
            self._deliver(message[0], message[1:])
        return bool(message)

    def _deliver(self, kind: int, data: bytes) -> None:
        descriptor = self.outputs.get(kind)
        while data and descriptor is not None:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                select.select([], [descriptor], [])
            except BrokenPipeError:
                return self._leave_as_nobody_reads()
            except OSError:  # a full disk; the container is told nothing, as in docker
                self.outputs[kind] = None
                return

    def _leave_as_nobody_reads(self) -> None:
        """Who reads us has had enough, as ``head`` has. The container does not notice, as in docker."""
        self.detached, self.code = True, 128 + signal.SIGPIPE
        with suppress(OSError):
            os.write(2, b"pyc: nobody reads the output any more: we leave, the container goes on\n")

    def _resize(self) -> None:
        size = window_size()
        if size and size != bytes(8):
            self._send(bytes([RESIZE]) + size)

    def _forward_signals(self) -> None:
        for number in self.signals.take():
            if number in self.parting:
                self.detached, self.code = True, 128 + number
            elif number == _WINDOW and self.tty:
                self._resize()
            elif number != _WINDOW and self.proxy:
                self._send(bytes([SIGNAL, number]))
            elif number != _WINDOW:
                self.detached, self.code = True, 128 + number  # --sig-proxy=false: the signal is for us
