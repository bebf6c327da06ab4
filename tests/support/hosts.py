"""Hosts of a test's own: network namespaces in which `pyc` runs, with an outside world at the end of a cable."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from types import TracebackType

from tests.support.cli import Pyc

HERE, THERE = "203.0.113.1", "203.0.113.2"  # of the cable: the host's address, and that of outside (RFC 5737)


def run(*argv: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)


@dataclass(frozen=True)
class Namespace:
    """A network namespace with a name in /run/netns."""

    name: str

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    def __call__(self, *argv: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return run("nsenter", f"--net={self.path}", *argv, timeout=timeout)

    def ok(self, *argv: str) -> str:
        """The output of a command that must succeed."""
        done = self(*argv)
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a command in it."""
        return subprocess.Popen(["nsenter", f"--net={self.path}", *argv], stdin=subprocess.DEVNULL)


class World:
    """A host and somebody outside, connected; both go with the end of the `with` block."""

    def __init__(self) -> None:
        mark = f"pyctest{os.getpid()}"
        self.host, self.outside = Namespace(mark + "h"), Namespace(mark + "o")

    def __enter__(self) -> World:
        for namespace in (self.host, self.outside):
            assert run("ip", "netns", "add", namespace.name).returncode == 0
            namespace.ok("ip", "link", "set", "lo", "up")
        self.host.ok("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", self.outside.name)
        for namespace, address in ((self.host, HERE), (self.outside, THERE)):
            namespace.ok("ip", "address", "add", f"{address}/24", "dev", "up0")
            namespace.ok("ip", "link", "set", "up0", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for namespace in (self.host, self.outside):
            run("ip", "netns", "delete", namespace.name)


@dataclass(frozen=True)
class HostedPyc(Pyc):
    """A ``pyc`` on such a host; a container of it gets a network unless the test says otherwise."""

    netns: str = ""

    def argv(self, *arguments: str) -> list[str]:
        return ["nsenter", f"--net={self.netns}", *super().argv(*arguments)]

    def env(self, **more: str) -> dict[str, str]:
        clean = super().env(**more)
        if "PYC_NETWORK" not in more:
            del clean["PYC_NETWORK"]
        return clean
