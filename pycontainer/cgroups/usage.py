"""What a cgroup has used so far, and who is in it, read from its files in v1 and v2.

In v1 a container has directories only where something is limited. What no cgroup counts is added up over its processes
instead: less exact, since the times there are in clock ticks and a process that nobody waited for is forgotten.

Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, cgroup-v1/cpuacct.rst,
cgroup-v1/blkio-controller.rst, proc_pid_stat(5), proc_pid_io(5).
"""

from __future__ import annotations

import os

from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNLIMITED = 1 << 60
"""A limit above this is none: v1 says 2^63 rounded down to a page."""


class Usage(Record):
    """Counts since the beginning, but memory and tasks, which are of now.

    Attributes:
        cpu: nanoseconds of CPU time.
        memory, memory_limit: bytes; memory without the page cache that could go at once, as docker counts; a limit of
            0 is none.
        read, written: bytes from and to block devices.
        tasks, tasks_limit: processes and threads; a limit of 0 is none.
    """

    cpu: int
    memory: int
    memory_limit: int
    read: int
    written: int
    tasks: int
    tasks_limit: int


def usage(directories: Sequence[str]) -> Usage:
    """What the cgroup with these directories, one in each hierarchy, has used."""
    members = pids(directories)
    memory, limit = _memory(directories)
    read, written = _block_io(directories, members)
    tasks = _number(directories, "pids.current")
    maximum = _number(directories, "pids.max")
    return Usage(
        _cpu(directories, members),
        memory,
        limit,
        read,
        written,
        tasks if tasks is not None else len(members),
        maximum or 0,
    )


def pids(directories: Iterable[str]) -> list[int]:
    """Everybody in the cgroup and in those below it, as this pid namespace numbers them."""
    found: set[int] = set()
    for directory in directories:
        for place, _, _ in os.walk(directory):
            with suppress(OSError), open(f"{place}/cgroup.procs") as file:
                found |= {int(line) for line in file}
    return sorted(found - {0})


# --- one resource each ----------------------------------------------------------------------------------------------


def _cpu(directories: Iterable[str], members: Iterable[int]) -> int:
    if (nanoseconds := _number(directories, "cpuacct.usage")) is not None:
        return nanoseconds
    if microseconds := _table(directories, "cpu.stat").get("usage_usec"):
        return microseconds * 1000
    tick = 10**9 // os.sysconf("SC_CLK_TCK")
    return tick * sum(sum(map(int, _stat(pid)[11:15])) for pid in members)  # utime, stime, and those of its children


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    text = _read(f"/proc/{pid}/stat")
    return text.rpartition(") ")[2].split()


def _memory(directories: Iterable[str]) -> tuple[int, int]:
    stat = _table(directories, "memory.stat")
    used = _number(directories, "memory.current")
    cache = stat.get("inactive_file", 0)
    if used is None:
        used, cache = _number(directories, "memory.usage_in_bytes") or 0, stat.get("total_inactive_file", 0)
    limit = _number(directories, "memory.max") or _number(directories, "memory.limit_in_bytes") or 0
    return max(0, used - cache), limit if limit < UNLIMITED else 0


def _block_io(directories: Iterable[str], members: Iterable[int]) -> tuple[int, int]:
    """io.stat has ``8:0 rbytes=1 wbytes=2 ...``; v1 has ``8:0 Read 1``."""
    if text := _text(directories, "io.stat"):
        words = [word.partition("=") for word in text.split()]
        return tuple(sum(int(n) for key, _, n in words if key == kind) for kind in ("rbytes", "wbytes"))  # type: ignore[return-value]
    if text := _text(directories, "blkio.throttle.io_service_bytes_recursive"):
        lines = [line.split() for line in text.splitlines()]
        return tuple(
            sum(int(line[2]) for line in lines if len(line) == 3 and line[1] == kind) for kind in ("Read", "Write")
        )  # type: ignore[return-value]
    read = written = 0
    for pid in members:
        counted = dict(line.split(": ") for line in _read(f"/proc/{pid}/io").splitlines())
        read += int(counted.get("read_bytes", 0))
        written += int(counted.get("write_bytes", 0))
    return read, written


# --- files ----------------------------------------------------------------------------------------------------------


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:  # a process may be called by what is no text
            return file.read()
    except OSError:  # the process or the cgroup is gone, or this kernel has no such file
        return ""


def _text(directories: Iterable[str], file: str) -> str:
    return next((text for directory in directories if (text := _read(f"{directory}/{file}"))), "")


def _number(directories: Iterable[str], file: str) -> int | None:
    """None where there is no such file, or it says "max"."""
    text = _text(directories, file).strip()
    return int(text) if text.isdecimal() else None


def _table(directories: Iterable[str], file: str) -> dict[str, int]:
    """``name number`` lines."""
    pairs = (line.split() for line in _text(directories, file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
