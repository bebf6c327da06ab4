"""Questions about containers, while there are a hundred of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench import peers
from bench.measure import OURS, Table, at_once, turns
from bench.peers import Engine
from bench.stage import IMAGE, Stage
from bench.starts import NONE

HUNDRED = 100
ROWS = {
    "ps": (),
    "ps --all --format {{.Names}}": (),
    "inspect": ("one-50",),
    "logs": ("one-50",),
}


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """All engines, each with as many containers of its own."""
    try:
        for engine in stage.engines.values():
            at_once([_start(engine, number) for number in range(HUNDRED)], 2)
        cases = []
        for title, operands in ROWS.items():
            contestants = {name: engine.timed(*title.split(), *operands) for name, engine in stage.engines.items()}
            cases.append(turns(title, "ms", contestants, rounds, absent=stage.absent))
    finally:
        for engine in stage.engines.values():
            peers.clear(engine)
    yield Table("listing", f"With {HUNDRED} running containers", (OURS, "podman", "docker"), cases)


def _start(engine: Engine, number: int) -> Callable[[], str]:
    """A container that has said a line and sleeps."""
    script = ("sh", "-c", "echo a line; exec sleep 10000")
    return lambda: engine("run", "--detach", *NONE, "--name", f"one-{number}", IMAGE, *script)
