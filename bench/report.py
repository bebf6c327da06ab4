"""What a run found: in the terminal, as JSON, and between the marks of the documents.

A mark is ``<!-- bench:NAME -->``; what follows up to ``<!-- /bench -->`` is made from docs/performance.json, and a test
sees that it still is. All prose is outside of them.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from bench import bars, plot
from bench.bars import Verdict
from bench.measure import OURS, Case, Table
from bench.plot import figure

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
RESULTS, PAGE, README = "docs/performance.json", "docs/performance.md", "README.md"
NOTHING = "*Not measured in this run.*\n"
_MARKED = re.compile(r"(<!-- bench:([a-z-]+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)


class Report(NamedTuple):
    """One run.

    Attributes:
        machine: what it was measured on.
        failures: which section could not be measured to its end, and why.
    """

    machine: dict[str, str]
    rounds: int
    tables: list[Table]
    failures: Mapping[str, str]

    @classmethod
    def read(cls, path: str) -> Report:
        """What :meth:`write` wrote."""
        with open(path) as file:
            written: dict[str, Any] = json.load(file)
        tables = [Table.read(table) for table in written["tables"]]
        return cls(written["machine"], written["rounds"], tables, written["failures"])

    def write(self, path: str) -> None:
        """As JSON, with every sample; the verdicts are there for others, and made anew when it is read."""
        plain = {
            "machine": self.machine,
            "rounds": self.rounds,
            "failures": dict(self.failures),
            "bars": [_plain(verdict) for verdict in bars.judged(self.tables)],
            "tables": [table.plain() for table in self.tables],
        }
        with open(path, "w") as file:
            file.write(_lines(json.dumps(plain, indent=1)) + "\n")

    def table(self, name: str) -> Table | None:
        """The table of that name, if it was measured."""
        return next((table for table in self.tables if table.name == name), None)

    def case(self, table: str, title: str) -> Case | None:
        """One row of it."""
        found = self.table(table)
        return found.case(title) if found else None


def merged(old: Report, new: Report, sections: list[str]) -> Report:
    """``new``, which is of these sections, in the place of what ``old`` had of it, and the machine that says so."""
    anew = {table.name: table for table in new.tables}
    tables = [anew.pop(table.name, table) for table in old.tables] + list(anew.values())
    names = ", ".join(table.name for table in new.tables)
    machine = {**old.machine, "measured again": f"{time.strftime('%Y-%m-%d')}, load {new.machine['load']}: {names}"}
    failures = {name: why for name, why in old.failures.items() if name not in sections}
    return Report(machine, old.rounds, tables, failures | dict(new.failures))


def _plain(verdict: Verdict) -> dict[str, Any]:
    found = {"found": verdict.found, "low": verdict.low, "high": verdict.high, "unit": verdict.unit}
    rounded = {name: float(f"{each:.4g}") if isinstance(each, float) else each for name, each in found.items()}
    return {**verdict.bar._asdict(), **rounded, "verdict": verdict.word}


def _lines(text: str) -> str:
    """Arrays of numbers on one line each."""
    return re.sub(r"\[\s+([-\d.,\se+]+?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)


# ---- cells


def cell(case: Case, name: str, smallest: str = "") -> str:
    """Median, spread, and what share of it ours is, or what multiple of the ``smallest``; empty for who is not here."""
    if name not in case.samples:
        return ""
    low, high = case.spread(name)
    spread = f" ({figure(low)} - {figure(high)})" if low != high else ""
    share = ""
    if name != OURS and OURS in case.samples and case.median(name):
        share = f" x{case.ratio(name):.2f}"
    elif smallest in case.samples and name != smallest:
        share = f" x{case.ratio(smallest, name):.2f}"
    return figure(case.median(name)) + spread + share


def cells(table: Table, case: Case) -> list[str]:
    """A row."""
    smallest = table.columns[0] if table.name.startswith("growth-") else ""
    return [cell(case, name, smallest) for name in table.columns]


def judgement(verdict: Verdict) -> list[str]:
    """The cells of a bar: what it is about, the first figure, the aim, what was found, the verdict."""
    bar = verdict.bar
    measured = ""
    if verdict.found is not None:
        unit = f" {verdict.unit}" if verdict.unit else ""
        measured = f"{figure(verdict.found)} ({figure(verdict.low)} - {figure(verdict.high)}){unit}"
    edges = ["" if edge is None else f"{bar.sign} {edge:g}" for edge in (bar.first, bar.aim)]
    return [bar.case, f"share of {bar.beside}" if bar.beside else "the figure", *edges, measured, verdict.word]


JUDGED = ("", "is judged by", "must be", "aim", "measured", "")


# ---- the terminal


def show(report: Report) -> None:
    """Everything, with the bars and who is missing."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid

    console = Console(width=None if os.isatty(1) else 170)
    for field, value in report.machine.items():
        console.print(f"{field}: {value}", markup=False, highlight=False)

    def grid(title: str, columns: tuple[str, ...], rows: list[list[str]], words: int) -> None:
        shown = Grid(title=title, box=box.SIMPLE_HEAD, title_justify="left")
        for number, name in enumerate(columns):
            shown.add_column(name, justify="left" if number < words else "right")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)

    for table in report.tables:
        rows = [[case.title, case.unit, *cells(table, case)] for case in table.cases]
        grid(table.title, ("", "unit", *table.columns), rows, 2)
    console.print(
        "median (middle eight of ten) xOURS/THEIRS; of growth: xTHIS/SMALLEST\n", markup=False, highlight=False
    )
    verdicts = [judgement(verdict) for verdict in bars.judged(report.tables)]
    grid("Bars: ratios of medians (middle eight of ten ratios of one round)", JUDGED, verdicts, 2)
    for line in missing(report):
        console.print(line, markup=False, highlight=False)


