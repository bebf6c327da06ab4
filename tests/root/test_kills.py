"""Crash-only, in the other processes: monitor, keeper and init can be killed before any call of the plan of ``run``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from images.registry import Registry
from tests.support.crash import BOX, NAME, Crash, crashing

pytestmark = [pytest.mark.root, pytest.mark.slow]

EACH = "PYC_TEST_CRASHES" in os.environ
SPREAD = 36
"""At how many calls of the plan, a third of them for each victim; and around the keeper. Or at each."""
VICTIMS = ("turn", "monitor", "all")


@pytest.fixture(scope="module")
def crash(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crash]:
    with crashing(registry.publish("busybox"), str(tmp_path_factory.mktemp("kills"))) as made:
        yield made


def killed(crash: Crash, victim: str, number: int) -> subprocess.CompletedProcess[str]:
    """A ``run`` with a kill before that call of its plan; the first line of stderr says whose turn it is at each."""
    pyc = crash.pyc
    argv = [sys.executable, "-m", "tests.support.killed_start", pyc.root, pyc.runroot, victim, str(number)]
    return subprocess.run(
        ["nsenter", f"--net={pyc.netns}", *argv, "--rm", *BOX, crash.image, "touch", "/new"],
        env=pyc.env(PYTHONPATH=os.getcwd()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.fixture(scope="module")
def turns(crash: Crash) -> list[str]:
    """Whose turn it is at each call up to the first execve, from which on init is on its own."""
    whole = killed(crash, "turn", -3)
    assert whole.returncode == 0, whole
    every = whole.stderr.split("\n")[0].split()
    return every[: every.index("program") + 1]


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_before_a_call(crash: Crash, turns: list[str], victim: str) -> None:
    assert {"monitor", "keeper", "init", "program"} == set(turns)
    for number in range(len(turns)) if EACH else _spread(turns, VICTIMS.index(victim)):
        crash.clear()
        done = killed(crash, victim, number)
        where = f"before call {number}, which is {turns[number]}'s: {done}"
        # Of an init that is killed just before execve nobody can tell that it was not the program yet: 137.
        assert done.returncode in ((-signal.SIGKILL,) if victim == "all" else (125, 137)), where
        assert "Traceback" not in done.stderr, where
        assert crash.remains() == [], where
        assert NAME not in crash("ps", "-a").ok().stdout, where
    crash("run", "--rm", *BOX, crash.image, "true").ok()


def test_a_killed_keeper_is_missed(crash: Crash, turns: list[str]) -> None:
    """By the monitor: pyc doesn't look at each call of a start that nobody watches."""
    keepers = [number for number, role in enumerate(turns) if role == "keeper"]
    assert keepers
    for number in keepers:
        crash.clear()
        done = killed(crash, "unseen", number)
        assert done.returncode in (0, 125) and "Traceback" not in done.stderr, (number, done)
        assert crash.remains() == [], (number, done)


def _spread(turns: list[str], shift: int) -> list[int]:
    far = len(turns) // SPREAD
    keepers = [number for number, role in enumerate(turns) if role == "keeper"]
    return sorted({*range(far * shift, len(turns), far * len(VICTIMS)), *range(keepers[0] - 1, keepers[-1] + 3)})
