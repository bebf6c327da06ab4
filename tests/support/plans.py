"""A plan that nobody performs, told to an observer as if it were."""

from __future__ import annotations

import os

from pycontainer.core.performer import Observer, start_step
from pycontainer.core.step import Call, Plan, Slot, Step
from pycontainer.core.wire import Outcome

MONITOR_PID = 4000


def step(title: str, *calls: Call, role: str = "monitor", **more: object) -> Step:
    """A step with ``calls``."""
    return Step(title, f"why {title}", role, calls, "intro(2)", **more)  # type: ignore[arg-type]


def tell(
    observer: Observer, plan: Plan, given: tuple[Slot, ...] = (), results: dict[int, tuple[int, int]] | None = None
) -> None:
    """Tell ``plan``; ``results`` are (error, value) by index of the call, and 0, 0 where they say nothing.

    Its processes have the pid of this one, so that proofs can be read.
    """
    pid = os.getpid()
    start = start_step("demo")
    observer.begin((start, *plan), given)
    calls = [(step, call) for step in plan for call in step.calls]
    for index, (its_step, call) in enumerate(calls):
        error, value = (results or {}).get(index, (0, 0))
        observer.before(index, its_step, call, pid)
        observer.after(index, its_step, call, Outcome(index, error, value, 1500), pid)
