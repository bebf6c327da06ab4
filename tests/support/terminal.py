"""A program on a pseudo-terminal, driven as a person would: read the screen, press keys, change the window's size."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from types import TracebackType
from typing import Any

from tests.support.host import PATIENCE

ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78cDEHM])")

CTRL_C, CTRL_D, CTRL_P, CTRL_Q, CTRL_Z = "\x03", "\x04", "\x10", "\x11", "\x1a"


class Terminal:
    """``argv`` as the leader of a session whose controlling terminal this is; use it in a ``with`` block.

    Attributes:
        process: the program; ``process.pid`` is its session and process group.
        transcript: every byte that it wrote to the terminal so far.
    """

    def __init__(self, argv: list[str], *, env: dict[str, str], cwd: str = "/", rows: int = 24, columns: int = 80):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.transcript = b""
        self._seen = 0
        # setsid(1) makes itself a session leader, takes the terminal as its own (TIOCSCTTY) and becomes the program.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env, cwd=cwd
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def send(self, keys: str) -> None:
        """Press ``keys``; Return is ``\\n`` or ``\\r``."""
        os.write(self.master, keys.encode())

    def expect(self, pattern: str, timeout: float = 10) -> str:
        """Wait until the screen's new text, escapes removed, matches ``pattern``; return the match.

        The text up to the end of the match is used up: the next call looks behind it.

        Raises:
            AssertionError: it did not appear in ``timeout`` seconds, or the program ended without it.
        """
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            ended = self.process.poll() is not None
            self._read(0.02)
            text = plain(self.transcript)
            found = re.compile(pattern, re.MULTILINE).search(text, self._seen)
            if found:
                self._seen = found.end()
                return found.group()
            if ended or time.monotonic() > deadline:
                why = f"ended with {self.process.returncode}" if ended else f"silent for {timeout} s"
                raise AssertionError(f"no {pattern!r} on the terminal ({why}); it shows:\n{text[self._seen :]}")

    def wait(self, timeout: float = 10) -> int:
        """Read until the program ends and return its exit code (negative: the signal that killed it)."""
        deadline = time.monotonic() + timeout * PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {timeout} s; the terminal shows:\n{plain(self.transcript)}")
            self._read(0.02)
        self._read(0)
        return self.process.returncode

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the kernel sends SIGWINCH to the foreground process group."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def attributes(self) -> list[Any]:
        """The terminal's settings (termios(3)), to compare before and after."""
        return termios.tcgetattr(self.slave)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program, as ``kill`` from another terminal would."""
        self.process.send_signal(number)

    @property
    def screen(self) -> str:
        """Everything written so far, escapes and carriage returns removed."""
        self._read(0)
        return plain(self.transcript)

    def _read(self, seconds: float) -> None:
        while select.select([self.master], [], [], seconds)[0]:
            data = os.read(self.master, 65536)
            if not data:
                return
            self.transcript += data
            seconds = 0


def plain(data: bytes) -> str:
    """Terminal output as text: no escape sequences, no carriage returns."""
    return ESCAPES.sub(b"", data).replace(b"\r", b"").decode("utf-8", "replace")
