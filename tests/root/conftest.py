"""What the tests of a running container share."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Protocol

import pytest

from tests.support.cli import Pyc, Result
from tests.support.host import missing_command
from tests.support.hosts import HostedPyc, Namespace, World
from tests.support.oci import Oci


class Run(Protocol):
    """``run("--option", ..., command=("true",), stdin="")``: a container of busybox, removed when it has ended."""

    def __call__(self, *options: str, command: tuple[str, ...] = ..., stdin: str | bytes = ...) -> Result: ...


@pytest.fixture
def run(stocked: Pyc, image: str) -> Run:
    def do(*options: str, command: tuple[str, ...] = ("true",), stdin: str | bytes = b"") -> Result:
        return stocked("run", "--rm", *options, image, *command, stdin=stdin)

    return do


@pytest.fixture
def oci(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oci]:
    """``pyc-oci`` with a state and a root filesystem of its own; its containers are deleted, however the test ended."""
    command = Oci(str(tmp_path_factory.mktemp("oci")))
    yield command
    command.clean()


# --- networks, on a host of the test's own ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if reason := missing_command("ip", "nft", "nsenter"):
        pytest.skip(reason)
    with World() as made:
        yield made


@pytest.fixture
def host(world: World) -> Namespace:
    return world.host


@pytest.fixture
def outside(world: World) -> Namespace:
    return world.outside


@pytest.fixture
def net(world: World, stocked: Pyc) -> Iterator[HostedPyc]:
    """``pyc`` on the world's host. What a test leaves there is removed, the bridge and the packet filter too."""
    fields = {field.name: getattr(stocked, field.name) for field in dataclasses.fields(Pyc)}
    pyc = HostedPyc(**fields, netns=world.host.path)
    yield pyc
    where = f"{pyc.root}/containers"
    if containers := os.listdir(where) if os.path.isdir(where) else []:
        pyc("rm", "-f", *containers)
    pyc("network", "prune", "-f")
    world.host("nft", "delete", "table", "inet", "mine")
    left = world.host.ok("nft", "list", "ruleset") + world.host.ok("ip", "-o", "link", "show", "type", "bridge")
    assert left == "", left
    world.host("sysctl", "-qw", "net.ipv4.ip_forward=0")
    for path in (
        f"{pyc.root}/networks/bridge.json",
        f"{pyc.runroot}/networks/router",
    ):
        if os.path.exists(path):
            os.unlink(path)
