"""`run` of a plain bundle by pyc-oci, runc and crun: what podman, containerd and docker call for each container."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.measure import OURS, Table, turns
from bench.peers import Stage, installed
from bench.starts import available, one


def measure(stage: Stage, rounds: int) -> list[Table]:
    """All three, each with its own example spec."""
    ours = os.path.join(os.path.dirname(sys.executable), "pyc-oci")
    contestants, absent = available(
        {
            OURS: lambda: one(_run(stage, "pyc-oci", ours)),
            "runc": lambda: one(_run(stage, "runc", installed("runc"))),
            "crun": lambda: one(_run(stage, "crun", installed("crun"))),
        }
    )
    case = turns("run of a bundle", "ms", contestants, 2 * rounds, absent=absent, bars={"runc": 0.80})
    return [Table("runtime", "`pyc-oci` beside other OCI runtimes", (OURS, "runc", "crun"), [case])]


def _run(stage: Stage, name: str, command: str) -> list[str]:
    """The command line that runs `true` in a bundle of this runtime's own default."""
    bundle = f"{stage.scratch}/bundle-{name}"
    os.makedirs(bundle)
    subprocess.run([command, "spec", "--bundle", bundle], check=True, cwd=bundle)
    with open(f"{bundle}/config.json") as file:
        spec = json.load(file)
    spec["process"].update(args=["true"], terminal=False)
    spec["process"].pop("rlimits", None)  # root may lack CAP_SYS_RESOURCE
    spec["root"] = {"path": stage.rootfs, "readonly": True}
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(spec, file)
    return [command, "--root", f"{stage.scratch}/runtime-{name}", "run", "--bundle", bundle, f"bench-{name}"]
