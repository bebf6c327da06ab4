"""The same job in N virtual machines and in N containers: what each costs, with a picture.

    python -m bench.vm_vs_container [--count N] [--svg FILE]

The job is a shell of busybox that says a word and then waits. The machine is the smallest that can do it: Debian's
kernel, and busybox as all of its root filesystem, in QEMU. Nothing is configured in it, so a real one costs more. The
container is `pyc run` of an image with the same busybox. Where the processor does not virtualize, QEMU emulates it by
software, which takes many times as long: the result says which it was.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from bench.processes import pss
from images import build
from tests.vm.image import image
from tests.vm.machine import accelerator, parameters

WORD = "useful"
INIT = f"#!/bin/busybox sh\necho {WORD}\nexec /bin/busybox sleep 1000000\n"
MEMORY = 128  # MiB of the machine: with half of it, this kernel does not start


class Running(NamedTuple):
    """One that does its job: how long until it said so, and the processes on this host that it consists of."""

    seconds: float
    pids: tuple[int, ...]


class Kind(NamedTuple):
    """What was measured, of all together."""

    name: str
    disk: int  # bytes for the first one
    more: int  # bytes for each further one
    memory: float  # bytes of each: what it alone uses, and its part of what is shared
    seconds: float  # the median until the first useful output
    fit: int  # how many go into the memory that is free here


def archive(busybox: str) -> bytes:
    """An initramfs in the format of cpio: a directory, busybox, and what the kernel starts first."""
    with open(busybox, "rb") as file:
        program = file.read()
    made = b""
    for number, (name, mode, data) in enumerate(
        [
            ("bin", 0o40755, b""),
            ("bin/busybox", 0o100755, program),
            ("init", 0o100755, INIT.encode()),
            ("TRAILER!!!", 0, b""),
        ]
    ):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        made += head.ljust(-(-len(head) // 4) * 4, b"\0") + data.ljust(-(-len(data) // 4) * 4, b"\0")
    return gzip.compress(made)


def machine(kernel: str, initrd: str, kind: str) -> Running:
    """Start a machine, and wait until it has said the word on its console."""
    command = ["qemu-system-x86_64", "-accel", kind, "-cpu", "host" if kind == "kvm" else "qemu64", "-m", str(MEMORY)]
    command += ["-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "-append", f"console=ttyS0 quiet {parameters(kind)}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    for line in process.stdout:
        if WORD.encode() in line:
            return Running(time.monotonic() - began, (process.pid,))
    raise RuntimeError(f"the machine ended with exit code {process.wait()} and said nothing")


def container(pyc: list[str], name: str) -> Running:
    """Start a container, and wait until it has said the word into its log."""
    began = time.monotonic()
    job = ["sh", "-c", f"echo {WORD}; exec sleep 1000000"]
    subprocess.run(
        [*pyc, "run", "-d", "--name", name, "--network", "none", "busybox", *job], check=True, capture_output=True
    )
    while WORD not in subprocess.run([*pyc, "logs", name], capture_output=True, text=True).stdout:
        time.sleep(0.001)
    seconds = time.monotonic() - began
    shown = subprocess.run(
        [*pyc, "inspect", "--format", "{{.State.Pid}}", name], capture_output=True, text=True, check=True
    )
    init = int(shown.stdout)
    with open(f"/proc/{init}/stat") as file:
        monitor = int(file.read().rpartition(")")[2].split()[1])
    return Running(seconds, (init, monitor))


def measure(name: str, disk: int, more: int, start: Callable[[int], Running], count: int) -> Kind:
    """Start ``count`` of them, one after the other, and look at them while they all run."""
    running = [start(number) for number in range(count)]
    memory = statistics.mean(sum(map(pss, each.pids)) * 1024 for each in running)
    return Kind(name, disk, more, memory, statistics.median(each.seconds for each in running), int(free() / memory))


def free() -> int:
    """Bytes of memory that are free or could be."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))


def size_of(path: str) -> int:
    """Bytes on disk, of a file or of everything in a directory."""
    found = [path, *(os.path.join(top, name) for top, _, names in os.walk(path) for name in names)]
    inodes = {
        (seen.st_dev, seen.st_ino): seen.st_blocks * 512 for seen in map(os.lstat, found)
    }  # a file may have names
    return sum(inodes.values())


