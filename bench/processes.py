"""What /proc says about processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress


def field(pid: int, file_name: str, name: str) -> float:
    """The number after ``name`` in a file of a process; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/{file_name}") as file:
            return next(float(line.split()[1]) for line in file if line.startswith(name + ":"))
    except (OSError, StopIteration):
        return 0.0


def pss(pid: int) -> float:
    """KiB of memory, each shared page divided among those that share it; 0 if it has ended."""
    return field(pid, "smaps_rollup", "Pss")


def ticks(pid: int) -> int:
    """Processor time so far, in clock ticks; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def neighbours(pid: int | str) -> Iterator[tuple[int, list[str]]]:
    """The processes in the mount namespace of ``pid``, each with its command line."""
    where = os.readlink(f"/proc/{pid}/ns/mnt")
    for one, words in everybody():
        with suppress(OSError):
            if os.readlink(f"/proc/{one}/ns/mnt") == where:
                yield one, words


def everybody() -> Iterator[tuple[int, list[str]]]:
    """All processes with their command lines; what the kernel itself runs has none."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{entry}/cmdline") as file:
            if text := file.read().rstrip("\0"):
                yield int(entry), text.split("\0")


def end_all(directory: str) -> None:
    """Kill who has been left in our mount namespace or works on ``directory``, and their children: containers."""
    with suppress(OSError):
        left = {pid for pid, _ in neighbours("self")}
        left |= {pid for pid, words in everybody() if any(directory in word for word in words)}
        left -= {os.getpid(), os.getppid()}
        children = {pid for pid, _ in everybody() if int(field(pid, "status", "PPid")) in left}
        for pid in left | children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
