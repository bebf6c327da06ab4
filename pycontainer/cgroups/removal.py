"""Removing a cgroup when somebody may still be in it: what repairs after a monitor was killed."""

from __future__ import annotations

import _signal as signal  # `signal` itself: +2 ms
import errno
import os
import time

from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The kernel lets a cgroup be removed some microseconds after the last process in it was waited for.
FIRST_PAUSE, LONGEST_PAUSE = 0.0005, 0.1


def remove(directories: Iterable[str], *, kill: bool, timeout: float) -> tuple[str, ...]:
    """Remove cgroups with all that are below them, trying again for ``timeout`` seconds; returns those still in use.

    With ``kill``, processes in them are killed, frozen ones too, by SIGKILL.
    """
    left = tuple(directories)
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        left = tuple(directory for directory in left if not _remove(directory, kill=kill))
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _remove(directory: str, *, kill: bool) -> bool:
    """One attempt; whether the directory is gone."""
    if _is_removed(directory):  # nobody is in it, and nothing below: so it is after an ordinary end
        return True
    if any(os.getpid() in _pids(cgroup) for cgroup in _below(directory)):
        return False  # we live in there ourselves
    if kill and not _write(f"{directory}/cgroup.kill", "1"):  # v2 kills all below at once; v1 has no such file
        for cgroup in _below(directory):
            _kill(cgroup)
    return all(map(_is_removed, _below(directory)))


def _is_removed(cgroup: str) -> bool:
    try:
        os.rmdir(cgroup)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _below(directory: str) -> list[str]:
    """The cgroups in and under ``directory``, deepest first."""
    return [top for top, _, _ in os.walk(directory, topdown=False)]


def _kill(cgroup: str) -> None:
    _write(f"{cgroup}/pids.max", "0")  # nobody in it can fork any more
    for pid in _pids(cgroup):
        with suppress(OSError):
            # A pid may be another process's a moment later. A descriptor is for one process, checked to be in here.
            pidfd = os.pidfd_open(pid)
            try:
                if pid in _pids(cgroup):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)
    _write(f"{cgroup}/freezer.state", "THAWED")  # a frozen process dies when it runs again


def _pids(cgroup: str) -> list[int]:
    """Who is in it, without those outside of our pid namespace, which the kernel shows as 0."""
    try:
        with open(f"{cgroup}/cgroup.procs") as file:
            return [pid for line in file if (pid := int(line))]
    except OSError:
        return []


def _write(path: str, text: str) -> bool:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        return False
    return True
