"""``python -m bench.security``: how far a container's root reaches by default, under us, docker and podman.

The same program (probe.c) asks from inside of each. Fewer is stricter in every line. The table is in docs/security.md.

Debian's docker and podman have lists of system calls that end before Linux 5.13, so whatever is newer is out of reach
there. What docker 28's list lets through is counted with it: ``--security-opt seccomp=docker``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from typing import NamedTuple

from bench import peers
from bench.measure import Failed
from bench.peers import Engine
from pycontainer.oci import security

HERE = os.path.dirname(os.path.realpath(__file__))


class Line(NamedTuple):
    """One thing that is counted: what the probe calls it, what people do, and what it is about."""

    key: str
    title: str


FILTER = "docker 28's filter"
OF_THE_FILTER = ("calls", "families", "raw_tcp", "packet", "raw_icmp", "i386", "x32")

LINES = (
    Line("capabilities", "capabilities that can ever be had"),
    Line("host_root", "root in it is the host's root"),
    Line("gains", "setuid programs give powers (sudo-less image)"),
    Line("calls", "system calls within reach, of 379 tried"),
    Line("families", "socket families that open"),
    Line("raw_tcp", "raw TCP packets"),
    Line("packet", "raw frames (AF_PACKET)"),
    Line("raw_icmp", "raw ICMP (ping)"),
    Line("i386", "32-bit calls (64-bit image)"),
    Line("x32", "x32 calls"),
    Line("mknod", "device nodes can be made"),
    Line("telling", "paths of /proc and /sys that tell something"),
    Line("shared", "namespaces shared with the host, of 7"),
    Line("core", "core dumps"),
)


def archive(scratch: str) -> bytes:
    """A root filesystem that is the probe, as a tar. Raises CalledProcessError without a C compiler."""
    program = scratch + "/probe"
    subprocess.run(["cc", "-std=c11", "-O1", "-static", "-w", "-o", program, HERE + "/probe.c"], check=True)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(program, "probe")
        for name in ("etc", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return made.getvalue()


def ask(engine: Engine, image: bytes, *options: str) -> dict[str, int]:
    """Import the image and run the probe in it. Raises Failed."""
    environment = {**os.environ, **engine.env}
    made = subprocess.run([*engine.argv, "import", "-", "probe:1"], input=image, capture_output=True, env=environment)
    if made.returncode:
        raise Failed(made.stderr.decode().strip())
    words = ("--network", "none", *options, "probe:1", "/probe", *security.MASKED_PATHS)
    return _parsed(engine("run", "--rm", *words))


def _parsed(text: str) -> dict[str, int]:
    pairs = [line.split(None, 1) for line in text.splitlines()]
    ours = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")}
    answers = {key: int(value) for key, value in pairs if key != "ns"}
    return answers | {"shared": sum(key == "ns" and value in ours for key, value in pairs)}


def everybody(scratch: str) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    """What each engine's container answered, and why one did not."""
    image, answers, absent = archive(scratch), {}, {}
    for name in ("pyc", "docker", "podman", FILTER):
        store = f"{scratch}/{name}"
        os.makedirs(store)
        try:
            answers[name] = _ask(name, store, image)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            absent[name] = str(error)[:300]
    return answers, absent


def _ask(name: str, store: str, image: bytes) -> dict[str, int]:
    if name == FILTER:
        with peers.pyc(store) as engine:
            answers = ask(engine, image, "--security-opt", "seccomp=docker")
            return {key: answers[key] for key in OF_THE_FILTER}
    with {"pyc": peers.pyc, "docker": peers.docker, "podman": peers.podman}[name](store) as engine:
        if name == "podman":  # its crun refuses a host with both versions of cgroups
            engine = engine._replace(argv=peers.apart(engine.argv, network=False))
        return ask(engine, image)


def table(answers: dict[str, dict[str, int]]) -> list[str]:
    """The lines of a Markdown table."""
    names = list(answers)
    rows = [f"| a container's root, by default | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for line in LINES:
        rows.append(f"| {line.title} | {' | '.join(str(answers[name].get(line.key, '')) for name in names)} |")
    return rows


def looser(answers: dict[str, dict[str, int]]) -> list[str]:
    """Where we let through more than somebody else."""
    ours, others = answers["pyc"], [name for name in answers if name != "pyc"]
    return [
        f"{line.title}: {ours[line.key]}, {name} {answers[name][line.key]}"
        for line in LINES
        for name in others
        if ours[line.key] > answers[name].get(line.key, ours[line.key])
        and (name == FILTER or line.key != "calls" or FILTER not in answers)
    ]


def main() -> int:
    """Print the table; 1 if somebody is stricter somewhere."""
    with tempfile.TemporaryDirectory() as scratch:
        answers, absent = everybody(scratch)
    print("\n".join(table(answers)))
    for name, reason in absent.items():
        print(f"{name}: not asked: {reason}")
    worse = looser(answers)
    print("\n".join(["somebody is stricter in:", *worse]) if worse else "nobody is stricter anywhere")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
