from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import Proof, Slot
from pycontainer.explain.stepper import Stepper, suggestions
from tests.support.plans import step, tell

ROOT = Slot("root")
PLAN = (step("One", calls.setsid()), step("Two", calls.umask(0)), step("Three", calls.chdir("/")))


def stepped(answers: str) -> str:
    stream = io.StringIO()
    tell(Stepper(stream, io.StringIO(answers)), PLAN)
    return stream.getvalue()


def test_it_waits_before_each_step() -> None:
    text = stepped("\n\n\n")
    assert text.count("Enter: do it") == 3
    assert text.index("Enter: do it") < text.index("setsid()") < text.index(" 3. Two")


def test_c_does_the_rest_without_asking() -> None:
    assert stepped("c\n").count("Enter: do it") == 1


def test_the_end_of_the_answers_does_the_rest_without_asking() -> None:
    assert stepped("").count("Enter: do it") == 1


def test_q_stops_before_the_step_is_done() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        tell(Stepper(stream, io.StringIO("\nq\n")), PLAN)
    assert "setsid()" in stream.getvalue() and "umask(" not in stream.getvalue()


def test_it_suggests_commands_with_the_real_pid() -> None:
    cgroup = calls.openat(k.AT_FDCWD, "/sys/fs/cgroup/pids/pyc/x/pids.max", k.O_WRONLY, out=ROOT)
    assert suggestions(step("Limit", cgroup), 7, {}) == ["cat /sys/fs/cgroup/pids/pyc/x/pids.max"]
    assert suggestions(step("Move", calls.pivot_root(".", ".")), 7, {}) == ["ls /proc/7/root/"]
    made = calls.mknodat(ROOT, "null", k.S_IFCHR, 1, 3)
    assert suggestions(step("Make", made), 7, {ROOT: 12}) == ["ls -l /proc/7/fd/12/"]
    proof = Proof("/proc/{pid}/status", "CapEff")
    assert suggestions(step("Give up", calls.setsid(), proof=proof), 7, {})[0] == "grep -F 'CapEff' /proc/7/status"


def test_what_it_suggests_about_a_process_can_be_run() -> None:
    told = step("All", calls.unshare(0), calls.setresuid(0), calls.capset(0, 0, 0), calls.chdir("/"), calls.setsid())
    commands = suggestions(told, os.getpid(), {})
    assert len(commands) >= 4
    for command in commands:
        assert subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0, command


def test_a_run_that_is_not_watched_does_not_import_the_narrator() -> None:
    code = (
        "import sys, pycontainer.cli.run, pycontainer.engine.run; "
        "sys.exit(any(name.startswith('pycontainer.explain') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
