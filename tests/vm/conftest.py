"""One VM for all tests here, with the wheel installed as a user would. They run by `make test-vm`, never by the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support.host import missing_command
from tests.vm.image import SOURCE, image, install
from tests.vm.machine import Machine

SUITE = os.environ.get("PYC_VM", "")  # the Debian to test: set by `make test-vm`
OUT = os.path.join(SOURCE, "build", "vm")
SAID = pytest.StashKey[list[str]]()

if not SUITE:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def vm(pytestconfig: pytest.Config) -> Iterator[Machine]:
    """A booted VM with ``pyc`` in it, and the tests below /opt/tests. Its console's log stays in build/vm."""
    assert not (reason := missing_command("qemu-system-x86_64", "mmdebstrap", "ssh")), reason
    place = os.path.join(OUT, SUITE)
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    built = image(SUITE)
    install(built, archive := os.path.join(place, "pyc.tar"))
    with Machine(built, place) as machine:
        say(pytestconfig, f"{machine.accelerator}: the first boot took {machine.booted:.0f} s")
        with open(archive, "rb") as file:
            machine("tar -C / -xf -", stdin=file, check=True)
        machine.send(["tests", "images", "pyproject.toml"], "/opt/tests", below=SOURCE)
        machine("pyc version", check=True)
        yield machine
    os.unlink(machine.disk)
    os.unlink(archive)


def say(config: pytest.Config, line: str) -> None:
    """Print a line about the VM at the end of the run."""
    config.stash.setdefault(SAID, []).append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(SAID, []):
        terminalreporter.section(f"in the VM ({SUITE})")
        for line in lines:
            terminalreporter.write_line(f"[vm {SUITE}] {line}")
