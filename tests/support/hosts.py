"""Hosts of a test's own: network namespaces in which `pyc` runs, with an outside world at the end of a cable."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.support.cli import Pyc, Result
from tests.support.host import PATIENCE

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


SLEEP = ("busybox", "sleep", "60")


# --- what a test looks at ---------------------------------------------------------------------------------------------

# An HTTP server in busybox that answers with the address of its client, and says when it listens.
ANSWER = "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR; cat /w/name' > /w/cgi-bin/who"
SERVE = f"{ANSWER}; chmod +x /w/cgi-bin/who; hostname > /w/name; httpd -f -h /w -p"


# A tenth of what importing urllib takes, and some tests ask often.
_REQUEST = """
import socket, sys
with socket.create_connection((sys.argv[1].strip("[]"), int(sys.argv[2])), 2) as server:
    server.sendall(b"GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n")
    answer = b"".join(iter(lambda: server.recv(65536), b"")).decode().replace("\\r", "")
head, _, body = answer.partition("\\n\\n")
print(body if " 200 " in head.partition("\\n")[0] else "")
"""


def fetch(where: Namespace, address: str, port: int) -> str:
    """What the server of ``SERVE`` answers; "" for no answer."""
    return where(sys.executable, "-I", "-S", "-c", _REQUEST, address, str(port)).stdout.strip()


def served(where: Namespace, address: str, port: int) -> list[str]:
    """The same, once the server is there."""
    deadline = time.monotonic() + 10 * PATIENCE
    while not (answer := fetch(where, address, port)):
        assert time.monotonic() < deadline, f"nobody answers at {address}:{port}"
        time.sleep(0.05)
    return answer.split()


def inspected(pyc: Pyc, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(pyc("inspect", name).ok().stdout)[0]["NetworkSettings"]
    return settings


def ping(pyc: Pyc, name: str, to: str) -> Result:
    """A container looks for another, or for an address."""
    return pyc("exec", name, "ping", "-c1", "-W1", to)


def address_of(pyc: Pyc, name: str, network: str = "bridge") -> str:
    return str(inspected(pyc, name)["Networks"][network]["IPAddress"])


def taken(pyc: Pyc, network: str = "bridge") -> list[str]:
    where = f"{pyc.runroot}/networks/{network}"
    return [name for name in os.listdir(where) if not name.startswith(".")] if os.path.isdir(where) else []


def links(host: Namespace) -> list[str]:
    return re.findall(r"pv[0-9a-f]{8}[-\d]*", host.ok("ip", "-o", "link"))


def nothing_is_left(pyc: Pyc, host: Namespace) -> None:
    deadline = time.monotonic() + 5 * PATIENCE
    while (left := [*taken(pyc), *links(host)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    ports = re.findall(r"elements = \{[^}]* : [^}]*\}", host("nft", "list", "ruleset").stdout)
    assert (left, ports) == ([], [])
