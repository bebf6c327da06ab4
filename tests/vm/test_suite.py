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
# What another kernel, cgroup v2 or systemd can break. The rest is registries, archives and our own words, which is the
# same code everywhere, while software emulation makes each start of pyc twenty times as long.
QUICK = " ".join(f"tests/root/test_{name}.py" for name in "cgroup_v2 systemd cgroups run exec restart health".split())
TESTS = QUICK if os.environ.get("PYC_VM_TESTS") == "quick" else os.environ.get("PYC_VM_TESTS", "tests/root")
TIMEOUT = 3 * 3600.0  # seconds for all of them, on a busy host without virtualization
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
    codes = share(vms, files())
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


def share(vms: list[Machine], names: list[str]) -> list[int]:
    """Run tests in all VMs, each taking file after file until there are none left; returns pytest's exit codes."""
    options = "-p no:cacheprovider -m 'not peers and not slow' --durations=25 --junitxml=/root/junit.xml"
    script = f"cd /opt/tests && PYC_PATIENCE=5 TMPDIR=/var/tmp {PYTHON} -m tests.vm.worker {options} {TESTS}"
    left, lock = iter(names), threading.Lock()

    def follow(vm: Machine, process: subprocess.Popen[bytes]) -> int:
        """Show what it says, keep that in pytest.log, and answer its questions."""
        assert process.stdin and process.stdout
        with open(f"{vm.directory}/pytest.log", "wb") as log:
            for line in process.stdout:
                if line.strip() == ASKS.encode():
                    with lock:
                        process.stdin.write(next(left, "").encode() + b"\n")
                    process.stdin.flush()
                elif line.strip():
                    log.write(line)
                    log.flush()
                    print(f"[{os.path.basename(vm.directory)}] {line.decode(errors='replace')}", end="", flush=True)
        return process.wait()

    running = [vm.start(script, stdin=subprocess.PIPE) for vm in vms]
    with ThreadPoolExecutor(len(vms)) as pool:
        followed = [pool.submit(follow, *each) for each in zip(vms, running, strict=True)]
        try:
            return [each.result(TIMEOUT) for each in followed]
        finally:  # so that nobody follows any more
            for process in running:
                process.kill()


def last_line(path: str) -> str:
    with open(path, errors="replace") as log:
        return log.read().rstrip().rpartition("\n")[2].strip("= ")


def skipped(junit: str) -> set[str]:
    return {found.get("message", "") for found in ET.parse(junit).iter("skipped")}
