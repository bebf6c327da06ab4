"""How long a pull takes, from a cold store to an unpacked image, beside podman and containerd.

    python -m bench.pull [--rounds N] [--images debian,big] [--places tmpfs,disk] [--json FILE]

All pull the same image from one registry on this machine, in turns and in another order each round; every pull begins
with an empty store of its own and with all earlier writes on disk. Memory is the peak of the process that does the work
(for ``ctr`` the daemon's). Then: what a pull of an unchanged image takes, and ten layers with one worker and with more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from images.registry import Registry

BARS = (("podman pull", 0.50), ("ctr image pull", 0.70))
MEMORY_BAR = 150.0
AGAIN_BAR = 100.0
PYC = os.path.join(os.path.dirname(sys.executable), "pyc")
PLACES = {"tmpfs": "/dev/shm", "disk": "/var/tmp"}
WORKERS = """if True:
    import sys
    from pycontainer.engine.pull import pull
    from pycontainer.image.reference import Reference
    from pycontainer.image.store import Store
    pull(Store(sys.argv[1]), Reference.parse(sys.argv[2]), jobs=int(sys.argv[3]))
"""


class Pulled(NamedTuple):
    """One pull: wall time in seconds, processor time in seconds, peak memory in MiB, MiB that the store takes."""

    seconds: float
    cpu: float
    memory: float
    disk: float


Candidate = Callable[[str, str], Pulled]
"""Pulls an image into a store in an empty directory."""


class Failed(Exception):
    """A candidate is not installed, or refused."""


def timed(argv: list[str], store: str, environment: dict[str, str] | None = None) -> Pulled:
    """Run a command that pulls by itself."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise Failed(f"{argv[0]}: {output.read().decode(errors='replace').strip()[-300:]}")
    return Pulled(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, taken(store))


def taken(store: str) -> float:
    """MiB of the disk that a directory takes."""
    done = subprocess.run(["du", "-sxm", store], capture_output=True, text=True)
    return float(done.stdout.split()[0])


def pyc(store: str, image: str) -> Pulled:
    """Our command."""
    return timed([PYC, "--root", f"{store}/root", "--runroot", f"{store}/run", "pull", "--quiet", image], store)


