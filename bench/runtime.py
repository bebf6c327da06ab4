"""``python -m bench.runtime``: `run` of a plain bundle by pyc-oci, runc and crun, in the same interleaved rounds.

What the difference is made of follows: how long a bare interpreter takes, and which imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from bench import peers, run
from bench.peers import Absent, Bench, Candidate
from images import build

OURS = "pyc-oci run"
BAR = ("runc run", 0.80)


def ours(bench: Bench) -> Candidate:
    """Our runtime, on a bundle like the others' but with its own example spec."""
    command = os.path.join(os.path.dirname(sys.executable), "pyc-oci")
    bundle = f"{bench.scratch}/ours"
    os.makedirs(bundle)
    subprocess.run([command, "spec", "--bundle", bundle], check=True)
    with open(f"{bundle}/config.json") as file:
        spec = json.load(file)
    spec["process"].update(args=["true"], terminal=False)
    spec["root"] = {"path": bench.rootfs, "readonly": True}
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(spec, file)
    return peers.command(OURS, [command, "--root", f"{bench.scratch}/ours-run", "run", "-b", bundle, "b3"])


def candidates(bench: Bench) -> tuple[list[Candidate], list[str]]:
    """Those that are here, and what became of the others."""
    made, absent = [], []
    for make in (ours, peers.runc, peers.crun, peers.python):
        try:
            made.append(make(bench))
        except (Absent, subprocess.CalledProcessError) as error:
            absent.append(f"{make.__name__}: {error}")
    able, unable = run.warm(made)
    return able, absent + unable


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(prog="bench.runtime", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    asked = parser.parse_args(arguments)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or a module that has changed is compiled at each start
    with tempfile.TemporaryDirectory(prefix="pyc-bench-") as scratch:
        layout = build.layout("busybox")
        unpack = ["umoci", "unpack", "--image", layout + ":latest", scratch + "/unpacked"]
        subprocess.run(unpack, check=True, capture_output=True)
        able, absent = candidates(Bench(scratch, scratch + "/unpacked/rootfs", layout, ""))
        samples = run.measure(able, asked.rounds)
    for name, times in sorted(samples.items(), key=lambda item: statistics.median(item[1])):
        print(f"{name:16} {statistics.median(times):7.2f} ms  {run.ratio(samples, OURS, name):5.2f} x")
    for line in absent:
        print(f"not measured: {line}")
    for name, milliseconds in run.import_times("pycontainer.oci.foreground"):
        print(f"   {milliseconds:6.2f} ms  {name}")
    theirs, bar = BAR
    value = run.ratio(samples, OURS, theirs)
    print(f"{OURS} / {theirs}: {value:.2f} (bar {bar:.2f}: {'met' if value <= bar else 'MISSED'})")
    return int(value > bar)


if __name__ == "__main__":
    # Debian's crun refuses a host with cgroups of both versions: out of its sight, and nobody else's.
    if os.path.ismount(run.UNIFIED) and not os.environ.get(run.INSIDE):
        script = f'umount {run.UNIFIED}; exec "$@"'
        argv = [
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
            sys.executable,
            "-m",
            "bench.runtime",
        ]
        os.execvpe("unshare", [*argv, *sys.argv[1:]], {**os.environ, run.INSIDE: "1"})
    sys.exit(main(sys.argv[1:]))
