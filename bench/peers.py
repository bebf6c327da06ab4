"""The engines that are measured side by side, each with its state below one directory, and where all of it happens.

Everything a bench does is in a mount and a network namespace of its own, so that no bridge and no rule of anybody stays
behind, and Debian's crun, which refuses a host with both versions of cgroups, sees only one. Docker's daemon gets
another network namespace, for its rules would slow down the others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import NamedTuple

from bench.measure import Failed, Once, command, milliseconds
from images import build

UNIFIED = "/sys/fs/cgroup/unified"
ADDRESS = "198.51.100.1"  # an address of "the host" that is not loopback (RFC 5737), for published ports
ULIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n'
_INSIDE = "PYC_BENCH_INSIDE"
_APART = f'umount {UNIFIED} 2>/dev/null; ip link set lo up; ip address add {ADDRESS}/32 dev lo; exec "$@"'
_READY_SECONDS = 30


def apart(argv: list[str]) -> list[str]:
    """The command line that runs ``argv`` in a mount and a network namespace of its own."""
    return ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", _APART, "sh", *argv]


def go_apart(module: str, arguments: list[str]) -> None:
    """Replace this process by itself in there, unless that has happened."""
    if os.environ.get(_INSIDE):
        return
    environment = {**os.environ, _INSIDE: "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or a module that has changed is compiled at each start
    os.execvpe("unshare", apart([sys.executable, "-m", module, *arguments]), environment)


class Engine(NamedTuple):
    """One engine. Calling it runs its command and gives the output; Failed with what it said.

    Attributes:
        argv: its command, and where its state is.
        env: what its environment has more.
        monitor: what the processes are called that stay with a container.
        daemon: the process whose network namespace its ports are in; 0 for ours.
    """

    name: str
    argv: list[str]
    env: dict[str, str]
    monitor: str
    daemon: int = 0

    def __call__(self, *words: str) -> str:
        done = subprocess.run([*self.argv, *words], env={**os.environ, **self.env}, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{self.name} {words[0]}: {' '.join(done.stderr.split())[-300:]}")
        return done.stdout.strip()

    def command(self, *words: str, terminal: int = -1) -> Callable[[], None]:
        """A function that runs its command and forgets the output."""
        return command([*self.argv, *words], env=self.env, terminal=terminal)

    def timed(self, *words: str, terminal: int = -1) -> Once:
        """The milliseconds of its command."""
        return milliseconds(self.command(*words, terminal=terminal))


IMAGE = "bench:latest"


class Stage:
    """What the sections share: a scratch directory, and the engines, each started when first asked for."""

    def __init__(self, scratch: str, stack: ExitStack) -> None:
        self.scratch, self._stack = scratch, stack
        self.absent: dict[str, str] = {}

    @cached_property
    def archive(self) -> str:
        """BusyBox as a docker archive, which all of them load."""
        source, path = f"oci:{build.layout('busybox')}:latest", f"{self.scratch}/busybox.tar"
        copy = ["skopeo", "--insecure-policy", "copy", "--quiet", source, f"docker-archive:{path}:{IMAGE}"]
        subprocess.run(copy, check=True, capture_output=True)
        return path

    @cached_property
    def rootfs(self) -> str:
        """The same image as a directory, for those that know no images."""
        path = f"{self.scratch}/unpacked"
        unpack = ["umoci", "unpack", "--image", f"{build.layout('busybox')}:latest", path]
        subprocess.run(unpack, check=True, capture_output=True)
        return path + "/rootfs"

    def pyc(self, store: str = "pyc") -> Engine:
        """Ours, with its state in ``store``."""
        where = f"{self.scratch}/{store}"
        path = os.path.join(os.path.dirname(sys.executable), "pyc")
        return Engine("pyc", [path, "--root", f"{where}/root", "--runroot", f"{where}/run"], {}, "pyc-monitor")

    @cached_property
    def engines(self) -> dict[str, Engine]:
        """pyc, podman and docker, with the image loaded; who is not here is in ``absent``."""
        found = {}
        for name, make in {"pyc": self.pyc, "podman": self._podman, "docker": self._docker}.items():
            try:
                engine = make()
                engine("load", "-q", "-i", self.archive)
                found[name] = engine
            except Failed as error:
                self.absent[name] = str(error)
        return found

    def _podman(self) -> Engine:
        installed("podman")
        settings = f"{self.scratch}/containers.conf"
        with open(settings, "w") as file:
            file.write(ULIMITS)  # root may lack CAP_SYS_RESOURCE, and podman's own default would then be refused
        base = ["podman", "--root", f"{self.scratch}/podman", "--runroot", f"{self.scratch}/podman-run"]
        return Engine("podman", [*base, "--cgroup-manager", "cgroupfs"], {"CONTAINERS_CONF": settings}, "conmon")

    def _docker(self) -> Engine:
        directory = f"{self.scratch}/docker"
        os.mkdir(directory)
        pid = self._stack.enter_context(dockerd(directory))
        call = ["docker", "--host", f"unix://{directory}/docker.sock"]
        return Engine("docker", call, {"HOME": directory}, "containerd-shim", pid)

    @cached_property
    def plain(self) -> str:
        """The floor: bench/plain.c, compiled."""
        binary = f"{self.scratch}/plain"
        source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "plain.c")
        subprocess.run([installed("cc"), "-std=c11", "-O2", "-Wall", "-o", binary, source], check=True)
        return binary

    def clear(self) -> None:
        """Remove all containers of all engines; in a store that pyc never had there are none."""
        for engine in self.engines.values():
            clear(engine)


def clear(engine: Engine) -> None:
    """Remove all its containers."""
    if listed := engine("ps", "-aq").split():
        engine("rm", "-f", *listed)


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage whose engines have ended, and whose directory is gone, at the end."""
    with tempfile.TemporaryDirectory(prefix="pyc-bench-", ignore_cleanup_errors=True) as scratch:
        try:
            with ExitStack() as stack:
                made = Stage(scratch, stack)
                try:
                    yield made
                finally:
                    if "engines" in vars(made):  # amid a turn a container may be there
                        made.clear()
        finally:
            unmount_below(scratch)


@contextmanager
def dockerd(directory: str) -> Iterator[int]:
    """A docker daemon with a bridge, its state in ``directory``: its process ID. Raises Failed."""
    settings = f"{directory}/daemon.json"
    with open(settings, "w") as file:
        limit = {"Name": "nofile", "Soft": 1024, "Hard": 4096}
        json.dump({"storage-driver": "overlay2", "default-ulimits": {"nofile": limit}}, file)
    socket = f"unix://{directory}/docker.sock"
    argv = [installed("dockerd"), "--config-file", settings, "--host", socket, "--pidfile", f"{directory}/pid"]
    argv += ["--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec"]
    with open(f"{directory}/log", "wb") as log:
        process = subprocess.Popen(apart(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while subprocess.run([installed("docker"), "--host", socket, "version"], capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                with open(f"{directory}/log", errors="replace") as text:
                    raise Failed(f"dockerd did not start: {text.read()[-300:]}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def installed(program: str) -> str:
    """Its path. Raises Failed."""
    path = shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        raise Failed(f"{program} is not installed")
    return path


def unmount_below(directory: str) -> None:
    """Unmount what an engine keeps mounted on its storage, or the directory can't be removed."""
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split()[4] for line in file]
    for path in reversed(mounts):
        if path.startswith(directory + "/"):
            subprocess.run(["umount", "--lazy", path], check=False)
