"""A ``pyc`` to be killed: its own state, its own host, its own cgroup, so that whatever it leaves is seen."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pyc, Result
from tests.support.host import missing_command
from tests.support.hosts import HostedPyc, Namespace, World
from tests.support.remains import PORT, entries, processes, remains, remove_cgroups

PARENT = NAME = f"crash{os.getpid()}"  # the cgroup of all, and the container
NET = ("--network", "crash")
BOX = ("--name", NAME, "--cgroup-parent", PARENT, *NET, "-p", f"{PORT}:80", "-v", "kept:/etc", "-v", "/anonymous")
LONG = ("sleep", "1000")


class Crash:
    """A ``pyc`` of its own, the image it runs, and the host that it runs on."""

    def __init__(self, pyc: HostedPyc, image: str, host: Namespace) -> None:
        self.pyc, self.image, self.host = pyc, image, host

    def __call__(self, *words: str, point: str = "") -> Result:
        """Run a command, which is killed at ``point``. The registry is on the tests' own host."""
        pyc = Pyc(self.pyc.root, self.pyc.runroot, self.pyc.scratch) if words[0] == "pull" else self.pyc
        return pyc(*words, env={"PYC_FP": point} if point else {})

    def running(self, *options: str) -> None:
        self("run", "-d", *BOX, *options, self.image, *LONG).ok()

    def created(self) -> None:
        self("create", *BOX, self.image, *LONG).ok()

    def stopped(self) -> None:
        self.running()
        self("stop", "-t", "0", NAME).ok()

    def monitor_killed(self) -> None:
        self.running()
        kill_monitor(self.pyc, NAME)

    def remains(self, grace: float = 3) -> list[str]:
        return remains(self.pyc, self.host, PARENT, grace)

    def clear(self) -> None:
        """To where every test begins: the network is there and has no bridge, and nothing else is."""
        if left := entries(f"{self.pyc.root}/containers"):
            self("rm", "-f", "-v", *left)
        for pid in processes(self.pyc, PARENT):  # or one failed test would fail all that follow
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left := entries(f"{self.pyc.root}/volumes"):
            self("volume", "rm", "-f", *left)
        if left := entries(f"{self.pyc.root}/networks") - {"crash.json", ".new"}:
            self("network", "rm", *(name.removesuffix(".json") for name in left))
        for line in self.host.ok("ip", "-o", "link", "show", "type", "bridge").splitlines():
            self.host.ok("ip", "link", "delete", line.split()[1].rstrip(":"))


def kill_monitor(pyc: Pyc, name: str) -> None:
    kill(monitor_of(pyc, name))


def kill(*pids: int) -> None:
    """Kill processes, and wait until they have ended. The end of one may be what ends the next."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    for pidfd in pidfds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    for pidfd in pidfds:
        select.select([pidfd], [], [], 10)
        os.close(pidfd)


def monitor_of(pyc: Pyc, name: str) -> int:
    """The parent of the container's first process."""
    pid = pyc("inspect", "--format", "{{.State.Pid}}", name).ok().stdout.strip()
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def crashing(image: str, directory: str) -> Iterator[Crash]:
    """One with ``image`` in its store and a network called ``crash``; nothing of it is left afterwards.

    Skips who asks on a host that can't have networks of its own.
    """
    if reason := missing_command("ip", "nft", "nsenter"):
        pytest.skip(reason)
    own = Pyc.beneath(directory)
    own("pull", "-q", image).ok()
    with World() as world:
        made = Crash(HostedPyc(own.root, own.runroot, own.scratch, netns=world.host.path), image, world.host)
        made("network", "create", "crash").ok()
        yield made
        made.clear()
        made("network", "rm", "crash")
        made("network", "prune", "-f")
    remove_cgroups(PARENT)
