"""How long a pull takes, from an empty store to an unpacked image, beside podman and containerd.

    python -m bench.pull [--rounds N] [--images debian,big] [--places tmpfs,disk] [--json FILE]

All pull the same image from one registry on this machine, in turns and in another order each round; every pull begins
with an empty store of its own and with all earlier writes on disk. Memory is the peak of the process that does the work
(for ``ctr`` the daemon's). Then: a pull of an image that is here and unchanged, and ten layers with one worker and with
as many as there are processors.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial

from bench import engines
from bench.samples import PLACES, Case, Run, measure, show, write_json
from images.registry import Registry, RegistryDown

BARS = {"podman": 0.50, "ctr": 0.70}
LIMITS = {"memory": 150.0}
AGAIN_LIMITS = {"seconds": 0.1}
SIZES = {"debian": "170 MB", "big": "502 MB"}


def pulls(image: str) -> dict[str, Run]:
    """All who pull an image into an empty store."""
    return {
        "pyc": partial(engines.pull_with_pyc, image=image),
        "podman": partial(engines.pull_with_podman, image=image),
        "ctr": partial(engines.pull_with_ctr, image=image),
    }


def pulls_again(image: str) -> dict[str, Run]:
    """All who find that there is nothing new."""
    return {
        "pyc": partial(engines.again_with_pyc, image=image),
        "podman": partial(engines.again_with_podman, image=image),
        "ctr": partial(engines.again_with_ctr, image=image),
    }


def crews(image: str) -> dict[str, Run]:
    """Ours with one layer at a time, and with several."""
    many = max(2, os.cpu_count() or 1)
    return {
        "pyc": partial(engines.pull_with_workers, image=image, jobs=many),
        "1 worker": partial(engines.pull_with_workers, image=image, jobs=1),
    }


def cases(registry: Registry, names: list[str], places: list[str], rounds: int) -> list[Case]:
    """Measure everything."""
    found = []
    for place in places:
        for name in names:
            title = f"{name} ({SIZES.get(name, '?')}) on {place}"
            image = registry.publish(name)
            found.append(measure(title, pulls(image), place, rounds, bars=BARS, limits=LIMITS))
    unchanged = pulls_again(registry.publish("busybox"))
    found.append(measure("busybox, unchanged", unchanged, places[0], max(rounds, 7), limits=AGAIN_LIMITS))
    for place in places:
        ten = crews(f"{registry.publish('big')}:ten")
        found.append(measure(f"big in ten layers on {place}", ten, place, rounds, bars={"1 worker": 1.0}))
    return found


def main(arguments: list[str]) -> int:
    """Measure, print a table, and write the JSON."""
    parser = argparse.ArgumentParser(prog="bench.pull", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each pulls (3, which takes some 8 minutes)")
    parser.add_argument("--images", default="debian,big", help="recipes of images/build.py (debian,big)")
    parser.add_argument("--places", default=",".join(PLACES), help="where the stores are (tmpfs,disk)")
    parser.add_argument("--json", metavar="FILE", help="write all samples there too")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="pyc-bench-registry-") as scratch, Registry(scratch) as registry:
            names = list(filter(None, options.images.split(",")))
            found = cases(registry, names, options.places.split(","), options.rounds)
    except RegistryDown as error:
        print(f"bench.pull: {error}", file=sys.stderr)
        return 1
    show(f"pull, medians of {options.rounds} rounds", found)
    if options.json:
        write_json(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
