"""``top``: the processes of a container, looked at from outside: nothing of the container's own is executed.

The default, ``ps -ef``, is read from /proc; for other options the host's ps(1) is asked, and of its lines those are
kept that are the container's, as docker does it.
"""

from __future__ import annotations

import os
import time

from pycontainer import cgroups
from pycontainer.cgroups.usage import pids
from pycontainer.engine import containers, events
from pycontainer.engine.exec import not_running
from pycontainer.errors import HostLacks, UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from subprocess import CompletedProcess

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

_SHOWN = 1 << 16  # bytes of a command line, which may have six million, and there may be thousands of them
DEFAULT = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")


class Processes(Record):
    """A table.

    Attributes:
        titles: of the columns.
        rows: one for each process; the last column may contain spaces.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def top(roots: Roots, name: str, options: Sequence[str] = ()) -> Processes:
    """The processes of a container that runs, as ``ps OPTIONS`` shows them.

    Raises:
        NotFound, or Conflict if it does not run.
        UsageError: ps does not take the options, or does not show pids.
    """
    container = containers.find(roots, name)
    if not container.runs:
        raise not_running(container)
    events.write(roots, "top", container)
    members = members_of(container)
    if options and list(options) != ["-ef"]:
        return _of_ps(options, members)
    rows = (_described(pid) for pid in members)
    return Processes(DEFAULT, tuple(row for row in rows if row))


def members_of(container: Container) -> list[int]:
    """The pids of everybody in a container, in this pid namespace."""
    return pids(cgroups.detect().existing(container.cgroup, container.pid).directories)


# --- from /proc -----------------------------------------------------------------------------------------------------


def _described(pid: int) -> tuple[str, ...]:
    """One line of ``ps -ef``; () if the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            head, _, rest = file.read().rpartition(") ")
        with open(f"/proc/{pid}/cmdline", "rb") as raw:
            words = raw.read(_SHOWN).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return ()
    fields = rest.split()
    ticks = os.sysconf("SC_CLK_TCK")
    used, began = (int(fields[11]) + int(fields[12])) / ticks, _boot_time() + int(fields[19]) / ticks
    lived = max(1.0, time.time() - began)
    name = "[" + head.partition("(")[2] + "]"
    state = " <defunct>" if fields[0] == "Z" else ""
    return (
        _user(uid),
        str(pid),
        fields[1],
        str(int(100 * used / lived)),
        time.strftime("%H:%M" if lived < 86400 else "%b%d", time.localtime(began)),
        _terminal(int(fields[4])),
        time.strftime("%H:%M:%S", time.gmtime(used)),
        (words or name) + state,
    )


def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _user(uid: int) -> str:
    """The host's name for it, as ps shows it."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _terminal(number: int) -> str:
    """``pts/0``; majors 136 to 143 are those (proc_pid_stat(5), tty_nr)."""
    major, minor = os.major(number), os.minor(number)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"


# --- from ps --------------------------------------------------------------------------------------------------------


def _ps(*options: str) -> CompletedProcess[str]:
    import subprocess  # +8 ms, and the process costs more

    try:
        return subprocess.run(
            ["ps", *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        raise HostLacks("this host has no ps", hint="without options for it, top needs none") from None


def _of_ps(options: Sequence[str], members: Sequence[int]) -> Processes:
    done = _ps(*options, "-q", ",".join(map(str, members)))  # without -q, -o shows who has our user and terminal
    if done.returncode:
        done = _ps(*options)  # another ps may not know that option
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UsageError(f"ps {' '.join(options)}: {said[0] if said else f'exit code {done.returncode}'}")
    lines = done.stdout.split("\n")  # a command line may have what else ends lines in Unicode
    titles = tuple(lines[0].split())
    if "PID" not in titles:
        raise UsageError("the options for ps must show the column PID", hint="for example: -o pid,user,args")
    at = titles.index("PID")
    rows = (tuple(line.split(None, len(titles) - 1)) for line in lines[1:])
    return Processes(
        titles, tuple(row for row in rows if len(row) > at and row[at].isdecimal() and int(row[at]) in members)
    )
