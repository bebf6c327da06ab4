"""Starting a container in every way, and going into one: what a person waits for most."""

from __future__ import annotations

import os
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from bench.measure import OURS, Case, Failed, Once, Table, available, command, milliseconds, turns
from bench.peers import Engine, installed
from bench.stage import IMAGE, Stage

FLOOR = "plain C"
COLUMNS = (OURS, "podman", "docker", "bwrap", FLOOR)
NONE = ("--network", "none")
SLEEP = (IMAGE, "sleep", "1000")


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """All ways; a start inside Python is so short that it has three times as many rounds."""
    cases = [
        _alone(stage, rounds),
        _inside(stage, 3 * rounds, "a start inside Python"),
        _inside(stage, 3 * rounds, "the same with --userns host", userns="host"),
        _of_engines(stage, rounds, "run --rm", IMAGE, "true"),
        _with_terminal(stage, rounds),
        _detached(stage, rounds),
        _exec(stage, rounds),
    ]
    yield Table("starts", "Starting BusyBox's `true`, and going into a container", COLUMNS, cases)


def _of_engines(stage: Stage, rounds: int, title: str, *operands: str, terminal: int = -1) -> Case:
    words = [*title.split(), *operands]
    contestants = {name: engine.timed(*words, terminal=terminal) for name, engine in stage.engines.items()}
    return turns(title, "ms", contestants, rounds, absent=stage.absent)


def _alone(stage: Stage, rounds: int) -> Case:
    """Without a network, beside those that have no other way."""
    title = "run --rm --network none"
    ours = {name: engine.timed(*title.split(), IMAGE, "true") for name, engine in stage.engines.items()}
    others, absent = available({"bwrap": lambda: one(bwrap(stage)), FLOOR: lambda: one(floor(stage))})
    return turns(title, "ms", ours | others, rounds, absent=stage.absent | absent)


def _inside(stage: Stage, rounds: int, title: str, **options: Any) -> Case:
    """Our engine in this very process: what a test suite pays for a container."""
    others, absent = available({FLOOR: lambda: one(floor(stage))})
    ours = milliseconds(inside(stage.engines[OURS], **options))
    return turns(title, "ms", {OURS: ours, **others}, rounds, absent=absent)


def _with_terminal(stage: Stage, rounds: int) -> Case:
    ours, theirs = os.openpty()
    try:
        tty.setraw(theirs)  # so that nothing waits for what was typed
        return _of_engines(stage, rounds, "run --rm --tty --network none", IMAGE, "true", terminal=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def _detached(stage: Stage, rounds: int) -> Case:
    def contestant(engine: Engine) -> Once:
        started: list[str] = []

        def start() -> None:
            started.append(engine("run", "--detach", *NONE, *SLEEP))

        return milliseconds(start, lambda: engine.remove(started.pop()))

    contestants = {name: contestant(engine) for name, engine in stage.engines.items()}
    return turns("run --detach --network none", "ms", contestants, rounds, absent=stage.absent)


def _exec(stage: Stage, rounds: int) -> Case:
    """Into a container that sleeps."""
    makers = {
        name: partial(engine.__call__, "run", "--detach", *NONE, *SLEEP) for name, engine in stage.engines.items()
    }
    containers, absent = available(makers)
    try:
        contestants = {name: stage.engines[name].timed("exec", id_, "true") for name, id_ in containers.items()}
        return turns("exec true", "ms", contestants, rounds, absent=stage.absent | absent)
    finally:
        for name, container in containers.items():
            with suppress(Failed):
                stage.engines[name].remove(container)


# ---- what other sections start too


def inside(engine: Engine, *words: str, **options: Any) -> Callable[[], None]:
    """A function that runs one container in this process, as `import pycontainer` has it."""
    import pycontainer
    from pycontainer.engine.options import Roots
    from pycontainer.errors import PycError

    roots = Roots(engine.argv[2], engine.argv[4])
    words = words or ("true",)

    def run() -> None:
        try:
            done = pycontainer.run(IMAGE, words, network="none", pull="never", roots=roots, **options)
            if isinstance(done, pycontainer.containers.Result):
                done.check()
        except PycError as error:
            raise Failed(f"pycontainer.run: {error.message}") from error

    return run


def floor(stage: Stage) -> list[str]:
    """What the kernel alone takes for a container with a network namespace."""
    return [stage.plain, "--net", stage.rootfs, "/bin/true"]


def bwrap(stage: Stage) -> list[str]:
    """What only separates, without an image, a network or a cgroup."""
    ways = ["--unshare-all", "--ro-bind", stage.rootfs, "/", "--proc", "/proc", "--dev", "/dev"]
    return [installed("bwrap"), *ways, "/bin/true"]


def one(argv: list[str]) -> Once:
    """The milliseconds of a program."""
    return milliseconds(command(argv))
