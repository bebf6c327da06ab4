"""What a container has written: its log, in the CRI's format, over the files that rotation has made of it.

A record is ``<time> stdout|stderr F|P <text>``; P is a piece of a line that goes on in a later record of its stream.
The times have one length and one zone, so they compare as text.
"""

from __future__ import annotations

import os
import time
from io import BytesIO

from pycontainer.engine import life
from pycontainer.engine.moments import now
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

PAUSE = 0.05  # between two looks at a log that is followed
_STAMP = 30  # bytes of a time
_HEAD = _STAMP + len(" stdout F ")
_BLOCK = 1 << 18


class Entry(Record):
    """One record.

    Attributes:
        stamp: when, in UTC with nanoseconds (RFC 3339).
        stream: ``stdout`` or ``stderr``.
        text: what was written, with the newline if the line ends here.
    """

    stamp: str
    stream: str
    text: bytes

    @property
    def ends(self) -> bool:
        """Whether the line ends here."""
        return self.text.endswith(b"\n")


def read(
    roots: Roots, container: Container, *, tail: int = -1, since: str = "", until: str = "", follow: bool = False
) -> Iterator[Entry]:
    """The records of a log, the oldest first.

    Args:
        tail: only so many lines at the end; all if negative.
        since, until: times, in the form of :class:`Entry`'s; "" for no limit.
        follow: go on with what is written, until the container has ended.
    """
    directory = roots.container(container.id)

    def is_over() -> bool:
        return not follow or not life.is_alive(roots, container.id) or bool(until and now() > until)

    for entry in _Log(directory, _start(directory, tail)).entries(is_over):
        if until and entry.stamp > until:
            return
        if entry.stamp >= since:
            yield entry


def files(directory: str) -> list[str]:
    """The files of the log, the oldest first."""
    older = [f"{directory}/log.{number}" for number in range(9, 0, -1)]
    return [path for path in [*older, f"{directory}/log"] if os.path.exists(path)]


def _start(directory: str, tail: int) -> tuple[int, int]:
    """Where to begin so that ``tail`` lines follow: how many files from the end, and the offset there."""
    paths = files(directory)
    if tail < 0:
        return len(paths) - 1, 0
    left = tail
    for back, path in enumerate(reversed(paths)):
        with open(path, "rb") as file:
            found = _offset(file.fileno(), left)
        if found[0] >= 0:
            return back, found[0]
        left = found[1]
    return max(len(paths) - 1, 0), 0


def _offset(file: int, lines: int) -> tuple[int, int]:
    """Where the last ``lines`` lines of the file begin, or -1 and how many more are wanted.

    A line that has not ended yet is one, too.
    """
    at = os.fstat(file).st_size
    if lines == 0:
        return at, 0
    last = True
    while at > 0:
        start = max(0, at - _BLOCK)
        records = BytesIO(os.pread(file, at - start, start)).readlines()  # only \n ends one: a container may write \r
        if start > 0 and len(records) > 1:
            start += len(records.pop(0))  # it may begin before the block: it belongs to the next one
        for record in reversed(records):
            if record[_HEAD - 2 : _HEAD - 1] == b"F":
                if lines == 0:
                    return at, 0
                lines -= 1
            elif last:
                lines -= 1
            last = False
            at -= len(record)
    return (0, 0) if lines == 0 else (-1, lines)


class _Log:
    """A log being read, across its files."""

    def __init__(self, directory: str, start: tuple[int, int]) -> None:
        self.directory = directory
        self.buffer = b""
        self.file = -1
        back, offset = start
        with suppress(FileNotFoundError):
            path = f"{directory}/log.{back}" if back > 0 else f"{directory}/log"
            self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            os.lseek(self.file, offset, os.SEEK_SET)

    def entries(self, is_over: Callable[[], bool]) -> Iterator[Entry]:
        """All records, to the end of the newest file; then those that come, until ``is_over``."""
        try:
            while True:
                over = is_over()
                yield from self._rest()
                if (newer := self._newer()) is not None:
                    yield from self._rest()  # nobody adds to this file any more
                    self._close()
                    self.file, self.buffer = newer, b""
                elif over:  # it was before we read the last of it
                    return
                else:
                    time.sleep(PAUSE)
        finally:
            self._close()

    def _close(self) -> None:
        if self.file >= 0:
            os.close(self.file)

    def _rest(self) -> Iterator[Entry]:
        while self.file >= 0 and (data := os.read(self.file, _BLOCK)):
            lines = (self.buffer + data).split(b"\n")
            self.buffer = lines.pop()
            for line in lines:
                if (entry := parse(line)) is not None:
                    yield entry

    def _newer(self) -> int | None:
        """The file after this one, if the monitor has begun another; the oldest, if ours was rotated away meanwhile."""
        mine = os.fstat(self.file).st_ino if self.file >= 0 else 0
        found: list[int] = []
        for path in reversed(files(self.directory)):  # the newest first: a rotation meanwhile shows one twice, or ours
            with suppress(FileNotFoundError):
                found.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        inodes = [os.fstat(file).st_ino for file in found]
        at = inodes.index(mine) - 1 if mine in inodes else len(found) - 1
        for number, file in enumerate(found):
            if number != at:
                os.close(file)
        return found[at] if at >= 0 else None


def parse(line: bytes) -> Entry | None:
    """One record; None for what is none, after a disk was full."""
    stream, tag = line[_STAMP + 1 : _HEAD - 3], line[_HEAD - 3 : _HEAD]
    if stream not in (b"stdout", b"stderr") or tag not in (b" F ", b" P "):
        return None
    text = line[_HEAD:] + (b"\n" if tag == b" F " else b"")
    return Entry(line[:_STAMP].decode("ascii", "replace"), stream.decode(), text)