def stored(root: str) -> int:
    """Bytes of images and containers; not the ballast, which is one for the whole store."""
    return sum(size_of(f"{root}/{name}") for name in ("oci", "layers", "containers") if os.path.isdir(f"{root}/{name}"))


def machines(count: int, scratch: str) -> Kind:
    """Measure machines."""
    kernel, kind = image().kernel, accelerator()
    initrd = f"{scratch}/initrd"
    with open(initrd, "wb") as file:
        file.write(archive(shutil.which("busybox") or "/bin/busybox"))
    pids: list[int] = []

    def start(_: int) -> Running:
        made = machine(kernel, initrd, kind)
        pids.extend(made.pids)
        return made

    try:
        how = "KVM" if kind == "kvm" else "software emulation"
        return measure(f"VM ({how})", size_of(kernel) + size_of(initrd), 0, start, count)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def containers(count: int, scratch: str) -> Kind:
    """Measure containers."""
    pyc = [sys.executable, "-m", "pycontainer", "--root", f"{scratch}/root", "--runroot", f"{scratch}/runroot"]
    subprocess.run([*pyc, "pull", "-q", f"oci:{build.layout('busybox')}:latest"], check=True, capture_output=True)
    listed = subprocess.run([*pyc, "images", "-q"], check=True, capture_output=True, text=True).stdout.split()
    subprocess.run([*pyc, "tag", listed[0], "busybox"], check=True)
    first = stored(f"{scratch}/root")
    names = [f"box{number}" for number in range(count)]
    try:
        made = measure("container", first, 0, lambda number: container(pyc, names[number]), count)
        return made._replace(more=(stored(f"{scratch}/root") - first) // count)
    finally:
        subprocess.run([*pyc, "rm", "-f", *names], capture_output=True)


# --- what it shows ----------------------------------------------------------------------------------------------------

ROWS: tuple[tuple[str, Callable[[Kind], float], str], ...] = (
    ("until the first useful output, ms", lambda kind: kind.seconds * 1e3, "{:,.0f}"),
    ("memory of each, MiB", lambda kind: kind.memory / 2**20, "{:,.1f}"),
    ("disk for the first, MiB", lambda kind: kind.disk / 2**20, "{:,.1f}"),
    ("disk for each further, MiB", lambda kind: kind.more / 2**20, "{:,.2f}"),
    ("how many fit into this host's free memory", lambda kind: float(kind.fit), "{:,.0f}"),
)


def table(kinds: list[Kind]) -> str:
    """Lines of text."""
    lines = [f"{'':45}" + "".join(f"{kind.name:>26}" for kind in kinds)]
    lines += [
        f"{title:45}" + "".join(f"{form.format(value(kind)):>26}" for kind in kinds) for title, value, form in ROWS
    ]
    return "\n".join(lines)


def picture(kinds: list[Kind]) -> str:
    """An SVG: for each row a bar for each kind, the longest as wide as the picture allows."""
    colours, y = ("#b0413e", "#3b6ea5"), 10
    drawn = []
    for title, value, form in ROWS:
        drawn.append(f'<text x="10" y="{y + 12}" font-weight="bold">{title}</text>')
        y += 20
        longest = max(map(value, kinds)) or 1.0
        for kind, colour in zip(kinds, colours, strict=False):
            width = max(1, round(380 * value(kind) / longest))
            drawn.append(f'<rect x="180" y="{y}" width="{width}" height="16" fill="{colour}"/>')
            drawn.append(f'<text x="172" y="{y + 12}" text-anchor="end">{kind.name}</text>')
            drawn.append(f'<text x="{186 + width}" y="{y + 12}">{form.format(value(kind))}</text>')
            y += 20
        y += 10
    style = 'font-family="sans-serif" font-size="12"'
    ground = f'<rect width="660" height="{y}" fill="white"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{y}" {style}>'
    return "\n".join([head, ground, *drawn, "</svg>", ""])


def main() -> int:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(prog="bench.vm_vs_container", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=3, help="how many of each run at once")
    parser.add_argument("--svg", help="a file for the picture")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        kinds = [machines(options.count, scratch), containers(options.count, scratch)]
    print(table(kinds))
    if options.svg:
        with open(options.svg, "w") as file:
            file.write(picture(kinds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
