"""Where the time of one start goes: interpreter, imports, state, plan, each step in the kernel, wait."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.measure import OURS, Case, Failed, Table
from bench.peers import IMAGE, Stage
from bench.starts import NONE

TRACED = os.path.join(os.path.dirname(os.path.realpath(__file__)), "traced.py")
COMMAND, INSIDE = "pyc run", "inside Python"
TOP = 12

Mark = tuple[str, int, int]
"""A phase, when it ended, and how long imports had taken by then, in nanoseconds."""


def measure(stage: Stage, rounds: int) -> list[Table]:
    """The phases of a start from the command line and from inside Python, its steps, and its imports."""
    engine = stage.engines[OURS]
    words = [*engine.argv[1:], "run", "--rm", *NONE, IMAGE, "true"]
    phases: dict[str, dict[str, list[float]]] = {COMMAND: {}, INSIDE: {}}
    steps: dict[str, list[float]] = {}
    for _ in range(rounds + 1):
        collect(phases[COMMAND], command_line(stage, words))
        for title, spent in step_times(stage, words).items():
            steps.setdefault(title, []).append(spent)
    for one in inside(stage, engine.argv, rounds):
        collect(phases[INSIDE], one)
    return [_phases(phases), _steps(steps), _imports(words)]


def collect(found: dict[str, list[float]], one: dict[str, float]) -> None:
    """Add one start's phases."""
    for phase, spent in one.items():
        found.setdefault(phase, []).append(spent)


def _traced(stage: Stage, how: str, *words: str) -> list[list[str]]:
    path = f"{stage.scratch}/traced"
    argv = [sys.executable, "-P", TRACED, how, path, *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{TRACED} {how} exited {done.returncode}: {done.stderr.strip()[-300:]}")
    with open(path) as file:
        return [line.split("\t") for line in file.read().splitlines()]


def command_line(stage: Stage, words: list[str]) -> dict[str, float]:
    """Phase -> milliseconds of one command. Both processes read the same clock, CLOCK_MONOTONIC."""
    began = time.perf_counter_ns()
    rows = _traced(stage, "phases", *words)
    ended = time.perf_counter_ns()
    marks = [(phase, int(at), int(imported)) for phase, at, imported in rows]
    return spent(marks, began) | {"exit": (ended - marks[-1][1]) / 1e6, "all of it": (ended - began) / 1e6}


def inside(stage: Stage, argv: list[str], count: int) -> Iterator[dict[str, float]]:
    """Phase -> milliseconds of each start in one process; the first two, which import and fill caches, are left out."""
    rows = _traced(stage, "inside", argv[2], argv[4], IMAGE, str(count + 2))
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


# ---- tables


def _phases(found: dict[str, dict[str, list[float]]]) -> Table:
    titles = list(dict.fromkeys([*found[COMMAND], *found[INSIDE]]))
    titles.sort(key=lambda title: title == "all of it")
    cases = [
        Case(title, "ms", {name: each[title] for name, each in found.items() if title in each}) for title in titles
    ]
    return Table("trace", "One start, phase by phase", (COMMAND, INSIDE), cases)


def _steps(found: dict[str, list[float]]) -> Table:
    cases = [Case(title, "ms", {COMMAND: times}) for title, times in found.items()]
    return Table("steps", "The steps of the plan in the kernel, waits and parallel work included", (COMMAND,), cases)


def _imports(words: list[str], rounds: int = 3) -> Table:
    """What one command imports, each module's own time: the most expensive, and the others together."""
    program = os.path.join(os.path.dirname(sys.executable), "pyc")
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        argv = [sys.executable, "-X", "importtime", program, *words]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        for line in done.stderr.splitlines():
            own, _, name = line.removeprefix("import time:").partition("|")
            if line.startswith("import time:") and own.strip().isdigit():
                times.setdefault(name.rpartition("|")[2].strip(), []).append(int(own) / 1000)
    ranked = sorted(times, key=lambda name: -sorted(times[name])[len(times[name]) // 2])
    cases = [Case(f"`{name}`", "ms", {COMMAND: times[name]}) for name in ranked[:TOP]]
    others = [sum(column) for column in zip(*(times[name] for name in ranked[TOP:]), strict=False)]
    cases.append(Case(f"{len(ranked) - TOP} others", "ms", {COMMAND: others}))
    return Table("imports", "What is imported, by its own time (measuring doubles it)", (COMMAND,), cases)
