"""The tests of the real kernel, in the VM: systemd, cgroup v2, Debian's own kernel and Python."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vm.conftest import OUT, SUITE, say
from tests.vm.image import SOURCE
from tests.vm.machine import Machine
from tests.vm.worker import NEXT

PYTHON = "/opt/pycontainer/bin/python"
# What no other kernel, cgroup v2 or systemd can break: registries, archives, layers and our own words are the same code
# everywhere, while software emulation makes each start of pyc ten times as long. It is left out where time is short.
THE_SAME = (
    *("archives", "archives_hostile", "bad_input", "check", "commit", "cp", "cp_attacks", "demo", "events", "flags"),
    *("fuzz", "inspect", "layer_hostile", "layer_unpack", "lists", "logs", "network_flags", "oci_mutations"),
    *("ordinary_images", "prune", "ps", "pull_cuts", "pull_full", "pull_fuzz", "pull_killed", "pull_power"),
    *("pull_registry", "push", "push_manifests", "python_images", "registry_front", "registry_proxy"),
    *("registry_tokens", "roots", "start_imports", "tour", "view"),
)
SILENCE = 1200.0  # seconds without a result from any VM, on a busy host without virtualization; then it hangs
# What a skip in the VM may be for. Peers and their packages are not in the image; everything else must run.
ALLOWED = (
    "needs cgroup v1",
    "needs the v1 devices controller",
    "needs the cgroup controller blkio",  # v1 only, as the next
    "needs the cgroup controller devices",
    "this kernel has no /proc/",
    "needs an I/O scheduler that knows weights",
    "needs a kernel without ipvlan",  # for what is said where there is none
)


def test_the_root_tests_pass(
    vms: list[Machine], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each test of the VMs is counted and shown as one of this run, with ``SUITE:`` before its name."""
    about = vms[0](f"uname -r; {PYTHON} -V; stat -f -c %T /sys/fs/cgroup; systemctl --version | head -1", check=True)
    say(request.config, ", ".join(about.lines))
    chosen = files(os.environ.get("PYC_VM_TESTS", "tests/root"))
    working = [Work(vm, chosen) for vm in vms]
    skips = set()
    for report in results(working, chosen, request.config):
        request.session.testscollected += report.when == "setup"
        with capsys.disabled():  # or the terminal would be captured as what this test prints
            request.config.hook.pytest_runtest_logreport(report=report)
        if report.skipped and isinstance(report.longrepr, tuple):
            skips.add(report.longrepr[2].removeprefix("Skipped: "))
    for vm in vms:
        vm.fetch("/root/junit.xml", f"{vm.directory}/junit.xml")
        say(request.config, last_line(f"{vm.directory}/pytest.log"))
    assert not [reason for reason in sorted(skips) if not reason.startswith(ALLOWED)]
    codes = [work.process.wait(60) for work in working]
    assert codes == [0] * len(codes), f"tests failed in the VM: see {OUT}/{SUITE}/*/pytest.log"


def files(asked: str) -> list[str]:
    """The files that are to be shared, the largest first, so that a long one is not left for the end.

    ``asked`` are files and folders, or "quick".
    """
    found: list[str] = []
    for path in ("tests/root" if asked == "quick" else asked).split():
        inside = glob.glob(f"{SOURCE}/{path}/**/test_*.py", recursive=True)
        found += inside or [os.path.join(SOURCE, path)]
    if asked == "quick":
        left_out = [f"{SOURCE}/tests/root/test_{name}.py" for name in THE_SAME]
        assert set(left_out) <= set(found), "a file of tests was renamed"
        found = [path for path in found if path not in left_out]
    return [os.path.relpath(path, SOURCE) for path in sorted(found, key=os.path.getsize, reverse=True)]


class Work:
    """Pytest in a VM; what it prints goes to pytest.log."""

    def __init__(self, vm: Machine, files: list[str]) -> None:
        options = "-v -p no:cacheprovider -m 'not peers and not slow' --durations=25 --junitxml=/root/junit.xml"
        settings = "PYC_PATIENCE=5 PYC_TRIES=25 TMPDIR=/var/tmp"
        script = f"cd /opt/tests && {settings} {PYTHON} -m tests.vm.worker {options} {' '.join(files)}"
        self.log = f"{vm.directory}/pytest.log"
        with open(self.log, "wb") as log:
            self.process = vm.start(script, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.PIPE)

    def says(self) -> Iterator[Any]:
        """What it says, piece by piece; what is not for us, warnings of ssh perhaps, joins the log."""
        assert self.process.stderr
        for line in self.process.stderr:
            try:
                yield json.loads(line)
            except ValueError:
                with open(self.log, "ab") as log:
                    log.write(line)

    def answer(self, name: str) -> None:
        """Give it the name of the next file; an empty one is the end."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(name.encode() + b"\n")
            self.process.stdin.flush()


def results(working: list[Work], names: list[str], config: pytest.Config) -> Iterator[pytest.TestReport]:
    """Let each VM take file after file until there are none left, and yield every test's reports as they come."""
    left, said = iter(names), queue.SimpleQueue[Any]()

    def listen(work: Work) -> None:
        for what in work.says():
            said.put((work, what))
        said.put((work, None))

    try:
        for work in working:
            threading.Thread(target=listen, args=(work,), daemon=True).start()
        ended = 0
        while ended < len(working):
            work, what = said.get(timeout=SILENCE)
            if what is None:
                ended += 1
            elif what == NEXT:
                work.answer(next(left, ""))
            else:
                yield report_of(what, config)
    finally:
        for work in working:
            with contextlib.suppress(subprocess.TimeoutExpired):
                work.process.wait(5)
            work.process.kill()


def report_of(data: dict[str, Any], config: pytest.Config) -> pytest.TestReport:
    """A test's report from the JSON of pytest in a VM, where tuples became lists."""
    if isinstance(data["longrepr"], list):
        data["longrepr"] = tuple(data["longrepr"])
    data["nodeid"] = f"{SUITE}:{data['nodeid']}"
    report: pytest.TestReport = config.hook.pytest_report_from_serializable(config=config, data=data)
    return report


def last_line(path: str) -> str:
    with open(path, errors="replace") as log:
        return log.read().rstrip().rpartition("\n")[2].strip("= ")
