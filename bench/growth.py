"""How cost grows: with containers, layers and mounts. Ours alone; columns are sizes, and all take turns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench import peers
from bench.crowd import monitors
from bench.measure import OURS, Case, Once, Table, at_once, milliseconds, turns
from bench.peers import Engine
from bench.processes import pss
from bench.stage import IMAGE, Stage
from bench.starts import NONE, inside
from images import build
from images.layout import Layout

CONTAINERS = (0, 100, 1000)
LAYERS = (1, 20, 120)
MOUNTS = (0, 10, 100)
MEMORY = (1, 10, 100)


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """All four."""
    yield _with_containers(stage, rounds)
    yield _with_layers(stage, rounds)
    yield _with_mounts(stage, rounds)
    yield _memory(stage)


def _table(name: str, title: str, sizes: tuple[int, ...], *cases: Case) -> Table:
    return Table(f"growth-{name}", title, tuple(map(str, sizes)), list(cases))


# ---- containers


def _with_containers(stage: Stage, rounds: int) -> Table:
    """Running ones, each with a monitor and an entry in all that is looked through; each size has a store."""
    rows = {
        "run --rm --network none": ("run", "--rm", *NONE, IMAGE, "true"),
        "run --rm": ("run", "--rm", IMAGE, "true"),
        "ps": ("ps",),
        "ps --quiet": ("ps", "--quiet"),
    }
    with ExitStack() as stack:
        engines = {count: stack.enter_context(stage.store(f"containers-{count}")) for count in CONTAINERS}
        for count, engine in engines.items():
            _populate(engine, count)
        cases = [
            turns(title, "ms", {str(count): engine.timed(*words) for count, engine in engines.items()}, rounds)
            for title, words in rows.items()
        ]
    return _table("containers", "Against running containers", CONTAINERS, *cases)


def _populate(engine: Engine, count: int) -> None:
    """By the engine in this process, which is quicker than a thousand commands."""
    at_once([inside(engine, "sleep", "10000", detach=True)] * count, 2)


# ---- layers


def _with_layers(stage: Stage, rounds: int) -> Table:
    layouts = {str(count): _stack(stage, count) for count in LAYERS}
    with stage.store("layers") as engine:
        for layout in layouts.values():
            engine("pull", "--quiet", layout)
        runs = {size: engine.timed("run", "--rm", *NONE, layout, "true") for size, layout in layouts.items()}
        pulls = {size: _pull(stage, layout) for size, layout in layouts.items()}
        started = turns("run --rm --network none", "ms", runs, rounds)
        pulled = turns("pull from an OCI layout into an empty store", "ms", pulls, max(2, rounds // 4))
    return _table("layers", "Against layers of the image", LAYERS, started, pulled)


def _stack(stage: Stage, count: int) -> str:
    """An image of so many layers; the lowest is always BusyBox."""
    path = f"{stage.scratch}/layout-{count}"
    layout = Layout(path, 1_700_000_000)
    build.layers(layout, count)
    layout.close()
    return f"oci:{path}:latest"


def _pull(stage: Stage, layout: str) -> Once:
    directory = f"{stage.scratch}/pulled"
    pull = Engine(OURS, [peers.PYC, "--root", f"{directory}/root", "--runroot", f"{directory}/run"], {}, "")
    clear = partial(shutil.rmtree, directory, ignore_errors=True)  # a pull's syncing ends after it, and tidies up too
    return milliseconds(pull.command("pull", "--quiet", layout), clear)


# ---- mounts


def _with_mounts(stage: Stage, rounds: int) -> Table:
    source, engine = f"{stage.scratch}/source", stage.engines[OURS]
    os.makedirs(source, exist_ok=True)

    def run(count: int) -> Once:
        volumes = (f"--volume={source}:/mnt/{number}" for number in range(count))
        return engine.timed("run", "--rm", *NONE, *volumes, IMAGE, "true")

    case = turns("run --rm --network none, with -v", "ms", {str(count): run(count) for count in MOUNTS}, rounds)
    return _table("mounts", "Against bind mounts", MOUNTS, case)


# ---- memory


def _memory(stage: Stage) -> Table:
    """Of all monitors together (PSS), divided by their number: what is shared is shared by more of them."""
    samples: dict[str, list[float]] = {}
    with stage.store("memory") as engine:
        for here, count in zip((0, *MEMORY), MEMORY, strict=False):
            _populate(engine, count - here)
            samples[str(count)] = [sum(map(pss, monitors(engine))) / count]
    case = Case("memory of the monitors, a container (PSS)", "KiB", samples)
    return _table("memory", "Memory against containers", MEMORY, case)
