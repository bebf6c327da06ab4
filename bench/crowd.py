"""Many at once: starts per second, and what hundreds of containers cost that are just alive."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.measure import OURS, Case, Once, Table, turns
from bench.peers import IMAGE, Engine, Stage
from bench.starts import NONE, SLEEP, inside

AT_ONCE = 8
BURST = 100
IDLE = 10
ALIVE = 500


def measure(stage: Stage, rounds: int) -> list[Table]:
    """All cases; the five hundred once, and only ours."""
    few = max(2, rounds // 4)
    columns = (OURS, "podman", "docker")
    rates = [_rate_inside(stage, few), *_rates(stage, few)]
    return [
        Table("rates", f"Starts per second, on {os.cpu_count()} processors", columns, rates),
        Table("idle", f"{IDLE} idle containers: what stays with each", columns, _idle(stage)),
        Table("alive", f"{ALIVE} containers alive", (OURS,), _alive(stage.engines[OURS])),
    ]


# ---- starts per second


def per_second(start: Callable[[], object], total: int, at_once: int) -> Once:
    """How many of ``total`` starts are done in a second, so many at a time."""

    def once() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            for done in [pool.submit(start) for _ in range(total)]:
                done.result()
        return total / (time.perf_counter() - began)

    return once


def _rate_inside(stage: Stage, rounds: int) -> Case:
    processors = os.cpu_count() or 1
    start = inside(stage.engines[OURS])
    contestants = {OURS: per_second(start, BURST, processors + 1)}
    title = f"inside Python, {processors + 1} threads"
    return turns(title, "per second", contestants, rounds, limit=250.0, more=True)


def _rates(stage: Stage, rounds: int) -> list[Case]:
    cases = []
    for at_once in (1, AT_ONCE):
        contestants = {
            name: per_second(_command_in_threads(engine), 2 * AT_ONCE, at_once)
            for name, engine in stage.engines.items()
        }
        title = f"run --rm --network none, {at_once} at a time"
        cases.append(turns(title, "per second", contestants, rounds, absent=stage.absent, more=True))
    return cases


def _command_in_threads(engine: Engine) -> Callable[[], object]:
    """Each start has descriptors of its own: several are on their way at a time."""
    return lambda: engine("run", "--rm", *NONE, IMAGE, "true")


# ---- idle containers


def _idle(stage: Stage) -> list[Case]:
    """Memory (a share of what is shared counted: PSS) and threads of the processes that stay with a container."""
    memory: dict[str, list[float]] = {}
    threads: dict[str, list[float]] = {}
    for name, engine in stage.engines.items():
        containers = [engine("run", "--detach", *NONE, *SLEEP) for _ in range(IDLE)]
        time.sleep(1)
        found = monitors(engine)
        memory[name] = [size for pid in found if (size := pss(pid))]
        threads[name] = [_status(pid, "Threads") for pid in found]
        engine("rm", "--force", *containers)
    bars = {"podman": 1.0, "docker": 0.14}  # of conmon, and of containerd's shim
    return [
        Case("memory (PSS)", "KiB", memory, stage.absent, bars),
        Case("threads", "", threads, stage.absent),
    ]


def monitors(engine: Engine) -> list[int]:
    """The processes that stay with the containers of ``engine``, in our mount namespace or that of its daemon."""
    where, found = os.readlink(f"/proc/{engine.daemon or 'self'}/ns/mnt"), []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline") as file:
                words = os.path.basename(file.read().split("\0")[0])
            if words.startswith(engine.monitor) and os.readlink(f"/proc/{entry}/ns/mnt") == where:
                found.append(int(entry))
        except OSError:
            continue
    return found


def pss(pid: int) -> float:
    """KiB of a process; 0 if it has ended."""
    return _field(f"/proc/{pid}/smaps_rollup", "Pss")


def _status(pid: int, name: str) -> float:
    return _field(f"/proc/{pid}/status", name)


def _field(path: str, name: str) -> float:
    try:
        with open(path) as file:
            return next(float(line.split()[1]) for line in file if line.startswith(name + ":"))
    except (OSError, StopIteration):
        return 0.0


def ticks(pid: int) -> int:
    """Processor time of a process so far, in clock ticks."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


# ---- five hundred


def _alive(engine: Engine) -> list[Case]:
    """Is the last as quick as the first, and what do all of them cost while nothing happens?"""
    started = [_timed(engine, "run", "--detach", *NONE, *SLEEP) for _ in range(ALIVE)]
    took, containers = [took for took, _ in started], [output for _, output in started]
    try:
        found = monitors(engine)
        before, waited = sum(map(ticks, found)), 5
        time.sleep(waited)
        used = (sum(map(ticks, found)) - before) / os.sysconf("SC_CLK_TCK")
        memory = [pss(pid) for pid in found]
        listed_in, listed = _timed(engine, "ps", "--quiet")
        if len(listed.split()) != ALIVE:
            raise SystemExit(f"bench: {ALIVE} containers were started, and ps lists {len(listed.split())}")
    finally:
        removed_in, _ = _timed(engine, "rm", "--force", *containers)
    fifth = ALIVE // 5
    return [
        Case(f"a start, the first {fifth}", "ms", {OURS: took[:fifth]}),
        Case(f"a start, the last {fifth}", "ms", {OURS: took[-fifth:]}),
        Case("memory of a monitor (PSS)", "KiB", {OURS: memory}),
        Case("memory of all monitors", "MiB", {OURS: [sum(memory) / 1024]}),
        Case("processor time of all monitors, a second", "ms", {OURS: [used * 1000 / waited]}),
        Case("ps --quiet", "ms", {OURS: [listed_in]}),
        Case("rm --force of all", "s", {OURS: [removed_in / 1000]}),
    ]


def _timed(engine: Engine, *words: str) -> tuple[float, str]:
    began = time.perf_counter()
    output = engine(*words)
    return (time.perf_counter() - began) * 1000, output
