"""Where the time of one start goes: interpreter, imports, state, plan, each step in the kernel, wait."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from bench.measure import OURS, Case, Failed, Table, last_words
from bench.peers import PYC
from bench.stage import IMAGE, Stage
from bench.starts import NONE

TRACED = os.path.join(os.path.dirname(os.path.realpath(__file__)), "traced.py")
ALONE, BRIDGED, INSIDE = "pyc run, network none", "pyc run, bridge", "inside Python"
COMMANDS = {ALONE: ("run", "--rm", *NONE, IMAGE, "true"), BRIDGED: ("run", "--rm", IMAGE, "true")}
DEAREST = 12

AVOIDED = ("requests", "pyroute2", "rich.console", "click", "asyncio", "subprocess", "dataclasses", "pathlib",
           "socket", "typing", "json", "re", "enum", "signal", "contextlib", "functools", "collections")  # fmt: skip
"""What programs like this one load, and most likely this one at some time did."""

Samples = dict[str, dict[str, list[float]]]
"""Row -> column -> milliseconds."""

Mark = tuple[str, int, int]
"""A phase, when it ended, and how long imports had taken by then, in nanoseconds."""


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """The phases of a start from the command line and from inside Python, its steps, and its imports."""
    ours = stage.engines[OURS].argv[1:]
    phases: Samples = {}
    steps: Samples = {}
    for number in range(-1, rounds):
        for name, words in COMMANDS.items():
            one = command_line(stage, [*ours, *words])
            told = step_times(stage, [*ours, *words])
            if number >= 0:
                collect(phases, name, one)
                collect(steps, name, told)
    for one in inside(stage, ours, rounds):
        collect(phases, INSIDE, one)
    phases["all of it"] = phases.pop("all of it")  # the last row
    yield _table("trace", "One start, phase by phase", (*COMMANDS, INSIDE), phases)
    title = "The steps of the plan in the kernel, waits and parallel work included"
    yield _table("steps", title, tuple(COMMANDS), steps)
    loaded = imports([*ours, *COMMANDS[ALONE]], max(2, rounds // 4))
    yield _imports(loaded)
    yield _avoided(loaded, max(2, rounds // 4))


def collect(found: Samples, column: str, one: Mapping[str, float]) -> None:
    """Add what was seen in one start."""
    for row, took in one.items():
        found.setdefault(row, {}).setdefault(column, []).append(took)


def _table(name: str, title: str, columns: tuple[str, ...], found: Samples) -> Table:
    return Table(name, title, columns, [Case(row, "ms", samples) for row, samples in found.items()])


# ---- phases and steps


def _traced(stage: Stage, how: str, *words: str) -> list[list[str]]:
    path = f"{stage.scratch}/traced"
    argv = [sys.executable, "-P", TRACED, how, path, *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{TRACED} {how} exited {done.returncode}: {last_words(done.stderr)}")
    with open(path) as file:
        return [line.split("\t") for line in file.read().splitlines()]


def command_line(stage: Stage, words: list[str]) -> dict[str, float]:
    """Phase -> milliseconds of one command. Both processes read the same clock, CLOCK_MONOTONIC."""
    began = time.perf_counter_ns()
    rows = _traced(stage, "phases", *words)
    ended = time.perf_counter_ns()
    marks = [(phase, int(at), int(imported)) for phase, at, imported in rows]
    return spent(marks, began) | {"exit": (ended - marks[-1][1]) / 1e6, "all of it": (ended - began) / 1e6}


def inside(stage: Stage, ours: list[str], count: int) -> Iterator[dict[str, float]]:
    """Phase -> milliseconds of each start in one process; the first two, which import and fill caches, are left out."""
    rows = _traced(stage, "inside", ours[1], ours[3], IMAGE, str(count + 2))
    marks = [(phase, int(at), int(imported)) for phase, at, imported in rows]
    begins = [number for number, mark in enumerate(marks) if mark[0] == "begin"]
    for begin, end in list(zip(begins, [*begins[1:], len(marks)], strict=True))[2:]:
        one = marks[begin:end]
        yield spent(one[1:], one[0][1]) | {"all of it": (one[-1][1] - one[0][1]) / 1e6}


def spent(marks: list[Mark], began: int) -> dict[str, float]:
    """Phase -> milliseconds, without the imports in it; those are a phase of their own."""
    found, before, imported_before = {}, began, marks[0][2]
    for phase, at, imported in marks:
        name = "back in the caller" if phase == "end" else phase
        found[name] = (at - before - (imported - imported_before)) / 1e6
        if phase == "interpreter":
            found["imports"] = 0.0
        before, imported_before = at, imported
    if "imports" in found:
        found["imports"] = marks[-1][2] / 1e6
    return found


def step_times(stage: Stage, words: list[str]) -> dict[str, float]:
    """Step -> milliseconds in the kernel, by the performer's own clock. Steps of the same title are one."""
    found: dict[str, float] = {}
    for where, title, nanoseconds in _traced(stage, "steps", *words):
        name = re.sub(r"/\S*/containers/\S+", "a file of ours", title)
        found[f"{where}: {name}"] = found.get(f"{where}: {name}", 0.0) + int(nanoseconds) / 1e6
    return found


# ---- imports


def imports(words: list[str], rounds: int) -> dict[str, list[float]]:
    """Module -> milliseconds of its own, for all that one command imports."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        argv = [sys.executable, "-X", "importtime", PYC, *words]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        for line in done.stderr.splitlines():
            own, _, name = line.removeprefix("import time:").partition("|")
            if line.startswith("import time:") and own.strip().isdigit():
                found.setdefault(name.rpartition("|")[2].strip(), []).append(int(own) / 1000)
    return found


def _imports(found: dict[str, list[float]]) -> Table:
    """The dearest, and the others together."""
    ranked = sorted(found, key=lambda name: -sorted(found[name])[len(found[name]) // 2])
    cases = [Case(f"`{name}`", "ms", {ALONE: found[name]}) for name in ranked[:DEAREST]]
    others = [sum(column) for column in zip(*(found[name] for name in ranked[DEAREST:]), strict=False)]
    cases.append(Case(f"{len(ranked) - DEAREST} others", "ms", {ALONE: others}))
    return Table("imports", "What is imported, by its own time (measuring doubles it)", (ALONE,), cases)


_IMPORT = """if True:
    import sys, time
    began = time.perf_counter()
    exec(sys.argv[1])
    print((time.perf_counter() - began) * 1e3)
"""
_ONE_FILE = "from pycontainer import modules; modules.use()"
_OURS = "import pycontainer.cli.run, pycontainer.engine.run"


def _avoided(loaded: Mapping[str, object], rounds: int) -> Table:
    """What a start does not load, and how long a new interpreter takes for it, with all that it imports in turn."""
    found: Samples = {}
    for _ in range(rounds):
        for name in (name for name in AVOIDED if name not in loaded):
            collect(found, "takes", {f"import {name}": _taken(f"import {name}")})
        saved = _taken(_OURS) - _taken(f"{_ONE_FILE}; {_OURS}")
        collect(found, "takes", {"a file for each module of ours": saved})
    return _table("avoided", "What is not imported", ("takes",), found)


def _taken(code: str) -> float:
    """Milliseconds that a new interpreter takes for ``code``."""
    argv = [sys.executable, "-P", "-c", _IMPORT, code]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{code}: {last_words(done.stderr)}")
    return float(done.stdout)
