"""Pull and unpack, from an empty store to an image that can be run, beside podman, docker and containerd.

All pull from one registry on this machine. Every pull begins with an empty store of its own, on a tmpfs, so that no
disk is measured, and with a daemon of its own, which runs before the clock does. Memory is the peak of the process
that does the work: the daemon's where there is one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench import peers
from bench.measure import OURS, Failed, Several, Table, last_words, turns_of
from bench.peers import Engine, Opener
from bench.stage import Stage
from images.build import RecipeError
from images.registry import Registry, RegistryDown

IMAGES = ("big", "busybox")
ROOM = "/dev/shm"
ONE_WORKER = "one worker"
OPENERS: dict[str, Opener] = {
    OURS: peers.pyc,
    "podman": peers.podman,
    "docker": peers.quiet_docker,
    "ctr": peers.containerd,
}
PULL = {
    OURS: ("pull", "--quiet"),
    "podman": ("pull", "--quiet", "--tls-verify=false"),
    "docker": ("pull", "--quiet"),
    "ctr": ("images", "pull", "--plain-http"),
}


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """502 MB in one layer and in ten, and 2 MB that are here already."""
    few = max(1, rounds // 4)
    with registry(stage) as served:
        try:
            big, small = served.publish("big"), served.publish("busybox")
        except (RecipeError, RegistryDown) as error:
            raise Failed(last_words(str(error))) from error
        anew = {name: _pull(stage, name, f"{big}:latest") for name in OPENERS}
        in_ten = {name: _pull(stage, name, f"{big}:ten") for name in OPENERS}
        inside = {name: _pull_inside(stage, name, f"{big}:ten", jobs) for name, jobs in ((OURS, 0), (ONE_WORKER, 1))}
        again = {name: _pull(stage, name, f"{small}:latest", twice=True) for name in OPENERS}
        cases = [
            *turns_of(_figures("pull of 502 MB in one layer"), anew, few, warm=False),
            *turns_of(_figures("pull of 502 MB in ten layers"), in_ten, few, warm=False),
            *turns_of(_figures("pull of 502 MB in ten layers, inside Python"), inside, few, warm=False),
            *turns_of(_figures("pull of 2 MB that are here"), again, 2 * few + 1, warm=False),
        ]
    yield Table("pull", "Pull and unpack (ctr: containerd)", (*OPENERS, ONE_WORKER), cases)


def _figures(title: str) -> dict[str, str]:
    return {title: "s", f"{title}, memory at the peak": "MiB"}


def _pull(stage: Stage, name: str, image: str, *, twice: bool = False) -> Several:
    """A pull into an empty store, or the second one there."""

    def once() -> tuple[float, float]:
        with stage.fresh(ROOM) as directory, OPENERS[name](f"{directory}/{name}") as engine:
            if twice:
                engine(*PULL[name], image)
            return engine.taken(*PULL[name], image)

    return once


_INSIDE = """if True:
    import sys
    from pycontainer.engine.image.pull import pull
    from pycontainer.image.reference import Reference
    from pycontainer.image.store import Store
    pull(Store(sys.argv[1]), Reference.parse(sys.argv[3]), jobs=int(sys.argv[2]))
"""


def _pull_inside(stage: Stage, name: str, image: str, jobs: int) -> Several:
    """By our Python API, so many layers at a time; 0 for as many as it likes."""

    def once() -> tuple[float, float]:
        with stage.fresh(ROOM) as directory:
            os.mkdir(f"{directory}/store")
            return Engine(name, [sys.executable, "-c", _INSIDE, f"{directory}/store", str(jobs)], {}, "").taken(image)

    return once


@contextmanager
def registry(stage: Stage, place: str = "") -> Iterator[Registry]:
    """A registry on loopback that has nothing. Raises Failed."""
    with stage.fresh(place) as directory:
        try:
            served = Registry(directory).__enter__()
        except RegistryDown as error:
            raise Failed(last_words(str(error))) from error
        try:
            yield served
        finally:
            served.stop()