def podman(store: str, image: str) -> Pulled:
    """Podman with its overlay driver."""
    storage = ["--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    try:
        return timed(["podman", *storage, "pull", "--quiet", "--tls-verify=false", image], store)
    finally:
        subprocess.run(["umount", f"{store}/root/overlay"], capture_output=True)


def ctr(store: str, image: str) -> Pulled:
    """containerd, which is running already, and its overlayfs snapshotter."""
    with containerd(store) as (pid, socket):
        name = image if ":" in image.rpartition("/")[2] else image + ":latest"
        argv = ["ctr", "--address", socket, "images", "pull", "--plain-http", name]
        before = _cpu(pid)
        pulled = timed(argv, store)
        return pulled._replace(cpu=pulled.cpu + _cpu(pid) - before, memory=_peak(pid))


@contextmanager
def containerd(store: str) -> Iterator[tuple[int, str]]:
    """A daemon of its own, without the plugin for Kubernetes."""
    path, socket = f"{store}/config.toml", f"{store}/containerd.sock"
    with open(path, "w") as file:
        file.write(f'version = 2\nroot = "{store}/root"\nstate = "{store}/state"\n')
        file.write('disabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        file.write(f'[grpc]\naddress = "{socket}"\n[ttrpc]\naddress = "{socket}.ttrpc"\n')
    with open(f"{store}/log", "wb") as log:
        daemon = subprocess.Popen(["containerd", "--config", path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        for _ in range(200):
            ready = subprocess.run(["ctr", "--address", socket, "version"], capture_output=True)
            if ready.returncode == 0:
                break
            time.sleep(0.05)
        yield daemon.pid, socket
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


def _cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def workers(jobs: int) -> Candidate:
    """Our Python API with so many layers at a time."""

    def one(store: str, image: str) -> Pulled:
        return timed([sys.executable, "-c", WORKERS, store, image, str(jobs)], store)

    return one


Samples = dict[str, list[Pulled]]


def measure(candidates: dict[str, Candidate], image: str, place: str, rounds: int) -> tuple[Samples, list[str]]:
    """Let all pull, ``rounds`` times; who fails is left out and named."""
    samples: Samples = {name: [] for name in candidates}
    absent: dict[str, str] = {}
    for _ in range(rounds):
        for name in random.sample(list(candidates), len(candidates)):
            if name in absent:
                continue
            with tempfile.TemporaryDirectory(
                prefix="pyc-bench-", dir=PLACES[place], ignore_cleanup_errors=True
            ) as store:
                settle()
                try:
                    samples[name].append(candidates[name](store, image))
                except (Failed, OSError) as error:
                    absent[name] = str(error)
                subprocess.run(["rm", "-rf", store])  # with everything on it, which takes seconds in Python
                os.makedirs(store, exist_ok=True)
    return {name: pulls for name, pulls in samples.items() if pulls}, [f"{k}: {v}" for k, v in absent.items()]


def settle() -> None:
    """Nobody pays for what others have written."""
    os.sync()
    time.sleep(0.3)


def again(image: str, rounds: int = 7) -> list[float]:
    """Milliseconds of pulls of an image that is here and unchanged."""
    with tempfile.TemporaryDirectory(prefix="pyc-bench-", dir=PLACES["tmpfs"]) as store:
        pyc(store, image)
        return [pyc(store, image).seconds * 1000 for _ in range(rounds)]


def median(pulls: list[Pulled], what: str) -> float:
    """The median of one figure."""
    return statistics.median([float(getattr(pull, what)) for pull in pulls])


def ratio(samples: Samples, ours: str, theirs: str) -> float:
    """The median over the rounds of ours / theirs."""
    pairs = zip(samples[ours], samples[theirs], strict=True)
    return statistics.median(a.seconds / b.seconds for a, b in pairs)


def show(title: str, samples: Samples, absent: list[str], ours: str, bars: tuple[tuple[str, float], ...]) -> None:
    """Print a table, and whether the bars are met."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("", "seconds", "best - worst", "cpu s", "peak MiB", "store MiB", "ours /", title=title)
    for name, pulls in sorted(samples.items(), key=lambda item: median(item[1], "seconds")):
        times = [pull.seconds for pull in pulls]
        figures = [f"{median(pulls, what):.0f}" for what in ("memory", "disk")]
        share = f"{ratio(samples, ours, name):.2f}" if name != ours else ""
        spread = f"{min(times):.2f} - {max(times):.2f}"
        cpu = f"{median(pulls, 'cpu'):.2f}"
        table.add_row(name, f"{statistics.median(times):.2f}", spread, cpu, *figures, share)
    console.print(table)
    for theirs, bar in bars:
        if theirs in samples:
            found = ratio(samples, ours, theirs)
            console.print(f"{'met   ' if found <= bar else 'MISSED'} {found:.2f} of {theirs}, bar {bar:.2f}")
    for line in absent:
        console.print(f"absent: {line}", markup=False)


def main(arguments: list[str]) -> int:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(prog="bench.pull")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", default="debian,big")
    parser.add_argument("--places", default="tmpfs,disk")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)
    peers = {"pyc pull": pyc, "podman pull": podman, "ctr image pull": ctr}
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="pyc-bench-registry-") as scratch, Registry(scratch) as registry:
        for name in filter(None, options.images.split(",")):
            image = registry.publish(name)
            for place in options.places.split(","):
                samples, absent = measure(dict(peers), image, place, options.rounds)
                show(
                    f"{name} from an empty store on {place}, medians of {options.rounds}",
                    samples,
                    absent,
                    "pyc pull",
                    BARS,
                )
                memory = max(pull.memory for pull in samples["pyc pull"])
                print(
                    f"{'met   ' if memory <= MEMORY_BAR else 'MISSED'} {memory:.0f} MiB at most, bar {MEMORY_BAR:.0f}"
                )
                report[f"{name} {place}"] = {key: [p._asdict() for p in pulls] for key, pulls in samples.items()}
        unchanged = again(registry.publish("busybox"))
        report["unchanged"] = unchanged
        found = statistics.median(unchanged)
        print(
            f"{'met   ' if found <= AGAIN_BAR else 'MISSED'} {found:.0f} ms for an unchanged image, bar {AGAIN_BAR:.0f}"
        )
        ten = f"{registry.publish('big')}:ten"
        many = max(2, os.cpu_count() or 1)
        crews = {f"{jobs} worker{'s' * (jobs > 1)}": workers(jobs) for jobs in (1, many)}
        for place in options.places.split(","):
            samples, absent = measure(crews, ten, place, options.rounds)
            show(f"ten layers from an empty store on {place}", samples, absent, f"{many} workers", (("1 worker", 1.0),))
            report[f"ten layers {place}"] = {key: [p._asdict() for p in pulls] for key, pulls in samples.items()}
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)
    return 0


if __name__ == "__main__":
    if shutil.which("docker-registry") is None:
        sys.exit("bench.pull: docker-registry is not installed")
    sys.exit(main(sys.argv[1:]))
