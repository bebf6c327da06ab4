"""Push, save and load of Debian's 170 MB, beside podman, docker and skopeo, with all stores on a tmpfs.

podman and docker keep no layer as it came, so a push of theirs compresses it again; skopeo copies from an image layout
and unpacks nothing, so it has no load. Archives are docker's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

from bench.measure import OURS, Case, Failed, Once, Table, available, last_words, turns
from bench.peers import Engine, installed, save
from bench.pull import OPENERS, ROOM, registry
from bench.stage import Stage
from images import build

IMAGES = ("debian",)
NAME = "localhost/bench:latest"
SKOPEO = "skopeo"
ENGINES = (OURS, "podman", "docker")

Push = Callable[[str], float]
"""Push the image to a name: seconds."""


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """From stores that have the image, into an empty one."""
    few = max(1, rounds // 6)
    try:
        layout = f"oci:{build.layout('debian')}:latest"
    except build.RecipeError as error:
        raise Failed(last_words(str(error))) from error
    with ExitStack() as stack:
        directory = stack.enter_context(stage.fresh(ROOM))
        archive = _archive(directory, layout)
        makers = {name: partial(_stocked, stack, directory, name, archive) for name in ENGINES}
        engines, absent = available(makers)
        skopeo, without = available({SKOPEO: lambda: Engine(SKOPEO, [installed(SKOPEO)], {}, "")})
        absent |= without
        pushes = {name: _push(engine) for name, engine in engines.items()}
        pushes |= {name: _copy(engine, layout) for name, engine in skopeo.items()}
        cases = [
            turns("push to an empty registry", "s", _anew(stage, pushes), few, absent=absent, warm=False),
            _again(stage, pushes, 2 * few + 1, absent),
            turns("save", "s", _saves(stage, engines, skopeo, layout), few + 1, absent=absent),
            turns("load", "s", _loads(stage, engines, archive), few, absent=absent, warm=False),
        ]
    yield Table("images", "Push, save and load of 170 MB", (*ENGINES, SKOPEO), cases)


def _archive(directory: str, layout: str) -> str:
    """The image in docker's archive."""
    path = f"{directory}/docker.tar"
    with OPENERS[OURS](f"{directory}/maker") as engine:
        save(engine, layout, NAME, path)
    return path


def _stocked(stack: ExitStack, directory: str, name: str, archive: str) -> Engine:
    """An engine that has the image."""
    engine = stack.enter_context(OPENERS[name](f"{directory}/{name}"))
    engine("load", "--quiet", "--input", archive)
    return engine


# ---- push


def _push(engine: Engine) -> Push:
    def push(target: str) -> float:
        engine("tag", NAME, target)
        insecure = ["--tls-verify=false"] if engine.name == "podman" else []  # for others, loopback may be
        seconds, _ = engine.taken("push", "--quiet", *insecure, target)
        engine("rmi", target)  # or the next push could have it mounted from there
        return seconds

    return push


def _copy(skopeo: Engine, layout: str) -> Push:
    return lambda target: skopeo.taken(*COPY, "--dest-tls-verify=false", layout, f"docker://{target}")[0]


COPY = ("--insecure-policy", "copy", "--quiet")


def _anew(stage: Stage, pushes: Mapping[str, Push]) -> dict[str, Once]:
    """To where nothing is."""

    def contestant(push: Push) -> Once:
        def once() -> float:
            with registry(stage, ROOM) as served:
                return push(f"{served.address}/bench/image:latest")

        return once

    return {name: contestant(push) for name, push in pushes.items()}


def _again(stage: Stage, pushes: Mapping[str, Push], rounds: int, absent: Mapping[str, str]) -> Case:
    """To where it is; the turn that is not counted has pushed it there."""
    with registry(stage, ROOM) as served:
        contestants = {name: partial(push, f"{served.address}/{name}/image:latest") for name, push in pushes.items()}
        return turns("push of what is there", "s", contestants, rounds, absent=absent)


# ---- archives


def _saves(stage: Stage, engines: Mapping[str, Engine], skopeo: Mapping[str, Engine], layout: str) -> dict[str, Once]:
    """Into a file."""

    def contestant(engine: Engine, words: Callable[[str], list[str]]) -> Once:
        def once() -> float:
            with stage.fresh(ROOM) as directory:
                return engine.taken(*words(f"{directory}/saved.tar"))[0]

        return once

    def saving(path: str) -> list[str]:
        return ["save", "--output", path, NAME]

    def copying(path: str) -> list[str]:
        return [*COPY, layout, f"docker-archive:{path}:{NAME}"]

    saves = {name: contestant(engine, saving) for name, engine in engines.items()}
    return saves | {name: contestant(engine, copying) for name, engine in skopeo.items()}


def _loads(stage: Stage, engines: Mapping[str, Engine], archive: str) -> dict[str, Once]:
    """Into an empty store."""

    def contestant(name: str) -> Once:
        def once() -> float:
            with stage.fresh(ROOM) as directory, OPENERS[name](f"{directory}/{name}") as engine:
                return engine.taken("load", "--quiet", "--input", archive)[0]

        return once

    return {name: contestant(name) for name in engines}
