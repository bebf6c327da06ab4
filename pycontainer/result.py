"""How a program in a container ended, and what it wrote."""

from __future__ import annotations

from pycontainer.record import Record


class Result(Record):
    """How a program ended, and what it wrote.

    Attributes:
        code: its exit code; 128 + n after signal n.
        stdout, stderr: what it wrote.
        timed_out: it took longer than ``timeout``, and was killed.
    """

    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False

    @property
    def text(self) -> str:
        """Its stdout as text."""
        return self.stdout.decode(errors="replace")

    def check(self) -> Result:
        """This result. Raises CommandFailed if the exit code is not 0."""
        if self.code == 0:
            return self
        from pycontainer.errors import CommandFailed

        lines = self.stderr.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        what = "the command took too long" if self.timed_out else f"the command exited with {self.code}"
        raise CommandFailed(what + (f": {last}" if last else ""), self.code, self.stderr)


class Parts:
    """What a program writes, piece by piece."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[bytes]] = {1: [], 2: []}

    def add(self, stream: int, data: bytes) -> None:
        """One more, of stdout (1) or stderr (2)."""
        self._pieces[stream].append(data)

    def result(self, code: int, *, timed_out: bool = False) -> Result:
        """All of it."""
        return Result(code, b"".join(self._pieces[1]), b"".join(self._pieces[2]), timed_out)
