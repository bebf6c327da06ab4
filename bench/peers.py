"""The ways to start `true` in a fresh root filesystem that are measured side by side.

Each function prepares one of them beneath a scratch directory and returns what to time, or raises Absent with the
reason why it is not here: a peer that can't run is named in the report, never left out in silence.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

ULIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n'


class Absent(Exception):
    """This way of starting a container is not available here."""


@dataclass(frozen=True)
class Bench:
    """What the candidates share: a scratch directory, an unpacked root, a layout and a registry with the same image."""

    scratch: str
    rootfs: str
    layout: str
    image: str

    @property
    def pyc(self) -> list[str]:
        """The command line of ``pyc`` with its state in the scratch directory."""
        command = os.path.join(os.path.dirname(sys.executable), "pyc")
        return [command, "--root", self.scratch + "/pyc/root", "--runroot", self.scratch + "/pyc/run"]


@dataclass(frozen=True)
class Candidate:
    """One way to start a container; ``start`` returns an exit code, and only its duration is measured."""

    name: str
    start: Callable[[], int]


def command(name: str, argv: list[str], env: dict[str, str] | None = None) -> Candidate:
    """A candidate that is a process: from before its spawn to after its wait, output discarded."""
    path, environment = _installed(argv[0]), {**os.environ, **(env or {})}
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1)]

    def start() -> int:
        pid = os.posix_spawn(path, argv, environment, file_actions=actions)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return Candidate(name, start)


def pyc(bench: Bench) -> Candidate:
    """Our command."""
    pulled = subprocess.run([*bench.pyc, "pull", "--quiet", bench.image], capture_output=True, text=True)
    if pulled.returncode:
        raise Absent(f"pyc pull: {pulled.stderr.strip()}")
    return command("pyc run --rm", [*bench.pyc, "run", "--rm", "--network", "none", bench.image, "true"])


def engine(bench: Bench) -> Candidate:
    """Our engine inside this very process: what a test-suite pays for a container."""
    try:
        from pycontainer.engine.options import Roots, RunOptions
        from pycontainer.engine.run import run
        from pycontainer.oci.options import ContainerOptions
    except ImportError as error:
        raise Absent(f"the engine's API: {error}") from error
    container = ContainerOptions(command=("true",), network="none")
    options = RunOptions(bench.image, container, rm=True, pull="never")
    roots = Roots(bench.scratch + "/pyc/root", bench.scratch + "/pyc/run")
    return Candidate("pycontainer.engine.run", lambda: run(roots, options))


def podman(bench: Bench) -> Candidate:
    """Podman with Debian's defaults, its own storage beneath the scratch directory."""
    settings = bench.scratch + "/containers.conf"
    with open(settings, "w") as file:
        file.write(ULIMITS)  # root may lack CAP_SYS_RESOURCE, and podman's own default would then be refused
    env = {"CONTAINERS_CONF": settings}
    base = ["podman", "--root", bench.scratch + "/podman", "--runroot", bench.scratch + "/podman-run"]
    base += ["--cgroup-manager", "cgroupfs"]
    _installed("podman")
    pull = [*base, "pull", "--quiet", f"oci:{bench.layout}:latest"]
    pulled = subprocess.run(pull, env={**os.environ, **env}, capture_output=True, text=True)
    if pulled.returncode:
        raise Absent(f"podman pull: {pulled.stderr.strip()}")
    image = pulled.stdout.split()[-1]
    return command("podman run --rm", [*base, "run", "--rm", "--network", "none", image, "true"], env)


def _bundle(bench: Bench, runtime: str) -> str:
    """An OCI bundle with the runtime's own default spec, `true` as its command and no terminal."""
    _installed(runtime)
    bundle = f"{bench.scratch}/{runtime}"
    os.makedirs(bundle)
    subprocess.run([runtime, "spec"], cwd=bundle, check=True)
    with open(bundle + "/config.json") as file:
        spec = json.load(file)
    spec["process"].update(args=["true"], terminal=False)
    spec["process"].pop("rlimits", None)
    spec["root"] = {"path": bench.rootfs, "readonly": True}
    with open(bundle + "/config.json", "w") as file:
        json.dump(spec, file)
    return bundle


def crun(bench: Bench) -> Candidate:
    """The C runtime that podman calls; no overlay, no image."""
    return command(
        "crun run", ["crun", "--root", bench.scratch + "/crun-run", "run", "-b", _bundle(bench, "crun"), "b1"]
    )


def runc(bench: Bench) -> Candidate:
    """The Go runtime that docker calls; no overlay, no image."""
    return command(
        "runc run", ["runc", "--root", bench.scratch + "/runc-run", "run", "-b", _bundle(bench, "runc"), "b2"]
    )


def bwrap(bench: Bench) -> Candidate:
    """A sandbox, not a container: no overlay, no cgroup, no network namespace set up beyond loopback."""
    argv = ["bwrap", "--unshare-all", "--ro-bind", bench.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "true"]
    return command("bwrap", argv)


def _plain(bench: Bench) -> str:
    binary = bench.scratch + "/plain"
    if not os.path.exists(binary):
        source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "plain.c")
        subprocess.run([_installed("cc"), "-std=c11", "-O2", "-Wall", "-Wextra", "-o", binary, source], check=True)
    return binary


def plain_net(bench: Bench) -> Candidate:
    """The floor with a network namespace: compare ours with this one."""
    return command("plain C, with a netns", [_plain(bench), "--net", bench.rootfs, "true"])


def plain(bench: Bench) -> Candidate:
    """The floor without a network namespace."""
    return command("plain C", [_plain(bench), bench.rootfs, "true"])


def python(bench: Bench) -> Candidate:
    """The interpreter alone, with its site packages: what every ``pyc`` command pays before its first line."""
    return command("python -c pass", [sys.executable, "-c", "pass"])


ALL: tuple[Callable[[Bench], Candidate], ...] = (pyc, engine, podman, runc, crun, bwrap, plain_net, plain, python)


def _installed(program: str) -> str:
    path = shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        raise Absent(f"{program} is not installed")
    return path
