"""The VMs of all tests here, with the wheel installed as a user would. They run by `make test-vm`, never by the way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from images.registry import Registry
from tests.support.host import missing_command
from tests.vm.image import SOURCE, image, install
from tests.vm.machine import Machine

SUITE = os.environ.get("PYC_VM", "")  # the Debian to test: set by `make test-vm`
COUNT = int(os.environ.get("PYC_VMS", os.cpu_count() or 1))
OUT = os.path.join(SOURCE, "build", "vm")
SAID = pytest.StashKey[list[str]]()

if not SUITE:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def vms(pytestconfig: pytest.Config, registry: Registry) -> Iterator[list[Machine]]:
    """A booted VM for each processor, with ``pyc`` in it, and the tests below /opt/tests. Logs stay in build/vm."""
    if reason := missing_command("qemu-system-x86_64", "mmdebstrap", "ssh", "mkfs.ext4"):
        pytest.skip(reason)
    place = os.path.join(OUT, SUITE)
    os.makedirs(OUT, exist_ok=True)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run uses the same place
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        yield from _machines(place, pytestconfig, registry)


def _machines(place: str, pytestconfig: pytest.Config, registry: Registry) -> Iterator[list[Machine]]:
    began = time.monotonic()
    built = image(SUITE)
    made = time.monotonic()
    install(built, archive := os.path.join(place, "pyc.tar"))
    installed = time.monotonic()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(COUNT) as pool:
        machines = [
            Machine(built, os.path.join(place, str(number)), data=archive, registry=registry.address)
            for number in range(1, COUNT + 1)
        ]
        for started in [pool.submit(_start, machine, stack) for machine in machines]:
            started.result()
        boots = " and ".join(f"{machine.booted:.0f} s" for machine in machines)
        took = f"the image took {made - began:.0f} s, the wheel {installed - made:.0f} s, the first boot {boots}"
        say(pytestconfig, f"{machines[0].accelerator}: {took}")
        yield machines
    os.unlink(archive)


def _start(machine: Machine, stack: contextlib.ExitStack) -> None:
    stack.enter_context(machine)
    machine("tar -C / -xf /dev/vdb && pyc version", check=True)


@pytest.fixture(scope="session")
def vm(vms: list[Machine]) -> Machine:
    """The first of them; the others are not needed any more."""
    for other in vms[1:]:
        other.power_off()
    return vms[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs all VMs comes before what uses up one of them and switches the others off."""
    items.sort(key=lambda item: item.path.name == "test_power.py")


def say(config: pytest.Config, line: str) -> None:
    """Print a line about the VM at the end of the run."""
    config.stash.setdefault(SAID, []).append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(SAID, []):
        terminalreporter.section(f"in the VM ({SUITE})")
        for line in lines:
            terminalreporter.write_line(f"[vm {SUITE}] {line}")
