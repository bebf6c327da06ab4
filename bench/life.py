"""``python -m bench.life``: containers that live: detached starts, memory while idle, a crowd, and a flood of output.

    python -m bench.life [--rounds N] [--crowd N] [--flood MB]

Each figure is taken beside the same of podman (conmon) and docker (containerd's shim), in turns and in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack

from bench.engines import dockerd, pyc
from bench.peers import ULIMITS
from bench.run import INSIDE, UNIFIED
from images import build

Call = Callable[..., str]
LIMITS = ("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:4096")  # for hosts that withhold CAP_SYS_RESOURCE


def caller(command: list[str], env: dict[str, str] | None = None) -> Call:
    """A function that runs the engine's command with some words and gives its output."""

    def call(*words: str) -> str:
        done = subprocess.run([*command, *words], env={**os.environ, **(env or {})}, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join([*command, *words])}: {done.stderr.strip()}")
        return done.stdout.strip()

    return call


def engines(scratch: str, stack: ExitStack) -> dict[str, tuple[Call, str, str]]:
    """name -> how it is called, its image, and what its monitors are called; only those that are here."""
    archive, layout = f"{scratch}/busybox.tar", build.layout("busybox")
    subprocess.run(
        [
            "skopeo",
            "--insecure-policy",
            "copy",
            "-q",
            f"oci:{layout}:latest",
            f"docker-archive:{archive}:busybox:latest",
        ],
        check=True,
    )
    found = {"pyc": (caller(pyc(scratch + "/pyc")), "busybox", "pyc-monitor")}
    if shutil.which("podman"):
        settings = scratch + "/containers.conf"
        with open(settings, "w") as file:
            file.write(ULIMITS)
        base = ["podman", "--root", scratch + "/podman", "--runroot", scratch + "/podman-run"]
        call = caller([*base, "--cgroup-manager", "cgroupfs"], {"CONTAINERS_CONF": settings})
        found["podman"] = call, "busybox", "conmon"
    if shutil.which("dockerd"):
        os.mkdir(scratch + "/docker")
        _, command = stack.enter_context(dockerd(scratch + "/docker"))
        found["docker"] = caller(command), "busybox", "containerd-shim"
    for call, *_ in found.values():
        call("load", "-q", "-i", archive)
    return found


def run(call: Call, image: str, *words: str) -> str:
    """Start a detached container; its ID."""
    return call("run", "-d", "--network", "none", *LIMITS, image, *words)


def starts(found: dict[str, tuple[Call, str, str]], rounds: int) -> None:
    """``run -d`` of each, in turns."""
    samples: dict[str, list[float]] = {name: [] for name in found}
    for number in range(rounds + 1):
        for name, (call, image, _) in found.items():
            began = time.perf_counter()
            container = run(call, image, "sleep", "1000")
            if number:  # the first is to warm up
                samples[name].append((time.perf_counter() - began) * 1000)
            call("rm", "-f", container)
    compare("run -d", samples)


def execs(found: dict[str, tuple[Call, str, str]], rounds: int) -> None:
    """``exec`` of each into a container that is there, in turns."""
    containers = {name: run(call, image, "sleep", "1000") for name, (call, image, _) in found.items()}
    samples: dict[str, list[float]] = {name: [] for name in found}
    for number in range(rounds + 1):
        for name, (call, *_) in found.items():
            began = time.perf_counter()
            call("exec", containers[name], "true")
            if number:  # the first is to warm up
                samples[name].append((time.perf_counter() - began) * 1000)
    for name, (call, *_) in found.items():
        call("rm", "-f", containers[name])
    compare("exec", samples)


def compare(what: str, samples: dict[str, list[float]]) -> None:
    """Print medians, and the median of the rounds' own ratios."""
    for name, times in samples.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(samples["pyc"], times, strict=True))
        print(f"{what:11} {name:8} {statistics.median(times):7.1f} ms   pyc takes {ratio:.2f} of that")


