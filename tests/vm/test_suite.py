"""The tests of the real kernel, in the VM: systemd, cgroup v2, Debian's own kernel and Python."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET

import pytest

from tests.vm.conftest import OUT, SUITE, say
from tests.vm.machine import Machine

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


def test_the_root_tests_pass(vm: Machine, pytestconfig: pytest.Config) -> None:
    about = vm(f"uname -r; {PYTHON} -V; stat -f -c %T /sys/fs/cgroup; systemctl --version | head -1", check=True)
    say(pytestconfig, ", ".join(about.lines))
    options = "-p no:cacheprovider -m 'not peers and not slow' --durations=15 --junitxml=/root/junit.xml"
    code = _stream(vm, f"cd /opt/tests && {PYTHON} -m pytest {options} {TESTS}")
    vm.fetch("/root/junit.xml", junit := os.path.join(OUT, SUITE, "junit.xml"))
    say(pytestconfig, _last_line())
    unexpected = [reason for reason in _skipped(junit) if not reason.startswith(ALLOWED)]
    assert not unexpected
    assert code == 0, f"the tests failed in the VM: see {OUT}/{SUITE}/pytest.log"


def _stream(vm: Machine, script: str) -> int:
    """Run a script in the VM, show its output as it comes, and keep it in pytest.log."""
    with open(_log(), "wb") as log, vm.start(script) as process:
        assert process.stdout
        for line in process.stdout:
            log.write(line)
            print(f"[vm] {line.decode(errors='replace')}", end="", flush=True)
    return process.returncode


def _log() -> str:
    return os.path.join(OUT, SUITE, "pytest.log")


def _last_line() -> str:
    with open(_log(), errors="replace") as log:
        return log.read().rstrip().rpartition("\n")[2].strip("= ")


def _skipped(junit: str) -> list[str]:
    return sorted({skipped.get("message", "") for skipped in ET.parse(junit).iter("skipped")})
