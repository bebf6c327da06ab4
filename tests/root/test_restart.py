"""Restart policies: which ends are followed by another life, how soon, and what stops that."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pycontainer.engine import ended, life
from pycontainer.engine.options import Roots
from pycontainer.engine.policy import Tries, another
from tests.root.test_life import monitor_of
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE
from tests.support.states import inspect, look, until, until_state

pytestmark = pytest.mark.root


def lives(pyc: Pyc, name: str = "box") -> int:
    """How often it has begun, by its log."""
    return pyc("logs", name).stdout.count("begun")


def run(pyc: Pyc, image: str, policy: str, script: str) -> None:
    pyc("run", "-d", "--name", "box", "--restart", policy, image, *sh(f"echo begun; {script}")).ok()


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [("no", 1, 1), ("on-failure", 0, 1), ("on-failure:2", 1, 3), ("on-failure:1", 7, 2)],
)
def test_it_ends_for_good_when_the_policy_says_so(
    stocked: Pyc, image: str, policy: str, code: int, expected: int
) -> None:
    run(stocked, image, policy, f"exit {code}")
    until(lambda: lives(stocked) == expected)
    until_state(stocked, "box", "exited")
    time.sleep(0.15)
    document = inspect(stocked, "box")
    assert (lives(stocked), document["State"]["ExitCode"]) == (expected, code)
    assert document["RestartCount"] == expected - 1
    name, _, limit = policy.partition(":")
    assert document["HostConfig"]["RestartPolicy"] == {"Name": name, "MaximumRetryCount": int(limit or 0)}


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_it_begins_again_until_somebody_stops_it(stocked: Pyc, image: str, policy: str) -> None:
    run(stocked, image, policy, "exit 0")
    until(lambda: lives(stocked) >= 3)
    until_state(stocked, "box", "restarting")
    assert "Restarting (0)" in stocked("ps").stdout
    state = inspect(stocked, "box")["State"]
    assert (state["Running"], state["Restarting"]) == (True, True)
    began = time.monotonic()
    stocked("stop", "box").ok()
    assert time.monotonic() - began < 5 * PATIENCE
    assert look(stocked, "box").state == "exited"
    before = lives(stocked)
    time.sleep(0.15)
    assert lives(stocked) == before
    stocked("start", "box").ok()  # and its policy is in force again
    until(lambda: lives(stocked) >= before + 2)


@pytest.mark.parametrize("verb", ["stop -t 0", "kill"])
def test_a_start_that_a_policy_has_begun_is_stopped_too(stocked: Pyc, image: str, verb: str) -> None:
    """What decides that it begins again had looked before somebody asked it not to."""
    run(stocked, image, "always", "exec sleep 60")
    stocked("kill", "box").ok()
    box, roots = until_state(stocked, "box", "exited"), Roots(stocked.root, stocked.runroot)
    lock = life.take_lock(roots, box.id, patience=5)
    life.ask_to_stop(roots, box.id, stop=False)
    assert look(stocked, "box").state == "restarting"
    asking = stocked.start(*verb.split(), "box")
    until(lambda: life.is_asked_to_stop(roots, box.id))
    time.sleep(0.2 * PATIENCE)
    assert asking.poll() is None
    ended._start(roots, box, lock)
    assert asking.wait(20 * PATIENCE) == 0
    assert until_state(stocked, "box", "exited").exit_code == 137


def test_a_program_that_runs_is_stopped_for_good_and_a_crash_is_not(stocked: Pyc, image: str) -> None:
    run(stocked, image, "always", "sleep 60")
    first = until_state(stocked, "box", "running")
    os.kill(first.pid, signal.SIGKILL)  # not by us: it crashed
    until(lambda: look(stocked, "box").pid not in (0, first.pid), "another life")
    stocked("kill", "box").ok()
    assert until_state(stocked, "box", "exited").exit_code == 137
    time.sleep(0.2)
    assert look(stocked, "box").state == "exited"


def test_the_pauses_double_and_begin_anew_after_a_steady_life() -> None:
    pauses, tries = [], Tries()
    for _ in range(12):
        tries = another(tries, ran=0.5)
        pauses.append(tries.pause)
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8] and pauses[-1] == 60
    assert another(tries, ran=10) == Tries(13, 0.1)


def test_a_restart_in_the_foreground_shows_the_first_end_and_goes_on_without_us(stocked: Pyc, image: str) -> None:
    result = stocked("run", "--name", "box", "--restart", "always", image, *sh("echo begun; exit 3"))
    assert (result.code, result.stdout) == (3, "begun\n")
    until(lambda: lives(stocked) >= 2)


def test_a_killed_client_takes_nothing_along(stocked: Pyc, image: str) -> None:
    script = sh("echo begun; while [ ! -e /end ]; do sleep 0.02; done; rm /end; exit 1")
    client = stocked.start("run", "--name", "box", "--restart", "on-failure", image, *script)
    until(lambda: lives(stocked) == 1)
    client.kill()
    client.communicate(timeout=10)
    first = look(stocked, "box")
    assert first.state == "running"
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: lives(stocked) == 2)


def test_removal_wins_over_the_policy(stocked: Pyc, image: str) -> None:
    run(stocked, image, "always", "exit 1")
    until(lambda: lives(stocked) >= 2)
    stocked("rm", "-f", "box").ok()
    assert stocked("ps", "-aq").stdout == ""


def test_a_killed_monitor_is_no_end_of_the_policy(stocked: Pyc, image: str) -> None:
    run(stocked, image, "always", "sleep 60")
    first = until_state(stocked, "box", "running")
    os.kill(monitor_of(first.pid), signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{first.pid}"), "its end")
    stocked("run", "--rm", image, "true").ok()  # any command repairs
    until(lambda: look(stocked, "box").pid not in (0, first.pid), "another life")


def test_what_can_not_start_again_says_why(stocked: Pyc, image: str, tmp_path: Path) -> None:
    source = f"{tmp_path}/source"
    os.mkdir(source)
    script = sh("echo begun; while [ ! -e /data/end ]; do sleep 0.02; done; exit 1")
    bind = ("--mount", f"type=bind,src={source},dst=/data")
    stocked("run", "-d", "--name", "box", "--restart", "always", *bind, image, *script).ok()
    until(lambda: lives(stocked) == 1)
    os.rename(source, source + ".away")
    open(f"{source}.away/end", "w").close()
    until(lambda: "source path does not exist" in inspect(stocked, "box")["State"]["Error"])
    until_state(stocked, "box", "exited")


def test_rm_and_a_policy_contradict_each_other(stocked: Pyc, image: str) -> None:
    refused = stocked("run", "--rm", "--restart", "always", image, "true")
    assert refused.code == 125 and "--restart and --rm" in refused.stderr
    assert stocked("run", "--restart", "sometimes", image, "true").code == 125
