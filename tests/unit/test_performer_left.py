"""Monitors that went on, waited for by whichever thread comes first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pycontainer.core import performer


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    pidfds: list[int] = []
    monkeypatch.setattr(performer, "_left", pidfds)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield pidfds
    sys.setswitchinterval(usual)


def ended() -> int:
    """The pidfd of a process that has ended, and was not waited for."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    pidfd = os.pidfd_open(pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    return pidfd


def test_threads_that_wait_for_the_same_ones_do_not_meet(left: list[int]) -> None:
    def start(_: int) -> None:
        """Wait for others, and open what takes the numbers that they had."""
        performer.reap_those_left()
        for end in os.pipe():
            os.close(end)

    with ThreadPoolExecutor(3) as pool:
        for _ in range(100):
            left += [ended() for _ in range(5)]
            list(pool.map(start, range(6)))
            assert left == []


def test_who_goes_on_is_left(left: list[int]) -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    left += [os.pidfd_open(pid), ended()]
    performer.reap_those_left()
    assert len(left) == 1
    os.kill(pid, 9)
    os.waitid(os.P_PIDFD, left[0], os.WEXITED | os.WNOWAIT)
    performer.reap_those_left()
    assert left == []
