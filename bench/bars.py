"""What the project wants to reach, and whether a run did: a share of a peer's median, or a figure of ours.

The first figure must hold, the second is the aim. A line without a first figure is only told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bench.measure import OURS, Case, Table

AT_MOST, AT_LEAST = "<=", ">="


class Bar(NamedTuple):
    """One line.

    Attributes:
        table, case: what is judged.
        beside: whose median ours is a share of; "" for our figure itself.
        first: what must hold, if anything must.
        aim: what we would like.
        sign: AT_MOST or AT_LEAST.
    """

    table: str
    case: str
    beside: str
    first: float | None
    aim: float | None = None
    sign: str = AT_MOST

    def holds(self, found: float, figure: float | None) -> bool:
        """Whether ``found`` is as good as that figure of ours."""
        return figure is not None and (found <= figure if self.sign == AT_MOST else found >= figure)


BARS = (
    Bar("starts", "run --rm --network none", "podman", 0.40, 0.30),
    Bar("starts", "run --rm --network none", "docker", 0.22, 0.15),
    Bar("starts", "run --rm", "podman", 0.30, 0.18),
    Bar("starts", "run --rm", "docker", 0.35, 0.22),
    Bar("starts", "run --detach --network none", "podman", 0.60, 0.40),
    Bar("starts", "run --detach --network none", "docker", 0.40, 0.28),
    Bar("starts", "exec true", "podman", 0.45, 0.33),
    Bar("starts", "exec true", "docker", 1.0, 0.7),
    Bar("starts", "a start inside Python", "plain C", 1.8, 1.3),
    Bar("rates", "starts inside Python", "", 250, 450, AT_LEAST),
    Bar("runtime", "run of a bundle", "runc", 0.80, 0.60),
    Bar("runtime", "run of a bundle", "crun", None, 1.3),
    Bar("idle", "memory of the monitor (PSS)", "podman", 1.0, 0.6),
    Bar("idle", "memory of the monitor (PSS)", "docker", 0.14),
    Bar("pull", "pull of 502 MB in one layer", "podman", 0.50, 0.30),
    Bar("pull", "pull of 502 MB in one layer", "ctr", 0.70, 0.40),
    Bar("pull", "pull of 502 MB in one layer, memory at the peak", "", 150),
    Bar("pull", "pull of 502 MB in ten layers, inside Python", "one worker", 1.0),
    Bar("pull", "pull of 2 MB that are here", "", 0.1),
    Bar("images", "push of what is there", "", 0.1),
)


class Verdict(NamedTuple):
    """A line, and what was found.

    Attributes:
        found: the figure, or the ratio of medians; None if it was not measured.
        unit: of a figure.
        low, high: where the middle eight of ten ratios or figures are.
    """

    bar: Bar
    found: float | None = None
    unit: str = ""
    low: float = 0.0
    high: float = 0.0

    @property
    def word(self) -> str:
        """How it went."""
        if self.found is None:
            return "not measured"
        if self.bar.holds(self.found, self.bar.aim):
            return "aim met"
        if self.bar.first is None:
            return "told"
        return "met" if self.bar.holds(self.found, self.bar.first) else "MISSED"


def judged(tables: list[Table]) -> Iterator[Verdict]:
    """Every line."""
    named = {table.name: table for table in tables}
    for bar in BARS:
        case = named[bar.table].case(bar.case) if bar.table in named else None
        yield _judged(bar, case) if case else Verdict(bar)


def _judged(bar: Bar, case: Case) -> Verdict:
    if not {OURS, bar.beside or OURS} <= case.samples.keys():
        return Verdict(bar)
    if not bar.beside:
        return Verdict(bar, case.median(OURS), case.unit, *case.spread(OURS))
    return Verdict(bar, case.ratio(bar.beside), "", *case.ratios(bar.beside))
