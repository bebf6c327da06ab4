"""What every test can ask for, and the two promises of a run: each skip says why, and nothing is left on the host.

Fixtures: ``registry`` (a real one, with images), ``pyc`` (the command with an empty state of its own), ``stocked`` (the
command with busybox pulled, shared by the session), ``roots`` (the same state as ``pyc``, for Python).
"""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator

import pytest

from images.registry import Registry
from pycontainer.engine.options import Roots
from tests.support.cli import Pyc
from tests.support.host import missing_command
from tests.support.leaks import leaks, remove_empty_parents, snapshot

BEFORE = pytest.StashKey[frozenset[str]]()
LEFT = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Debian's docker-registry on a loopback port; busybox and alpine are in it, ``publish(NAME)`` adds the others."""
    if reason := missing_command("docker-registry", "skopeo", "busybox"):
        pytest.skip(reason)
    with Registry(str(tmp_path_factory.mktemp("registry"))) as running:
        running.publish("busybox")
        running.publish("alpine")
        yield running


@pytest.fixture
def pyc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pyc]:
    """The command with an empty state of its own; containers that the test left are removed, however it ended."""
    command = Pyc.beneath(str(tmp_path_factory.mktemp("pyc")))
    yield command
    _remove_containers(command)


@pytest.fixture
def roots(pyc: Pyc) -> Roots:
    """Where ``pyc`` keeps its state, for tests that call the Python API."""
    return Roots(pyc.root, pyc.runroot)


@pytest.fixture(scope="session")
def _stock(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Pyc:
    command = Pyc.beneath(str(tmp_path_factory.mktemp("stocked")), {"CONTAINERS_REGISTRIES_CONF": registry.mirror()})
    for name in ("busybox", registry.publish("busybox")):
        command("pull", name).ok()
    return command


@pytest.fixture
def stocked(_stock: Pyc) -> Iterator[Pyc]:
    """The command with ``busybox`` in a store that all tests share: no pull, so a start takes milliseconds.

    Docker Hub is ``registry`` to it: ``stocked("run", "--rm", "alpine", "true")`` pulls the stand-in.
    """
    yield _stock
    _remove_containers(_stock)


@pytest.fixture
def image(registry: Registry) -> str:
    """The name of busybox in ``registry``, for a ``pyc`` that knows no mirror; ``stocked`` knows it too."""
    return registry.publish("busybox")


def _remove_containers(command: Pyc) -> None:
    containers = os.path.join(command.root, "containers")
    if os.path.isdir(containers) and (left := os.listdir(containers)):
        command("rm", "--force", *left)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the real kernel need root; saying so beats a hundred failures with EPERM."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[BEFORE] = snapshot()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that leaves anything on the host has failed, whatever its tests say."""
    left = session.config.stash[LEFT] = leaks(session.config.stash[BEFORE])
    remove_empty_parents()
    if left and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was skipped, grouped by reason, and what was left behind."""
    reasons = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        grouped = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped {reasons.total()}: {grouped}")
    if left := config.stash.get(LEFT, []):
        terminalreporter.section("left on the host by this run", red=True)
        for line in left:
            terminalreporter.write_line(line)
