"""Samples of contestants that take turns, and what is read off them: medians, spread, ratios.

A contestant is a function that does a thing once and gives the figure. All contestants of a case take turns, in another
order each round, so that what disturbs the machine disturbs them all: rounds are pairs.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

OURS = "pyc"

Once = Callable[[], float]
"""Does it once, and gives the figure."""

Several = Callable[[], Sequence[float]]
"""Does it once, and gives several figures."""

T = TypeVar("T")


class Failed(Exception):
    """A contestant is not here, or could not do it: its cell stays empty, and the reason is printed."""


class Case(NamedTuple):
    """One row: a thing that several did in turns.

    Attributes:
        unit: of the figures: ms, s, MB/s, KiB, ...
        samples: of each contestant, one a round.
        absent: why a contestant has none.
        more: the higher the better.
    """

    title: str
    unit: str
    samples: dict[str, list[float]]
    absent: Mapping[str, str] = MappingProxyType({})
    more: bool = False

    def median(self, name: str) -> float:
        """The median of one contestant."""
        return statistics.median(self.samples[name])

    def spread(self, name: str) -> tuple[float, float]:
        """Where the middle eight of ten samples of one contestant are."""
        return spread(self.samples[name])

    def ratio(self, theirs: str, ours: str = OURS) -> float:
        """Our median as a share of theirs."""
        return self.median(ours) / self.median(theirs)

    def ratios(self, theirs: str, ours: str = OURS) -> tuple[float, float]:
        """Where the middle eight of ten ratios are, each of one round; without rounds, that of the medians."""
        mine, others = self.samples[ours], self.samples[theirs]
        if len(mine) != len(others):
            return self.ratio(theirs, ours), self.ratio(theirs, ours)
        return spread([one / other for one, other in zip(mine, others, strict=True)])


def spread(figures: Sequence[float]) -> tuple[float, float]:
    """The tenth and the ninetieth percentile; of fewer than five figures, the lowest and the highest."""
    if len(figures) < 5:
        return min(figures), max(figures)
    tenths = statistics.quantiles(figures, n=10, method="inclusive")
    return tenths[0], tenths[-1]


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

    def case(self, title: str) -> Case | None:
        """The row of that title."""
        return next((case for case in self.cases if case.title == title), None)


def _rounded(case: Case) -> dict[str, Any]:
    samples = {name: [float(f"{figure:.6g}") for figure in found] for name, found in case.samples.items()}
    return {**case._asdict(), "samples": samples, "absent": dict(case.absent)}


# ---- turns


def turns(
    title: str,
    unit: str,
    contestants: Mapping[str, Once],
    rounds: int,
    *,
    absent: Mapping[str, str] | None = None,
    more: bool = False,
    warm: bool = True,
) -> Case:
    """Let all take turns ``rounds`` times, after one turn (``warm``) that is not counted.

    Who fails is left out from then on, with the reason in ``absent``.
    """
    several = {name: _as_several(once) for name, once in contestants.items()}
    (case,) = turns_of({title: unit}, several, rounds, absent=absent, warm=warm)
    return case._replace(more=more)


def _as_several(once: Once) -> Several:
    return lambda: (once(),)


def turns_of(
    figures: Mapping[str, str],
    contestants: Mapping[str, Several],
    rounds: int,
    *,
    absent: Mapping[str, str] | None = None,
    warm: bool = True,
) -> list[Case]:
    """The same for contestants that give several figures: a case for each, ``figures`` its title and unit."""
    samples: dict[str, list[Sequence[float]]] = {name: [] for name in contestants}
    missing = dict(absent or {})
    for number in range(-1 if warm else 0, rounds):
        for name in random.sample(list(contestants), len(contestants)):
            if name in missing:
                continue
            try:
                found = contestants[name]()
            except (Failed, OSError) as error:
                missing[name] = str(error)
                continue
            if number >= 0:
                samples[name].append(found)
    whole = {name: found for name, found in samples.items() if name not in missing}
    return [
        Case(title, unit, {name: [one[place] for one in found] for name, found in whole.items()}, missing)
        for place, (title, unit) in enumerate(figures.items())
    ]


def available(makers: Mapping[str, Callable[[], T]]) -> tuple[dict[str, T], dict[str, str]]:
    """Those contestants that can be made here, and why others can't."""
    here, absent = {}, {}
    for name, make in makers.items():
        try:
            here[name] = make()
        except (Failed, OSError) as error:
            absent[name] = str(error)
    return here, absent


def at_once(jobs: Iterable[Callable[[], T]], threads: int) -> list[T]:
    """What the jobs return, so many of them at a time; after a failure or an interrupt no further one begins."""
    pool = ThreadPoolExecutor(threads)
    try:
        return [job.result() for job in [pool.submit(job) for job in jobs]]
    finally:
        pool.shutdown(cancel_futures=True)


# ---- one command


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
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions, setsigdef=[signal.SIGPIPE])
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except BaseException:  # we are interrupted: it is not to go on without us
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        if code:
            said = os.pread(errors, 4096, max(0, os.fstat(errors).st_size - 4096)).decode(errors="replace")
            raise Failed(f"{' '.join(argv[:2])} ... exited {code}: {last_words(said)}")
        os.ftruncate(errors, 0)
        os.lseek(errors, 0, os.SEEK_SET)

    return run


def last_words(text: str) -> str:
    """What a program said at last, on one line."""
    return " ".join(text.split())[-300:]
