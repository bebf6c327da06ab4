"""Processes that `pyc-oci` waits for: it passes signals on, carries a terminal, and leaves with their exit code."""

from __future__ import annotations

import os
from _signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, signal  # `signal` itself: +2 ms

from pycontainer.core import kernel
from pycontainer.core.constants import TIOCSWINSZ
from pycontainer.light import closing, contextmanager, suppress
from pycontainer.oci.create import create
from pycontainer.oci.start import begin
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pycontainer.oci.asked import Asked
    from pycontainer.oci.inside import Wanted
    from pycontainer.oci.spec import Process
    from pycontainer.oci.state import Home

_CHUNK = 65536
_PASSED_ON = (SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2)


def run(home: Home, name: str, asked: Asked, *, keep: bool) -> int:
    """Create, start, wait, delete."""
    with _console(asked.console_socket) as (theirs, ours):
        state, spec, starter = create(home, name, asked, console=theirs, at_once=True)
        ended = False
        try:
            begin(home, state, spec, starter)
            _load_what_follows()
            code = wait(state.pid, ours if spec["process"].get("terminal") else -1)
            ended = True
            return code
        finally:
            from pycontainer.oci import control

            if not keep and ended:
                control.forget(home, state, spec)
            elif not keep:
                control.delete(home, name, force=True)


def _load_what_follows() -> None:
    """While the program runs, nobody waits for us."""
    from pycontainer.oci import control  # noqa: F401


def restore(home: Home, name: str, asked: Asked, options: dict[str, Any]) -> int:
    """The same for a container that is made from files."""
    from pycontainer.oci import checkpoint, control

    state = checkpoint.restore(home, name, asked, options)
    try:
        return wait(state.pid, -1)
    finally:
        control.delete(home, name, force=True)


def execute(home: Home, name: str, process: Process, wanted: Wanted) -> int:
    """The same for a second process."""
    from pycontainer.oci import inside

    with _console(wanted.asked.console_socket if process.get("terminal") else "-") as (theirs, ours):
        pid = inside.execute(home, name, process, wanted, console=theirs)
        return wait(pid, ours)


@contextmanager
def _console(elsewhere: str) -> Iterator[tuple[int, int]]:
    """Two ends of a socket: a terminal is sent through it, unless it goes elsewhere."""
    if elsewhere:
        yield -1, -1
        return
    ends = kernel.socketpair(kernel.SOCK_STREAM)
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def wait(pid: int, console: int) -> int:
    """The exit code of our child, 128 + N if signal N ended it."""
    for number in _PASSED_ON:
        signal(number, lambda number, _: _pass_on(pid, number))
    master = _receive(console) if console >= 0 else -1
    if master >= 0:
        with _raw(master):
            _carry(master)
    while True:
        with suppress(InterruptedError):
            _, status = os.waitpid(pid, 0)
            break
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _pass_on(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _receive(console: int) -> int:
    """The terminal that was sent, or -1: there was none to send."""
    import _socket  # +0.3 ms

    with closing(_socket.socket(fileno=os.dup(console))) as end:
        end.setblocking(False)
        try:
            _, ancillary, _, _ = end.recvmsg(64, _socket.CMSG_SPACE(4))
        except BlockingIOError:
            return -1
    return next((int.from_bytes(data[:4], "little") for _, kind, data in ancillary if kind == _socket.SCM_RIGHTS), -1)


@contextmanager
def _raw(master: int) -> Iterator[None]:
    """Our own terminal lets every key through, and tells the other one its size."""
    if not os.isatty(0):
        yield
        return
    import termios
    import tty
    from fcntl import ioctl

    def resize(*_: object) -> None:
        with suppress(OSError):
            ioctl(master, TIOCSWINSZ, ioctl(0, termios.TIOCGWINSZ, bytes(8)))

    resize()
    signal(SIGWINCH, resize)
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _carry(master: int) -> None:
    """Between our streams and the terminal, until its other side is closed."""
    import select

    sources = [0, master]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if 0 in ready:
            data = os.read(0, _CHUNK)
            if not data:
                sources.remove(0)
            _write_all(master, data or b"\x04")
        if master in ready:
            try:
                data = os.read(master, _CHUNK)
            except OSError:  # EIO: nobody has the other side any more
                return
            _write_all(1, data)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