def idle(found: dict[str, tuple[Call, str, str]], count: int = 10) -> None:
    """Memory of the monitors of idle containers, a share of what is shared counted (PSS)."""
    for name, (call, image, monitor) in found.items():
        containers = [run(call, image, "sleep", "1000") for _ in range(count)]
        time.sleep(1)
        sizes = [size for pid in pids(monitor) if (size := pss(pid))]
        print(f"idle        {name:8} {statistics.median(sizes):7.0f} KiB a container ({len(sizes)} x {monitor})")
        call("rm", "-f", *containers)


def pids(name: str) -> list[int]:
    """Those whose command begins with ``name``, started in this run's mount namespace or below."""
    ours, found = os.readlink("/proc/self/ns/mnt"), []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline") as file:
                command = os.path.basename(file.read().split("\0")[0])
            if command.startswith(name) and (name == "containerd-shim" or os.readlink(f"/proc/{entry}/ns/mnt") == ours):
                found.append(int(entry))
        except OSError:
            continue
    return found


def pss(pid: int) -> int:
    """KiB of a process; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


def crowd(call: Call, image: str, count: int) -> None:
    """Many at once: is the last as quick as the first, and what do all of them cost while nothing happens?"""
    took, containers = [], []
    for _ in range(count):
        began = time.perf_counter()
        containers.append(run(call, image, "sleep", "1000"))
        took.append((time.perf_counter() - began) * 1000)
    tenth = max(1, count // 5)
    first, last = statistics.median(took[:tenth]), statistics.median(took[-tenth:])
    print(f"crowd       {count} alive; a start took {first:.1f} ms at first and {last:.1f} ms at last")
    monitors = pids("pyc-monitor")
    before = sum(map(ticks, monitors))
    time.sleep(5)
    used = (sum(map(ticks, monitors)) - before) / os.sysconf("SC_CLK_TCK")
    memory = sum(map(pss, monitors)) / 1024
    print(f"            {len(monitors)} monitors: {memory:.1f} MiB, {used * 1000:.0f} ms of CPU time in 5 s")
    began = time.perf_counter()
    listed = len(json.loads("[" + ",".join(call("ps", "--format", "json").splitlines()) + "]"))
    print(f"            ps lists {listed} in {(time.perf_counter() - began) * 1000:.0f} ms")
    began = time.perf_counter()
    call("rm", "-f", *containers)
    print(f"            all removed in {time.perf_counter() - began:.1f} s")


def ticks(pid: int) -> int:
    """CPU time of a process so far."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def flood(found: dict[str, tuple[Call, str, str]], megabytes: int) -> None:
    """A program that writes as fast as it can, into a log."""
    for name, (call, image, monitor) in found.items():
        options = ["--log-driver", "k8s-file" if name == "podman" else "json-file", "--log-opt", "max-size=10m"]
        began = time.perf_counter()
        script = f"yes {'x' * 99} | head -c {megabytes}000000"
        container = call("run", "-d", "--network", "none", *LIMITS, *options, image, "sh", "-c", script)
        highest = 0
        while call("inspect", "-f", "{{.State.Running}}", container) == "true":
            highest = max([highest, *map(pss, pids(monitor))])
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        print(f"flood       {name:8} {megabytes / seconds:7.1f} MB/s, its monitor at most {highest} KiB")
        call("rm", "-f", container)


def main(arguments: list[str]) -> None:
    """Measure, and print as it goes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--crowd", type=int, default=500)
    parser.add_argument("--flood", type=int, default=1000, metavar="MB")
    options = parser.parse_args(arguments)
    if os.path.ismount(UNIFIED) and not os.environ.get(INSIDE):  # as in bench/run.py
        script = ["sh", "-c", f'umount {UNIFIED}; exec "$@"', "sh", sys.executable, "-m", "bench.life"]
        os.execvpe(
            "unshare", ["unshare", "-m", "--propagation", "private", *script, *arguments], {**os.environ, INSIDE: "1"}
        )
    with tempfile.TemporaryDirectory(prefix="pyc-life-", ignore_cleanup_errors=True) as scratch, ExitStack() as stack:
        found = engines(scratch, stack)
        starts(found, options.rounds)
        execs(found, options.rounds)
        idle(found)
        crowd(*found["pyc"][:2], options.crowd)
        flood(found, options.flood)


if __name__ == "__main__":
    main(sys.argv[1:])