def missing(report: Report) -> Iterator[str]:
    """A line for each who was not measured, with the reason; once for several cases."""
    found = {
        f"not measured: {name}: {reason}"
        for table in report.tables
        for case in table.cases
        for name, reason in case.absent.items()
    }
    yield from sorted(found)
    yield from (f"failed: {name}: {reason}" for name, reason in report.failures.items())


# ---- the documents


def write_documents(report: Report, top: str = TOP) -> None:
    """The results, the pictures, and all that is between marks."""
    report.write(os.path.join(top, RESULTS))
    for name, picture in PICTURES.items():
        with open(os.path.join(top, name), "w") as file:
            file.write(picture(report))
    for name in (PAGE, README):
        with open(os.path.join(top, name)) as file:
            text = file.read()
        with open(os.path.join(top, name), "w") as file:
            file.write(filled(text, report))


def filled(text: str, report: Report) -> str:
    """A document with everything between marks made anew."""
    return _MARKED.sub(lambda found: found[1] + part(report, found[2]) + found[4], text)


def part(report: Report, name: str) -> str:
    """What belongs between the marks of that name."""
    if name in PARTS:
        return PARTS[name](report)
    table = report.table(name)
    return markdown(table) if table else NOTHING


def grid(rows: list[list[str]], words: int = 1) -> str:
    """A table of GitHub's: the head, and rows whose first columns are ``words``."""
    head = ["---" if number < words else "---:" for number in range(len(rows[0]))]
    return "".join("| " + " | ".join(row) + " |\n" for row in (rows[0], head, *rows[1:]))


def markdown(table: Table) -> str:
    """All of a table."""
    rows = [["", *table.columns]]
    for case in table.cases:
        unit = f", {case.unit}" if case.unit else ""
        rows.append([case.title + unit, *cells(table, case)])
    return grid(rows)


def machine(report: Report) -> str:
    """What it was measured on, and who is not in it."""
    lines = [f"{field}: {value}" for field, value in report.machine.items()]
    return "".join(f"- {line}\n" for line in [*lines, f"rounds: {report.rounds}", *missing(report)])


