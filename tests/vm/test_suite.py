"""The tests of the real kernel, in the VM: systemd, cgroup v2, Debian's own kernel and Python."""

from __future__ import annotations

import glob
import os
import subprocess
import threading
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.vm.conftest import OUT, SUITE, say
from tests.vm.image import SOURCE
from tests.vm.machine import Machine
from tests.vm.worker import ASKS

PYTHON = "/opt/pycontainer/bin/python"
# What another kernel, cgroup v2 or systemd can break. The rest tests registries, archives and our own words: the same
# code everywhere, and software emulation makes a test many times as long as it is.
KERNEL_FACING = (
    "run users attacks checkpoint escapes exec exec_attacks cgroups cgroup_v2 systemd cp narration restart health view "
    "network volumes_binds top_stats_update"
)
CHOSEN = " ".join(f"tests/root/test_{name}.py" for name in KERNEL_FACING.split())
TESTS = os.environ.get("PYC_VM_TESTS", CHOSEN)  # tests/root: all; while working on something, a file or two
# What a skip in the VM may be for. Peers and their packages are not in the image; everything else must run.
ALLOWED = (
    "needs cgroup v1",
    "needs the v1 devices controller",
    "needs the cgroup controller blkio",  # v1 only, as the next
    "needs the cgroup controller devices",
    "this kernel has no /proc/",
)


def test_the_root_tests_pass(vms: list[Machine], pytestconfig: pytest.Config) -> None:
    about = vms[0](f"uname -r; {PYTHON} -V; stat -f -c %T /sys/fs/cgroup; systemctl --version | head -1", check=True)
    say(pytestconfig, ", ".join(about.lines))
    left = Queue(files())
    with ThreadPoolExecutor(len(vms)) as pool:
        codes = list(pool.map(lambda vm: share(vm, left), vms))
    reasons: set[str] = set()
    for vm in vms:
        say(pytestconfig, last_line(f"{vm.directory}/pytest.log"))
        vm.fetch("/root/junit.xml", junit := f"{vm.directory}/junit.xml")
        reasons |= skipped(junit)
    unexpected = sorted(reason for reason in reasons if not reason.startswith(ALLOWED))
    assert not unexpected
    assert codes == [0] * len(vms), f"tests failed in the VM: see {OUT}/{SUITE}/*/pytest.log"


def files() -> list[str]:
    """The files that are to be shared, the largest first, so that a long one is not left for the end."""
    found: list[str] = []
    for path in TESTS.split():
        inside = glob.glob(f"{SOURCE}/{path}/**/test_*.py", recursive=True)
        found += inside or [os.path.join(SOURCE, path)]
    return [os.path.relpath(path, SOURCE) for path in sorted(found, key=os.path.getsize, reverse=True)]


def share(vm: Machine, left: Queue) -> int:
    """Run tests in one VM, file after file as long as there are any left; the output is shown, and kept in pytest.log.

    Returns pytest's exit code.
    """
    options = "-p no:cacheprovider -m 'not peers and not slow' --durations=25 --junitxml=/root/junit.xml"
    script = f"cd /opt/tests && {PYTHON} -m tests.vm.worker {options} {TESTS}"
    name = os.path.basename(vm.directory)
    with open(f"{vm.directory}/pytest.log", "wb") as log, vm.start(script, stdin=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        for line in process.stdout:
            if line.strip() == ASKS.encode():
                process.stdin.write(left.next().encode() + b"\n")
                process.stdin.flush()
            elif line.strip():
                log.write(line)
                log.flush()
                print(f"[vm {name}] {line.decode(errors='replace')}", end="", flush=True)
    return process.returncode


class Queue:
    """The names of files, each for one VM; an empty one when there are none left."""

    def __init__(self, names: list[str]) -> None:
        self._names, self._lock = iter(names), threading.Lock()

    def next(self) -> str:
        with self._lock:
            return next(self._names, "")


def last_line(path: str) -> str:
    with open(path, errors="replace") as log:
        return log.read().rstrip().rpartition("\n")[2].strip("= ")


def skipped(junit: str) -> set[str]:
    return {found.get("message", "") for found in ET.parse(junit).iter("skipped")}
