"""The VMs of all tests here, with the wheel installed as a user would. They run by `make test-vm`, never by the way."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.host import missing_command
from tests.vm.image import SOURCE, image, install
from tests.vm.machine import Machine

SUITE = os.environ.get("PYC_VM", "")  # the Debian to test: set by `make test-vm`
COUNT = os.cpu_count() or 1
OUT = os.path.join(SOURCE, "build", "vm")
SAID = pytest.StashKey[list[str]]()

if not SUITE:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def vms(pytestconfig: pytest.Config) -> Iterator[list[Machine]]:
    """A booted VM for each processor, with ``pyc`` in it, and the tests below /opt/tests. Logs stay in build/vm."""
    assert not (reason := missing_command("qemu-system-x86_64", "mmdebstrap", "ssh")), reason
    place = os.path.join(OUT, SUITE)
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    built = image(SUITE)
    install(built, archive := os.path.join(place, "pyc.tar"))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(COUNT) as pool:
        machines = [Machine(built, os.path.join(place, str(number))) for number in range(1, COUNT + 1)]
        for started in [pool.submit(_start, machine, archive, stack) for machine in machines]:
            started.result()
        os.unlink(archive)
        boots = " and ".join(f"{machine.booted:.0f} s" for machine in machines)
        say(pytestconfig, f"{machines[0].accelerator}: the first boot took {boots}")
        yield machines
        for machine in machines:
            pool.submit(machine.power_off)


def _start(machine: Machine, archive: str, stack: contextlib.ExitStack) -> None:
    stack.enter_context(machine)
    with open(archive, "rb") as file:
        machine("tar -C / -xf -", stdin=file, check=True)
    machine.send(["tests", "images", "pyproject.toml"], "/opt/tests", below=SOURCE)
    machine("pyc version", check=True)


@pytest.fixture
def vm(vms: list[Machine]) -> Machine:
    """One of them."""
    return vms[0]


def say(config: pytest.Config, line: str) -> None:
    """Print a line about the VM at the end of the run."""
    config.stash.setdefault(SAID, []).append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(SAID, []):
        terminalreporter.section(f"in the VM ({SUITE})")
        for line in lines:
            terminalreporter.write_line(f"[vm {SUITE}] {line}")
