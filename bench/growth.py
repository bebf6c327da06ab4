"""How cost grows: with containers, layers and mounts. Ours alone; what grows beside a peer's cost is in the others.

Columns are sizes, each with a store of its own, and all take turns.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from bench.crowd import monitors, pss
from bench.measure import Case, Once, Table, milliseconds, turns
from bench.peers import IMAGE, Engine, Stage, clear
from bench.samples import remove
from bench.starts import NONE, inside
from images import build
from images.layout import Layout

CONTAINERS = (0, 100, 1000)
LAYERS = (1, 20, 120)
MOUNTS = (0, 10, 100)
MEMORY = (1, 10, 100)


def measure(stage: Stage, rounds: int) -> list[Table]:
    """All four."""
    return [
        _with_containers(stage, rounds),
        _with_layers(stage, rounds),
        _with_mounts(stage, rounds),
        _memory(stage),
    ]


def _columns(sizes: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(map(str, sizes))


# ---- containers


def _with_containers(stage: Stage, rounds: int) -> Table:
    """Running ones, each with a monitor and an entry in all that is looked through."""
    engines = {str(count): stage.pyc(f"containers-{count}") for count in CONTAINERS}
    try:
        for count, engine in engines.items():
            engine("load", "-q", "-i", stage.archive)
            _populate(engine, int(count))
        rows = {
            "run --rm --network none": ("run", "--rm", *NONE, IMAGE, "true"),
            "run --rm": ("run", "--rm", IMAGE, "true"),
            "ps": ("ps",),
            "ps --quiet": ("ps", "--quiet"),
        }
        cases = [
            turns(title, "ms", {size: engine.timed(*words) for size, engine in engines.items()}, rounds)
            for title, words in rows.items()
        ]
    finally:
        for engine in engines.values():
            clear(engine)
    return Table("growth-containers", "Against running containers", _columns(CONTAINERS), cases)


def _populate(engine: Engine, count: int) -> None:
    """By the engine in this process, which is quicker than a thousand commands."""
    start = inside(engine, "sleep", "10000", detach=True)
    with ThreadPoolExecutor(2) as pool:
        for started in [pool.submit(start) for _ in range(count)]:
            started.result()


# ---- layers


def _with_layers(stage: Stage, rounds: int) -> Table:
    images = {str(count): _stack(stage, count) for count in LAYERS}
    engine = stage.pyc("layers")
    for layout in images.values():
        engine("pull", "--quiet", layout)
    runs = {size: engine.timed("run", "--rm", *NONE, layout, "true") for size, layout in images.items()}
    pulls = {size: _pull(stage, size, layout) for size, layout in images.items()}
    cases = [
        turns("run --rm --network none", "ms", runs, rounds),
        turns("pull from an OCI layout into an empty store", "ms", pulls, max(2, rounds // 4)),
    ]
    return Table("growth-layers", "Against layers of the image", _columns(LAYERS), cases)


def _stack(stage: Stage, count: int) -> str:
    """An image of so many layers; the lowest is always BusyBox."""
    path = f"{stage.scratch}/layout-{count}"
    layout = Layout(path, 1_700_000_000)
    build.layers(layout, count)
    layout.close()
    return f"oci:{path}:latest"


def _pull(stage: Stage, size: str, layout: str) -> Once:
    store = f"pull-{size}"
    engine = stage.pyc(store)
    return milliseconds(engine.command("pull", "--quiet", layout), lambda: remove(f"{stage.scratch}/{store}"))


# ---- mounts


def _with_mounts(stage: Stage, rounds: int) -> Table:
    source = f"{stage.scratch}/source"
    os.makedirs(source, exist_ok=True)
    engine = stage.engines["pyc"]

    def words(count: int) -> tuple[str, ...]:
        volumes = (f"--volume={source}:/mnt/{number}" for number in range(count))
        return ("run", "--rm", *NONE, *volumes, IMAGE, "true")

    contestants = {str(count): engine.timed(*words(count)) for count in MOUNTS}
    case = turns("run --rm --network none, with -v", "ms", contestants, rounds)
    return Table("growth-mounts", "Against bind mounts", _columns(MOUNTS), [case])


# ---- memory


def _memory(stage: Stage) -> Table:
    """Of all monitors together (PSS), divided by their number: what is shared is shared by more of them."""
    engine = stage.pyc("memory")
    engine("load", "-q", "-i", stage.archive)
    samples: dict[str, list[float]] = {}
    try:
        here = 0
        for count in MEMORY:
            _populate(engine, count - here)
            here = count
            sizes = [pss(pid) for pid in monitors(engine)]
            samples[str(count)] = [sum(sizes) / count]
    finally:
        clear(engine)
    case = Case("memory of the monitors, a container (PSS)", "KiB", samples)
    return Table("growth-memory", "Memory against containers", _columns(MEMORY), [case])
