"""Questions about containers, while there are a hundred of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from bench import peers
from bench.measure import OURS, Failed, Table, at_once, available, turns
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
        engines, absent = available({name: partial(_populated, engine) for name, engine in stage.engines.items()})
        cases = []
        for title, operands in ROWS.items():
            contestants = {name: engine.timed(*title.split(), *operands) for name, engine in engines.items()}
            cases.append(turns(title, "ms", contestants, rounds, absent=stage.absent | absent))
    finally:
        for engine in stage.engines.values():
            with suppress(Failed):
                peers.clear(engine)
    yield Table("listing", f"With {HUNDRED} running containers", (OURS, "podman", "docker"), cases)


def _populated(engine: Engine) -> Engine:
    """With containers that have said a line and sleep."""
    script = ("sh", "-c", "echo a line; exec sleep 10000")
    start = partial(engine.__call__, "run", "--detach", *NONE, "--name")
    at_once([partial(start, f"one-{number}", IMAGE, *script) for number in range(HUNDRED)], 2)
    return engine
