"""Questions about containers, while there are a hundred of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bench.measure import OURS, Table, turns
from bench.peers import IMAGE, Engine, Stage

HUNDRED = 100
ROWS = {
    "ps": (),
    "ps --all --format {{.Names}}": (),
    "inspect": ("one-50",),
    "logs": ("one-50",),
}


def measure(stage: Stage, rounds: int) -> list[Table]:
    """All engines, each with as many containers of its own."""
    try:
        for engine in stage.engines.values():
            populate(engine, HUNDRED)
        cases = []
        for title, operands in ROWS.items():
            words = [*title.split(), *operands]
            contestants = {name: engine.timed(*words) for name, engine in stage.engines.items()}
            cases.append(turns(title, "ms", contestants, rounds, absent=stage.absent))
    finally:
        stage.clear()
    return [Table("listing", f"With {HUNDRED} running containers", (OURS, "podman", "docker"), cases)]


def populate(engine: Engine, count: int) -> None:
    """So many containers that have said a line and sleep, named one-N."""
    script = ("sh", "-c", "echo a line; exec sleep 10000")

    def start(number: int) -> None:
        engine("run", "--detach", "--network", "none", "--name", f"one-{number}", IMAGE, *script)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(start, range(count)))
