"""What a run found, as a table in the terminal, as JSON, and between the markers of the documents.

A marker is ``<!-- bench:NAME -->``; what follows up to ``<!-- /bench -->`` is made from docs/performance.json, and a
test sees that it still is. All prose is outside of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench import plot
from bench.measure import OURS, Case, Table

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
RESULTS, PAGE, README = "docs/performance.json", "docs/performance.md", "README.md"
PICTURE = "docs/performance.svg"
_MARKED = re.compile(r"(<!-- bench:([a-z-]+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)


class Report(NamedTuple):
    """One run: what it was measured on, and the tables."""

    machine: dict[str, str]
    rounds: int
    tables: list[Table]

    @classmethod
    def read(cls, path: str) -> Report:
        """What :meth:`write` wrote."""
        with open(path) as file:
            written: dict[str, Any] = json.load(file)
        return cls(written["machine"], written["rounds"], [Table.read(table) for table in written["tables"]])

    def write(self, path: str) -> None:
        """As JSON, with every sample."""
        plain = {"machine": self.machine, "rounds": self.rounds, "tables": [table.plain() for table in self.tables]}
        with open(path, "w") as file:
            file.write(_lines(json.dumps(plain, indent=1)) + "\n")

    def table(self, name: str) -> Table | None:
        """The table of that name, if it was measured."""
        return next((table for table in self.tables if table.name == name), None)


def _lines(text: str) -> str:
    """Arrays of numbers on one line each."""
    return re.sub(r"\[\s+([-\d.,\se+]+?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)


# ---- cells


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cell(case: Case, name: str) -> str:
    """Median, spread, and what share of it ours is; empty for who is not here."""
    if name not in case.samples:
        return ""
    low, high = case.spread(name)
    spread = f" ({figure(low)} - {figure(high)})" if low != high else ""
    share = f" x{case.ratio(name):.2f}" if name != OURS and OURS in case.samples else ""
    return figure(case.median(name)) + spread + share


# ---- the terminal


def show(report: Report) -> None:
    """Everything, with the bars and who is missing."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid

    console = Console(width=None if os.isatty(1) else 170)
    for table in report.tables:
        grid = Grid(title=table.title, box=box.SIMPLE_HEAD, title_justify="left")
        grid.add_column("")
        grid.add_column("unit")
        for name in table.columns:
            grid.add_column(name, justify="right")
        for case in table.cases:
            grid.add_row(case.title, case.unit, *(cell(case, name) for name in table.columns))
        console.print(grid)
    console.print("median (middle eight of ten) xOURS/THEIRS\n", markup=False)
    for line in (*bars(report), *missing(report)):
        console.print(line, markup=False, highlight=False)


def bars(report: Report) -> Iterator[str]:
    """A line for each bar."""
    for verdict in (verdict for table in report.tables for case in table.cases for verdict in case.verdicts()):
        word, sign = "met   " if verdict.met else "MISSED", ">=" if verdict.more else "<="
        yield f"{word} {verdict.title}: {verdict.found:.3g} {verdict.unit} (bar {sign} {verdict.bar:g})"


def missing(report: Report) -> Iterator[str]:
    """A line for each who was not measured, with the reason; once for several cases."""
    found = {
        f"not measured: {name}: {reason}"
        for table in report.tables
        for case in table.cases
        for name, reason in case.absent.items()
    }
    yield from sorted(found)


# ---- the documents


def write_documents(report: Report, top: str = TOP) -> None:
    """The results, the picture, and all that is between markers. Tables that were not measured stay as they were."""
    path = os.path.join(top, RESULTS)
    merged = merge(Report.read(path), report) if os.path.exists(path) else report
    merged.write(path)
    with open(os.path.join(top, PICTURE), "w") as file:
        file.write(picture(merged))
    for name in (PAGE, README):
        with open(os.path.join(top, name)) as file:
            text = file.read()
        with open(os.path.join(top, name), "w") as file:
            file.write(filled(text, merged))


def merge(old: Report, new: Report) -> Report:
    """``new``, and the tables of ``old`` that it lacks."""
    names = [table.name for table in new.tables]
    return new._replace(tables=[*new.tables, *(table for table in old.tables if table.name not in names)])


def filled(text: str, report: Report) -> str:
    """A document with everything between markers made anew."""
    return _MARKED.sub(lambda found: found[1] + part(report, found[2], found[3]) + found[4], text)


def part(report: Report, name: str, before: str) -> str:
    """What belongs between the markers of that name; ``before`` if there is nothing to say."""
    if name == "machine":
        return "".join(f"- {field}: {value}\n" for field, value in report.machine.items())
    if name == "bars":
        return "".join(f"    {line}\n" for line in bars(report))
    if name == "claim":
        return claim(report) or before
    table = report.table(name)
    return markdown(table) if table else before


def markdown(table: Table) -> str:
    """A table of GitHub's."""
    rows = [["", *table.columns], ["---", *("---:" for _ in table.columns)]]
    for case in table.cases:
        unit = f", {case.unit}" if case.unit else ""
        rows.append([case.title + unit, *(cell(case, name) for name in table.columns)])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def claim(report: Report) -> str:
    """The README's sentence."""
    table = report.table("starts")
    if table is None:
        return ""
    cases = {case.title: case for case in table.cases}
    run, inside = cases["run --rm --network none"], cases["a start inside Python"]
    others = [f"{figure(run.median(name))} for {name}" for name in ("podman", "docker") if name in run.samples]
    peers = f" ({' and '.join(others)})" if others else ""
    return (
        f"`run --rm --network none` of BusyBox's `true` takes {figure(run.median(OURS))} ms{peers};\n"
        f"a start inside Python {figure(inside.median(OURS))} ms. Medians of one run in which all took turns, on one\n"
        "machine: [how, on what, and where each millisecond goes](docs/performance.md). `make bench` measures yours.\n"
    )


def picture(report: Report) -> str:
    """The starts."""
    table = report.table("starts")
    cases = [case for case in table.cases if case.unit == "ms" and case.samples] if table else []
    return plot.bars("Milliseconds: medians, and the middle eight of ten", cases) if cases else ""
