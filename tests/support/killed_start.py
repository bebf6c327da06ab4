"""A ``pyc run`` with a kill before a chosen call of its plan: ``python -m tests.support.killed_start``.

``ROOT RUNROOT VICTIM NUMBER FLAGS IMAGE COMMAND``: before call NUMBER, which is counted from the first of the
monitor's, SIGKILL goes to VICTIM: ``turn``, the process that is about to make the call; ``unseen``, the same, but all
others go on, and find out for themselves; ``monitor``; or ``all``, which is the monitor and this process. The first
line of stderr says whose turn it is at each call, ``program`` being an execve: from the first on nobody waits for us.
"""

from __future__ import annotations

import os
import signal
import sys

from pycontainer.cli.run_flags import FLAGS, assemble
from pycontainer.core.performer import Observer, Performance
from pycontainer.core.step import MONITOR, ROLES, Call, Plan, Slot, Step
from pycontainer.engine import start as engine
from pycontainer.engine.options import Roots
from pycontainer.engine.run import run
from pycontainer.errors import PycError


class Killer(Observer):
    """Kills before call ``number``."""

    def __init__(self, victim: str, number: int) -> None:
        self.victim, self.number, self.monitor = victim, number, 0

    def begin(self, plan: Plan, given: tuple[Slot, ...]) -> None:
        made = [(step.role, call.name) for step in plan[1:] for call in step.calls]  # the first step is ours
        turns = ["program" if name == "execve" else role for role, name in made]
        print(*turns, file=sys.stderr, flush=True)

    def before(self, index: int, step: Step, call: Call, pid: int) -> None:
        if step.role == MONITOR:
            self.monitor = pid
        if index != self.number:
            return
        os.kill(self.monitor if self.victim in ("monitor", "all") else pid, signal.SIGKILL)
        if self.victim == "all":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.victim == "unseen":
            raise _GoOn


class _GoOn(Exception):
    pass


class Unwatched(Performance):
    """Whose observer may let all go on by themselves."""

    def _one_by_one(self, observer: Observer) -> None:
        try:
            super()._one_by_one(observer)
        except _GoOn:
            self._observer = None
            for role in ROLES:
                self._let_go(role, len(self.calls))


def main(root: str, runroot: str, victim: str, number: str, *words: str) -> int:
    engine.Performance = Unwatched  # type: ignore[attr-defined]
    try:
        return run(Roots(root, runroot), assemble(*FLAGS.parse(list(words))), observer=Killer(victim, int(number)))
    except PycError as error:
        print(error.message, file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
