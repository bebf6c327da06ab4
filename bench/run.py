"""``make bench``: how long a container takes to start, beside podman, crun, runc, bwrap and a plain C program.

    python -m bench.run [--rounds N] [--json FILE]

All candidates take turns, in another order each round, so that what disturbs the machine disturbs them all; a ratio is
the median of the rounds' own ratios. Then, for the next millisecond: which imports and which steps the time goes to.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from bench import peers
from bench.peers import Absent, Bench, Candidate
from images import build
from images.registry import Registry

UNIFIED = "/sys/fs/cgroup/unified"
INSIDE = "PYC_BENCH_INSIDE"

FLOOR = "plain C, with a netns"
# (ours, theirs, at most): the bars of the project.
BARS = (("pyc run --rm", "podman run --rm", 0.40), ("pycontainer.engine.run", FLOOR, 2.0))

Samples = dict[str, list[float]]


def warm(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[str]]:
    """Start each once, untimed: those that can, and what became of the others."""
    able, unable = [], []
    for candidate in candidates:
        try:
            code = candidate.start()
        except Exception as error:  # whatever it is, the others can still be measured
            unable.append(f"{candidate.name}: {type(error).__name__}: {error}")
            continue
        if code == 0:
            able.append(candidate)
        else:
            unable.append(f"{candidate.name}: exited {code}")
    return able, unable


def measure(candidates: Sequence[Candidate], rounds: int) -> Samples:
    """Milliseconds of each candidate in each round; a start that fails now ends the bench."""
    samples: Samples = {candidate.name: [] for candidate in candidates}
    shuffled = list(candidates)
    for _ in range(rounds):
        random.shuffle(shuffled)
        for candidate in shuffled:
            start = time.perf_counter_ns()
            code = candidate.start()
            samples[candidate.name].append((time.perf_counter_ns() - start) / 1e6)
            if code != 0:
                raise SystemExit(f"bench: {candidate.name} exited {code}")
    return samples


def ratio(samples: Samples, ours: str, theirs: str) -> float:
    """The median over the rounds of ours / theirs, both of the same round."""
    return statistics.median(a / b for a, b in zip(samples[ours], samples[theirs], strict=True))


def import_times(module: str, top: int = 12) -> list[tuple[str, float]]:
    """The imports that ``module`` costs a fresh interpreter, in milliseconds of their own, most expensive first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"], capture_output=True, text=True
    )
    rows = [line.split(":", 1)[1].split("|") for line in done.stderr.splitlines() if line.startswith("import time:")]
    times = [(name.strip(), int(own) / 1000) for own, _, name in rows if own.strip().isdigit()]
    times.sort(key=lambda row: -row[1])
    return [*times[:top], (f"{len(times) - top} more", sum(own for _, own in times[top:]))]


def step_times(bench: Bench, rounds: int = 5) -> list[tuple[str, float]]:
    """The kernel's milliseconds of each step of a start, in order, as ``--explain=json`` reports them: medians."""
    report = bench.scratch + "/steps.json"
    argv = [*bench.pyc, "run", "--rm", "--network", "none", f"--explain=json:{report}", bench.image, "true"]
    titles: dict[int, str] = {}
    times: dict[int, list[float]] = {}
    for number in range(rounds):
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode or not os.path.exists(report):
            return []
        with open(report) as file:
            for call in map(json.loads, file):
                titles.setdefault(call["step"], re.sub(r"/\S*/containers/\S+", "a file of ours", call["title"]))
                spent = times.setdefault(call["step"], [0.0] * rounds)
                spent[number] += (call.get("ns") or 0) / 1e6
    return [(f"{step:>2} {title}", statistics.median(times[step])) for step, title in titles.items()]


def prepare(scratch: str, registry: Registry) -> tuple[Bench, list[Candidate], list[str]]:
    """Everything that can be measured here, and the reasons of what can't."""
    layout = build.layout("busybox")
    unpack = ["umoci", "unpack", "--image", layout + ":latest", scratch + "/unpacked"]
    subprocess.run(unpack, check=True, capture_output=True)
    bench = Bench(scratch, scratch + "/unpacked/rootfs", layout, registry.publish("busybox"))
    candidates, absent = [], []
    for make in peers.ALL:
        try:
            candidates.append(make(bench))
        except (Absent, subprocess.CalledProcessError) as error:
            absent.append(f"{make.__name__}: {error}")
    return bench, candidates, absent


def show(samples: Samples, absent: list[str], imports: list[tuple[str, float]], steps: list[tuple[str, float]]) -> None:
    """Print it all as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("start", "median ms", "p10 - p90", "x plain C", title=f"{len(samples[FLOOR])} rounds, busybox true")
    for name, times in sorted(samples.items(), key=lambda item: statistics.median(item[1])):
        tenths = statistics.quantiles(times, n=10)
        spread = f"{tenths[0]:.1f} - {tenths[-1]:.1f}"
        table.add_row(name, f"{statistics.median(times):.2f}", spread, f"{ratio(samples, name, FLOOR):.2f}")
    console.print(table)
    for ours, theirs, bar in BARS:
        if ours in samples and theirs in samples:
            value = ratio(samples, ours, theirs)
            console.print(f"{ours} / {theirs}: {value:.2f} (bar {bar:.2f}: {'met' if value <= bar else 'MISSED'})")
    for line in absent:
        console.print(f"not measured: {line}")
    for title, rows in (("import", imports), ("step", steps)):
        if rows:
            table = Table(title, "ms", title="own time of imports" if rows is imports else "time in the kernel")
            for name, milliseconds in rows:
                table.add_row(name, f"{milliseconds:.3f}")
            table.add_row(
                "sum, waits and parallel work included" if rows is steps else "sum",
                f"{sum(milliseconds for _, milliseconds in rows):.3f}",
                style="bold",
            )
            console.print(table)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="how often each start is measured (30)")
    parser.add_argument("--json", metavar="FILE", help="write the samples and ratios there too")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        parser.error("containers need root for now")
    if os.path.ismount(UNIFIED) and not os.environ.get(INSIDE):
        # Debian's crun refuses a hybrid of cgroup v1 and v2; one private mount namespace serves all candidates alike.
        script = f'umount {UNIFIED}; exec "$@"'
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
            "bench.run",
        ]
        os.execvpe("unshare", [*argv, *arguments], {**os.environ, INSIDE: "1"})
    with tempfile.TemporaryDirectory(prefix="pyc-bench-") as scratch, Registry(scratch + "/registry") as registry:
        bench, candidates, absent = prepare(scratch, registry)
        try:
            able, unable = warm(candidates)
            samples = measure(able, options.rounds)
            absent += unable
            imports, steps = import_times("pycontainer.cli.run"), step_times(bench)
        finally:
            _detach(scratch)
    show(samples, absent, imports, steps)
    if options.json:
        ratios = {f"{a} / {b}": ratio(samples, a, b) for a, b, _ in BARS if a in samples and b in samples}
        report = {"ms": samples, "ratios": ratios, "imports_ms": imports, "steps_ms": steps, "absent": absent}
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)
    return 0


def _detach(scratch: str) -> None:
    """Unmount what podman keeps mounted on its storage, or the directory can't be removed."""
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split()[4] for line in file]
    for path in reversed(mounts):
        if path.startswith(scratch):
            subprocess.run(["umount", "--lazy", path], check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
