"""Many at once: starts per second, and what containers cost that are just alive, up to five hundred of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from bench import peers
from bench.measure import OURS, Case, Failed, Once, Table, at_once, available, command, last_words, turns
from bench.peers import Engine
from bench.processes import field, neighbours, pss, ticks
from bench.stage import IMAGE, Stage
from bench.starts import FLOOR, NONE, SLEEP, floor, inside

STARTER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "starter.py")
PROCESSORS = os.cpu_count() or 1
AT_ONCE = 8
BURST = 100
IDLE = 10
ALIVE = 500
WATCHED = 5  # seconds in which idle monitors are watched
SETTLE = 1.0  # seconds until what a start leaves behind has ended


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """All cases; the five hundred once, and only ours."""
    few = max(2, rounds // 4)
    columns = (OURS, "podman", "docker")
    rates = [_inside(stage, few), _apart(stage, few), *(_commands(stage, few, threads) for threads in (1, AT_ONCE))]
    yield Table("rates", f"Starts per second, on {PROCESSORS} processors", (*columns, FLOOR), rates)
    yield Table("idle", f"{IDLE} idle containers: what stays with each", columns, _idle(stage))
    yield Table("alive", f"{ALIVE} containers alive", (OURS,), _alive(stage.engines[OURS]))


# ---- starts per second


def _inside(stage: Stage, rounds: int) -> Case:
    """By threads of one process, one more than there are processors, as a start also waits for the kernel."""
    contestants, absent = available(
        {
            OURS: lambda: per_second(inside(stage.engines[OURS]), BURST, PROCESSORS + 1),
            FLOOR: lambda: per_second(command(floor(stage)), BURST, PROCESSORS + 1),
        }
    )
    return turns("starts inside Python", "per second", contestants, rounds, absent=absent, more=True)


def _apart(stage: Stage, rounds: int) -> Case:
    """By one process for each processor, as a test suite is that runs on all of them; none waits for another's GIL."""
    contestants, absent = available(
        {
            OURS: lambda: _by_processes(stage.engines[OURS], BURST // PROCESSORS),
            FLOOR: lambda: per_second(command(floor(stage)), BURST, PROCESSORS),
        }
    )
    title = f"the same by {PROCESSORS} processes of one thread"
    return turns(title, "per second", contestants, rounds, absent=absent, more=True)


def _by_processes(engine: Engine, each: int) -> Once:
    """How many starts are done in a second by processes that have loaded all that they need before."""
    argv = [sys.executable, "-P", STARTER, engine.argv[2], engine.argv[4], IMAGE, str(each)]

    def once() -> float:
        with ExitStack() as stack:
            starters = [stack.enter_context(_starter(argv)) for _ in range(PROCESSORS)]
            for starter in starters:
                _hear(starter, "ready")
            began = time.perf_counter()
            for starter in starters:
                print("go", file=starter.stdin, flush=True)
            for starter in starters:
                _hear(starter, "done")
            return each * PROCESSORS / (time.perf_counter() - began)

    return once


def _starter(argv: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _hear(starter: subprocess.Popen[str], word: str) -> None:
    """Wait until it says so. Raises Failed with what it said instead."""
    assert starter.stdout is not None and starter.stderr is not None
    if starter.stdout.readline().strip() != word:
        raise Failed(f"{STARTER}: {last_words(starter.stderr.read())}")


def _commands(stage: Stage, rounds: int, threads: int) -> Case:
    words = ("run", "--rm", *NONE, IMAGE, "true")
    contestants = {
        name: per_second(partial(engine.__call__, *words), 2 * AT_ONCE, threads)
        for name, engine in stage.engines.items()
    }
    title = f"run --rm --network none, {threads} at a time"
    return turns(title, "per second", contestants, rounds, absent=stage.absent, more=True)


def per_second(start: Callable[[], object], total: int, threads: int) -> Once:
    """How many of ``total`` starts are done in a second, so many at a time."""

    def once() -> float:
        began = time.perf_counter()
        at_once([start] * total, threads)
        return total / (time.perf_counter() - began)

    return once


# ---- idle containers


def _idle(stage: Stage) -> list[Case]:
    """Of the processes that stay with a container, and of the daemon that stays with all of them."""
    found, absent = available({name: partial(_of_idle, engine) for name, engine in stage.engines.items()})
    rows = {
        "memory of the monitor (PSS)": "KiB",
        "threads of the monitor": "",
        "memory of daemons, for all (PSS)": "MiB",
    }
    return [
        Case(title, unit, {name: figures[number] for name, figures in found.items()}, stage.absent | absent)
        for number, (title, unit) in enumerate(rows.items())
    ]


def _of_idle(engine: Engine) -> tuple[list[float], list[float], list[float]]:
    """KiB and threads of each monitor, MiB of daemons."""
    for _ in range(IDLE):
        engine("run", "--detach", *NONE, *SLEEP)
    time.sleep(SETTLE)
    found = monitors(engine)
    memory, threads = [pss(pid) for pid in found], [field(pid, "status", "Threads") for pid in found]
    daemons = [sum(map(pss, servants(engine))) / 1024]
    peers.clear(engine)
    if len(found) != IDLE:
        raise Failed(f"{engine.name}: {IDLE} containers, and {len(found)} monitors")
    return memory, threads, daemons


def monitors(engine: Engine) -> list[int]:
    """The processes that stay with the containers of ``engine``."""
    return [pid for pid, words in neighbours(engine.daemon or "self") if _is_monitor(engine, words)]


def servants(engine: Engine) -> list[int]:
    """The daemon, and what it has started for all containers."""
    if not engine.daemon:
        return []
    return [pid for pid, words in neighbours(engine.daemon) if not _is_monitor(engine, words)]


def _is_monitor(engine: Engine, words: list[str]) -> bool:
    return os.path.basename(words[0]).startswith(engine.monitor)


# ---- five hundred


def _alive(engine: Engine) -> list[Case]:
    """Is the last as quick as the first, and what do all of them cost while nothing happens?"""
    try:
        took = [_timed(engine, "run", "--detach", *NONE, *SLEEP)[0] for _ in range(ALIVE)]
        found = monitors(engine)
        before = sum(map(ticks, found))
        time.sleep(WATCHED)
        used = (sum(map(ticks, found)) - before) / os.sysconf("SC_CLK_TCK")
        memory = [pss(pid) for pid in found]
        listed_in, listed = _timed(engine, "ps", "--quiet")
        if len(listed.split()) != ALIVE:
            raise Failed(f"{ALIVE} containers were started, and ps lists {len(listed.split())}")
        removed_in, _ = _timed(engine, "rm", "--force", *listed.split())
    finally:
        peers.clear(engine)
    fifth = ALIVE // 5
    return [
        Case(f"a start, the first {fifth}", "ms", {OURS: took[:fifth]}),
        Case(f"a start, the last {fifth}", "ms", {OURS: took[-fifth:]}),
        Case("memory of a monitor (PSS)", "KiB", {OURS: memory}),
        Case("memory of all monitors", "MiB", {OURS: [sum(memory) / 1024]}),
        Case("processor time of all monitors, a second", "ms", {OURS: [used * 1000 / WATCHED]}),
        Case("ps --quiet", "ms", {OURS: [listed_in]}),
        Case("rm --force of all", "s", {OURS: [removed_in / 1000]}),
    ]


def _timed(engine: Engine, *words: str) -> tuple[float, str]:
    began = time.perf_counter()
    output = engine(*words)
    return (time.perf_counter() - began) * 1000, output
