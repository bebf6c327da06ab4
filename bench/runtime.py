"""`pyc-oci` beside runc and crun: what podman, containerd and docker call for each container."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial

from bench.measure import OURS, Once, Table, available, command, turns
from bench.peers import PYC, installed
from bench.stage import Stage
from bench.starts import FLOOR, floor, one

RUNTIMES = {OURS: os.path.join(os.path.dirname(PYC), "pyc-oci"), "runc": "runc", "crun": "crun"}


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """`run` of a plain bundle, each with its own example of a spec."""
    makers: dict[str, Callable[[], Once]] = {
        name: partial(_contestant, stage, name, program) for name, program in RUNTIMES.items()
    }
    contestants, absent = available({**makers, FLOOR: lambda: one(floor(stage))})
    case = turns("run of a bundle", "ms", contestants, 2 * rounds, absent=absent)
    yield Table("runtime", "`pyc-oci` beside other OCI runtimes", (*RUNTIMES, FLOOR), [case])


def _contestant(stage: Stage, name: str, program: str) -> Once:
    return one(_run(stage, name, program))


def _run(stage: Stage, name: str, program: str) -> list[str]:
    """The command line that runs `true` in a bundle of this runtime's own default."""
    path, bundle = installed(program), f"{stage.scratch}/bundle-{name}"
    os.makedirs(bundle, exist_ok=True)
    command(["env", "-C", bundle, path, "spec"])()
    with open(f"{bundle}/config.json") as file:
        spec = json.load(file)
    spec["process"].update(args=["true"], terminal=False)
    spec["process"].pop("rlimits", None)  # root may lack CAP_SYS_RESOURCE
    spec["root"] = {"path": stage.rootfs, "readonly": True}
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(spec, file)
    return [path, "--root", f"{stage.scratch}/runtime-{name}", "run", "--bundle", bundle, f"bench-{name}"]