def verdicts(report: Report) -> str:
    """The bars."""
    return grid([list(JUDGED), *map(judgement, bars.judged(report.tables))], words=2)


def dearest(report: Report, count: int = 8) -> str:
    """The steps of a start that take longest in the kernel."""
    table = report.table("steps")
    if table is None:
        return NOTHING
    ranked = sorted(table.cases, key=lambda case: -max(map(case.median, case.samples)))
    return markdown(table._replace(cases=ranked[:count]))


CLAIMED = {
    "`run --rm --network none`": ("starts", "run --rm --network none"),
    "`run --rm`, on a bridge": ("starts", "run --rm"),
    "`run --detach`": ("starts", "run --detach --network none"),
    "`exec`": ("starts", "exec true"),
    "a start inside Python": ("starts", "a start inside Python"),
    "pull and unpack 502 MB": ("pull", "pull of 502 MB in one layer"),
    "memory that stays with a container": ("idle", "memory of the monitor (PSS)"),
}


def claim(report: Report) -> str:
    """The README's table: medians, and nothing that was not measured."""
    rows = [["", OURS, "podman", "docker"]]
    for words, (table, title) in CLAIMED.items():
        if (case := report.case(table, title)) and OURS in case.samples:
            shown = [f"{figure(case.median(name))} {case.unit}" if name in case.samples else "" for name in rows[0][1:]]
            rows.append([words, f"**{shown[0]}**", *shown[1:]])
    note = f"\n*Mind that {report.machine['note']}.*\n" if "note" in report.machine else ""
    return grid(rows) + note if len(rows) > 1 else NOTHING


PARTS: dict[str, Callable[[Report], str]] = {"machine": machine, "bars": verdicts, "claim": claim, "dearest": dearest}


# ---- the pictures

MEDIANS = "Medians; the thin line is where the middle eight of ten samples are."


def starts(report: Report) -> str:
    """Each way to start, in milliseconds."""
    table = report.table("starts")
    cases = [case for case in table.cases if case.samples] if table else []
    return (
        plot.bars("Starting BusyBox's true, in milliseconds", f"{MEDIANS} In brackets: times ours.", cases)
        if cases
        else ""
    )


def overview(report: Report) -> str:
    """All that was measured beside somebody."""
    names = ("starts", "runtime", "rates", "listing", "idle", "traffic", "pull", "images")
    tables = [table for name in names if (table := report.table(name))]
    cases = [
        case._replace(samples={name: found for name, found in case.samples.items() if name in {OURS, *PEERS}})
        for table in tables
        for case in table.cases
        if OURS in case.samples and case.median(OURS) and {*case.samples} & PEERS and "threads" not in case.title
    ]
    words = "Ratios of medians. Right of the line: pyc takes less time or memory, or moves more bytes, by this factor."
    return plot.factors("pyc beside its peers", words, cases) if cases else ""


PEERS = {"podman", "docker", "ctr", "runc", "crun", "skopeo"}


def phases(report: Report) -> str:
    """Where the time of a start goes."""
    table = report.table("trace")
    if table is None:
        return ""
    rows = [case.title for case in table.cases if case.title != "all of it"]
    return plot.stack("Where the time of a start goes", "Medians of each phase; imports are apart.", table, rows)


def growth(report: Report) -> str:
    """How cost grows."""
    tables = []
    for table in (table for table in report.tables if table.name.startswith("growth-")):
        pulls = [case for case in table.cases if case.title.startswith("pull")]  # of another order: a panel of its own
        starts = [case for case in table.cases if case not in pulls]
        tables += [table._replace(cases=starts)] if starts else []
        tables += [table._replace(title=f"A pull {table.title.lower()}", cases=pulls)] if pulls else []
    return plot.curves("How cost grows", "Medians, and the middle eight of ten samples.", tables) if tables else ""


PICTURES: dict[str, Callable[[Report], str]] = {
    "docs/performance.svg": overview,
    "docs/performance-starts.svg": starts,
    "docs/performance-phases.svg": phases,
    "docs/performance-growth.svg": growth,
}
