"""Starts and exec: what a person waits for most, from a command line and from inside Python."""

from __future__ import annotations

import os
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.measure import OURS, Case, Failed, Once, Table, command, milliseconds, turns
from bench.peers import IMAGE, Engine, Stage, installed

FLOOR = "plain C"
COLUMNS = (OURS, "podman", "docker", "bwrap", FLOOR)
NONE = ("--network", "none")
SLEEP = (IMAGE, "sleep", "1000")


def measure(stage: Stage, rounds: int) -> list[Table]:
    """All cases."""
    cases = [
        _run(stage, rounds),
        _inside(stage, rounds, "a start inside Python", {FLOOR: 1.8}),
        _inside(stage, rounds, "the same, in the host's user namespace", {}, userns="host"),
        _of_engines(stage, "run --rm", rounds, ("run", "--rm", IMAGE, "true"), {"podman": 0.30, "docker": 0.35}),
        _with_terminal(stage, rounds),
        _detached(stage, rounds),
        _exec(stage, rounds),
    ]
    return [Table("starts", "Starting BusyBox's `true`, and going into a container", COLUMNS, cases)]


def _run(stage: Stage, rounds: int) -> Case:
    """Without a network, beside those that have no other way."""
    ours = {name: engine.timed("run", "--rm", *NONE, IMAGE, "true") for name, engine in stage.engines.items()}
    bwrap = ["bwrap", "--unshare-all", "--ro-bind", stage.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "true"]
    others, absent = available({"bwrap": lambda: one(bwrap), FLOOR: lambda: one(floor(stage))})
    bars = {"podman": 0.40, "docker": 0.22}
    return turns("run --rm --network none", "ms", ours | others, rounds, absent=stage.absent | absent, bars=bars)


def _inside(stage: Stage, rounds: int, title: str, bars: dict[str, float], userns: str = "") -> Case:
    """Our engine in this very process: what a test suite pays for a container."""
    others, absent = available({FLOOR: lambda: one(floor(stage))})
    ours = milliseconds(inside(stage.engines[OURS], userns=userns))
    return turns(title, "ms", {OURS: ours, **others}, 3 * rounds, absent=absent, bars=bars)


def inside(engine: Engine, *words: str, **options: Any) -> Callable[[], None]:
    """A function that runs one container in this process, as `import pycontainer` has it."""
    import pycontainer
    from pycontainer.engine.options import Roots
    from pycontainer.errors import PycError

    roots = Roots(engine.argv[2], engine.argv[4])
    command = words or ("true",)

    def run() -> None:
        try:
            done = pycontainer.run(IMAGE, command, network="none", pull="never", roots=roots, **options)
            if isinstance(done, pycontainer.containers.Result):
                done.check()
        except PycError as error:
            raise Failed(f"pycontainer.run: {error.message}") from error

    return run


def floor(stage: Stage) -> list[str]:
    """What the kernel alone takes for a container with a network namespace."""
    return [stage.plain, "--net", stage.rootfs, "true"]


def one(argv: list[str]) -> Once:
    """The milliseconds of a program that must be here."""
    installed(argv[0])
    return milliseconds(command(argv))


def available(makers: dict[str, Callable[[], Once]]) -> tuple[dict[str, Once], dict[str, str]]:
    """Those contestants that are here, and why others are not."""
    here, absent = {}, {}
    for name, make in makers.items():
        try:
            here[name] = make()
        except (Failed, OSError) as error:
            absent[name] = str(error)
    return here, absent


def _of_engines(stage: Stage, title: str, rounds: int, words: tuple[str, ...], bars: dict[str, float]) -> Case:
    contestants = {name: engine.timed(*words) for name, engine in stage.engines.items()}
    return turns(title, "ms", contestants, rounds, absent=stage.absent, bars=bars)


def _with_terminal(stage: Stage, rounds: int) -> Case:
    ours, theirs = os.openpty()
    try:
        tty.setraw(theirs)  # so that nothing waits for what was typed
        words = ("run", "--rm", "--tty", *NONE, IMAGE, "true")
        contestants = {name: engine.timed(*words, terminal=theirs) for name, engine in stage.engines.items()}
        return turns("run --rm --tty --network none", "ms", contestants, rounds, absent=stage.absent)
    finally:
        os.close(ours)
        os.close(theirs)


def _detached(stage: Stage, rounds: int) -> Case:
    def contestant(engine: Engine) -> Once:
        started: list[str] = []
        start = lambda: started.append(engine("run", "--detach", *NONE, *SLEEP))  # noqa: E731
        return milliseconds(start, lambda: engine("rm", "--force", started.pop()))

    contestants = {name: contestant(engine) for name, engine in stage.engines.items()}
    bars = {"podman": 0.60, "docker": 0.40}
    return turns("run --detach --network none", "ms", contestants, rounds, absent=stage.absent, bars=bars)


def _exec(stage: Stage, rounds: int) -> Case:
    with sleepers(stage) as containers:
        contestants = {name: stage.engines[name].timed("exec", id_, "true") for name, id_ in containers.items()}
        return turns("exec true", "ms", contestants, rounds, absent=stage.absent, bars={"podman": 0.45, "docker": 1.0})


@contextmanager
def sleepers(stage: Stage) -> Iterator[dict[str, str]]:
    """One container of each engine that sleeps."""
    containers = {name: engine("run", "--detach", *NONE, *SLEEP) for name, engine in stage.engines.items()}
    try:
        yield containers
    finally:
        for name, container in containers.items():
            stage.engines[name]("rm", "--force", container)
