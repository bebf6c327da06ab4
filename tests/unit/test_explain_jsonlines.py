from __future__ import annotations

import errno
import io
import json
from typing import Any

import pytest

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import Proof, Slot
from pycontainer.core.wire import SKIPPED
from pycontainer.errors import UsageError
from pycontainer.explain import narrator
from pycontainer.explain.jsonlines import JsonNarrator
from tests.support.plans import step, tell

FD, TARGET = Slot("fd"), Slot("target")


def lines(*steps: Any, results: dict[int, tuple[int, int]] | None = None) -> list[dict[str, Any]]:
    file = io.StringIO()
    tell(JsonNarrator(file), steps, (FD,), results)
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_every_call_has_its_own_line_however_alike_they_are() -> None:
    drops = [calls.prctl(k.PR_CAPBSET_DROP, number) for number in range(29)]
    assert len(lines(step("Bound", *drops))) == 29


def test_a_line_says_everything() -> None:
    (line,) = lines(step("Close", calls.close(FD), role="monitor"))
    assert line["pid"] > 0
    assert (
        line.items()
        >= {
            "step": 2,
            "title": "Close",
            "why": "why Close",
            "index": 0,
            "where": "monitor",
            "call": "close",
            "args": {"fd": {"slot": "fd", "number": 9}},
            "text": "close(9<fd>)",
            "man": "close(2)",
            "read": "intro(2)",
            "field": "",
            "skipped": False,
            "errno": 0,
            "error": None,
            "tolerated": False,
            "value": 0,
            "ns": 1500,
        }.items()
    )


def test_the_last_call_of_a_step_carries_the_proof() -> None:
    first, last = lines(step("Look", calls.setsid(), calls.setsid(), proof=Proof("/proc/{pid}/status", "Pid:")))
    assert "proof" not in first
    assert last["proof"]["before"] == last["proof"]["after"]
    assert last["proof"]["after"]["lines"][0].startswith("Pid:")


def test_failures_tolerated_failures_and_skipped_calls_can_be_told_apart() -> None:
    opened = calls.openat2(FD, "x", k.O_PATH, out=TARGET, tolerate=(errno.ENOENT,))
    told = lines(
        step("Mask", opened, calls.fchdir(TARGET), calls.setsid()),
        results={0: (errno.ENOENT, -1), 1: (SKIPPED, 0), 2: (errno.EPERM, -1)},
    )
    assert [(line["errno"], line["error"], line["tolerated"], line["skipped"]) for line in told] == [
        (errno.ENOENT, "ENOENT", True, False),
        (0, None, False, True),
        (errno.EPERM, "EPERM", False, False),
    ]


def test_a_file_that_can_not_be_written_is_a_message() -> None:
    with pytest.raises(UsageError, match="--explain=json:/no/such/x: no such file or directory"):
        narrator("json:/no/such/x", step=False)
