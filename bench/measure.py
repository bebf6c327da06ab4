"""Samples of contestants that take turns, and what is read off them: medians, spread, ratios, and bars.

A contestant is a function that does a thing once and gives the figure. All contestants of a case take turns, in another
order each round, so that what disturbs the machine disturbs them all. Ratios are of medians of one run.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

OURS = "pyc"

Once = Callable[[], float]
"""Does it once, and gives the figure."""


class Failed(Exception):
    """A contestant is not here, or could not do it: its cell stays empty, and the reason is printed."""


class Case(NamedTuple):
    """One row: a thing that several did in turns.

    Attributes:
        unit: of the figures: ms, s, MB/s, KiB, ...
        samples: of each contestant, one a round.
        absent: why a contestant has none.
        bars: what share of another's median ours may be at most; at least, where ``more`` is better.
        limit: the same for our figure itself.
        more: the higher the better.
    """

    title: str
    unit: str
    samples: dict[str, list[float]]
    absent: Mapping[str, str] = MappingProxyType({})
    bars: Mapping[str, float] = MappingProxyType({})
    limit: float | None = None
    more: bool = False

    def median(self, name: str) -> float:
        """The median of one contestant."""
        return statistics.median(self.samples[name])

    def spread(self, name: str) -> tuple[float, float]:
        """From where to where the middle eight of ten samples are; of few samples, all."""
        found = sorted(self.samples[name])
        if len(found) < 5:
            return found[0], found[-1]
        tenths = statistics.quantiles(found, n=10, method="inclusive")
        return tenths[0], tenths[-1]

    def ratio(self, theirs: str, ours: str = OURS) -> float:
        """Our median as a share of theirs."""
        return self.median(ours) / self.median(theirs)

    def verdicts(self) -> Iterator[Verdict]:
        """What was to be reached, for all that was measured."""
        if OURS not in self.samples:
            return
        if self.limit is not None:
            yield Verdict(self.title, self.unit, self.median(OURS), self.limit, self.more)
        for theirs, bar in self.bars.items():
            if theirs in self.samples:
                yield Verdict(self.title, f"x {theirs}", self.ratio(theirs), bar, self.more)


class Verdict(NamedTuple):
    """One bar, and what was found."""

    title: str
    unit: str
    found: float
    bar: float
    more: bool

    @property
    def met(self) -> bool:
        """It is reached."""
        return self.found >= self.bar if self.more else self.found <= self.bar


class Table(NamedTuple):
    """Cases with the same contestants, who are the columns; one that is absent leaves its column empty."""

    name: str
    title: str
    columns: tuple[str, ...]
    cases: list[Case]

    @classmethod
    def read(cls, written: dict[str, Any]) -> Table:
        """What :meth:`plain` wrote."""
        cases = [Case(**case) for case in written["cases"]]
        return cls(written["name"], written["title"], tuple(written["columns"]), cases)

    def plain(self) -> dict[str, Any]:
        """It as JSON can hold it; figures to six digits, which is more than a clock's worth."""
        return {**self._asdict(), "cases": [_rounded(case) for case in self.cases]}


def _rounded(case: Case) -> dict[str, Any]:
    samples = {name: [float(f"{figure:.6g}") for figure in found] for name, found in case.samples.items()}
    return {**case._asdict(), "samples": samples, "absent": dict(case.absent), "bars": dict(case.bars)}


def milliseconds(action: Callable[[], object], after: Callable[[], object] | None = None) -> Once:
    """A contestant that is timed; what comes ``after`` is not."""

    def once() -> float:
        began = time.perf_counter_ns()
        action()
        took = (time.perf_counter_ns() - began) / 1e6
        if after is not None:
            after()
        return took

    return once


def turns(
    title: str,
    unit: str,
    contestants: Mapping[str, Once],
    rounds: int,
    *,
    absent: Mapping[str, str] | None = None,
    bars: Mapping[str, float] | None = None,
    limit: float | None = None,
    more: bool = False,
    warm: bool = True,
) -> Case:
    """Let all take turns ``rounds`` times, after one turn (``warm``) that is not counted.

    Who fails is left out from then on, with the reason in ``absent``.
    """
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    missing = dict(absent or {})
    for number in range(-1 if warm else 0, rounds):
        for name in random.sample(list(contestants), len(contestants)):
            if name in missing:
                continue
            try:
                figure = contestants[name]()
            except (Failed, OSError) as error:
                missing[name] = str(error)
                continue
            if number >= 0:
                samples[name].append(figure)
    whole = {name: found for name, found in samples.items() if name not in missing}
    return Case(title, unit, whole, missing, dict(bars or {}), limit, more)


# ---- one command


def command(argv: list[str], *, env: Mapping[str, str] | None = None, terminal: int = -1) -> Callable[[], None]:
    """A function that runs a program to its end, with the least that this needs here: a spawn and a wait.

    Its output is discarded; it has ``terminal`` as its stdio, or nothing. Raises Failed with what it said last.
    """
    environment = {**os.environ, **(env or {})}
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    stdio = terminal if terminal >= 0 else null
    errors = os.memfd_create("bench-stderr", os.MFD_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate((stdio, stdio, errors))]

    def run() -> None:
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            said = os.pread(errors, 4096, max(0, os.fstat(errors).st_size - 4096)).decode(errors="replace")
            raise Failed(f"{' '.join(argv[:2])} ... exited {code}: {' '.join(said.split())[-300:]}")
        os.ftruncate(errors, 0)
        os.lseek(errors, 0, os.SEEK_SET)

    return run
