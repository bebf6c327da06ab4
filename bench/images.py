"""How long an image takes to a registry, into an archive and back, beside podman, docker and skopeo.

    python -m bench.images [--rounds N] [--image debian] [--places tmpfs,disk] [--json FILE]

``push, new`` sends it to a registry that has nothing of it, ``push, again`` finds that all is there. ``save`` and
``load`` use docker's archive. podman and docker keep no layer as it came, so a push of theirs compresses it again;
skopeo copies from an image layout and unpacks nothing, so it has no ``load``. docker's daemon runs without a network,
so it has no pushes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import NamedTuple

from bench import engines
from bench.samples import PLACES, Case, Failed, Run, Sample, measure, room, show, timed, write_json
from images import build
from images.registry import Registry, RegistryDown

NAME = "localhost/bench:latest"
SKOPEO = ["skopeo", "--insecure-policy", "copy", "--quiet"]
AGAIN_LIMITS = {"seconds": 0.1}


class Stock(NamedTuple):
    """What the engines work with: stores that have the image, a layout, an archive, a registry.

    Attributes:
        docker: the daemon's process ID and how to call it, or why there is none.
    """

    directory: str
    layout: str
    archive: str
    registry: str
    docker: tuple[int, list[str]] | str

    @property
    def pyc(self) -> str:
        """Our store."""
        return f"{self.directory}/pyc"

    @property
    def podman(self) -> str:
        """Podman's."""
        return f"{self.directory}/podman"


def stock(directory: str, image: str, registry: str, stack: ExitStack) -> Stock:
    """Fill the stores of all who are here, and start docker's daemon until the end of ``stack``."""
    layout, archive = f"oci:{build.layout(image)}:latest", f"{directory}/docker.tar"
    docker: tuple[int, list[str]] | str
    try:
        os.mkdir(f"{directory}/docker")
        docker = stack.enter_context(engines.dockerd(f"{directory}/docker"))
    except Failed as error:
        docker = str(error)
    made = Stock(directory, layout, archive, registry, docker)
    timed([*SKOPEO, layout, f"docker-archive:{archive}:{NAME}"])
    timed(engines.pyc(made.pyc, "pull", "--quiet", layout))
    timed(engines.pyc(made.pyc, "tag", _only_image(made.pyc), NAME))
    with suppress(Failed):  # each case will say so
        timed(engines.podman(made.podman, "load", "--quiet", "--input", archive))
    if isinstance(docker, tuple):
        timed([*docker[1], "load", "--quiet", "--input", archive])
    return made


def _only_image(store: str) -> str:
    listed = subprocess.run(engines.pyc(store, "images", "--quiet"), capture_output=True, text=True, check=True)
    return listed.stdout.split()[0]


# ---- what each does


def pushes(made: Stock) -> dict[str, Callable[[str], Sample]]:
    """All who can push, to a name."""

    def ours(target: str) -> Sample:
        timed(engines.pyc(made.pyc, "tag", NAME, target))
        pushed = timed(engines.pyc(made.pyc, "push", "--quiet", target))
        timed(engines.pyc(made.pyc, "rmi", target))  # or the next push would have it mounted from there
        return pushed

    return {
        "pyc": ours,
        "podman": lambda target: timed(
            engines.podman(made.podman, "push", "--quiet", "--tls-verify=false", NAME, target)
        ),
        "skopeo": lambda target: timed([*SKOPEO, "--dest-tls-verify=false", made.layout, f"docker://{target}"]),
    }


def to_a_new_registry(push: Callable[[str], Sample]) -> Run:
    """A push to where nothing is."""

    def run(fresh: str) -> Sample:
        with Registry(fresh) as registry:
            return push(f"{registry.address}/bench/image:latest")

    return run


def to_where_it_is(push: Callable[[str], Sample], target: str) -> Run:
    """A push of what has been pushed before."""
    with suppress(Failed):  # its case will say so
        push(target)
    return lambda fresh: push(target)


def saves(made: Stock) -> dict[str, Run]:
    """All who write an archive."""

    def docker(fresh: str) -> Sample:
        pid, call = _there(made.docker)
        return timed([*call, "save", "--output", f"{fresh}/x.tar", NAME], daemon=pid)

    return {
        "pyc": lambda fresh: timed(engines.pyc(made.pyc, "save", "--output", f"{fresh}/x.tar", NAME)),
        "podman": lambda fresh: timed(engines.podman(made.podman, "save", "--quiet", "-o", f"{fresh}/x.tar", NAME)),
        "docker": docker,
        "skopeo": lambda fresh: timed([*SKOPEO, made.layout, f"docker-archive:{fresh}/x.tar:{NAME}"]),
    }


def loads(made: Stock) -> dict[str, Run]:
    """All who read one into an empty store."""

    def docker(fresh: str) -> Sample:
        _there(made.docker)
        with engines.dockerd(fresh) as (pid, call):
            return timed([*call, "load", "--quiet", "--input", made.archive], daemon=pid)

    return {
        "pyc": lambda fresh: timed(engines.pyc(fresh, "load", "--quiet", "--input", made.archive)),
        "podman": lambda fresh: timed(engines.podman(fresh, "load", "--quiet", "--input", made.archive)),
        "docker": docker,
    }


def _there(docker: tuple[int, list[str]] | str) -> tuple[int, list[str]]:
    if isinstance(docker, str):
        raise Failed(docker)
    return docker


# ---- all of it


def cases(image: str, place: str, registry: str, rounds: int) -> list[Case]:
    """Measure everything in one place."""
    title = f"{image} on {place}"
    with ExitStack() as stack:
        made = stock(stack.enter_context(room(place)), image, registry, stack)
        push = pushes(made)
        new = {name: to_a_new_registry(one) for name, one in push.items()}
        again = {name: to_where_it_is(one, f"{registry}/{name}/again:latest") for name, one in push.items()}
        return [
            measure(f"push, new: {title}", new, place, rounds),
            measure(f"push, again: {title}", again, place, max(rounds, 7), limits=AGAIN_LIMITS),
            measure(f"save: {title}", saves(made), place, rounds),
            measure(f"load: {title}", loads(made), place, rounds),
        ]


def main(arguments: list[str]) -> int:
    """Measure, print a table, and write the JSON."""
    parser = argparse.ArgumentParser(prog="bench.images", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each does it (3)")
    parser.add_argument("--image", default="debian", help="recipe of images/build.py (debian)")
    parser.add_argument("--places", default=",".join(PLACES), help="where stores and archives are (tmpfs,disk)")
    parser.add_argument("--json", metavar="FILE", help="write all samples there too")
    options = parser.parse_args(arguments)
    found: list[Case] = []
    try:
        with tempfile.TemporaryDirectory(prefix="pyc-bench-registry-") as scratch, Registry(scratch) as registry:
            for place in options.places.split(","):
                found += cases(options.image, place, registry.address, options.rounds)
    except (RegistryDown, Failed) as error:
        print(f"bench.images: {error}", file=sys.stderr)
        return 1
    show(f"push, save and load, medians of {options.rounds} rounds", found)
    if options.json:
        write_json(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
