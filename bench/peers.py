"""The engines that are measured side by side. Each is opened on a directory, in which all of its state is:

    with peers.docker(directory) as engine:
        engine("run", "--rm", "busybox", "true")

and at the end its containers are removed, its daemon has stopped, and nothing of it is mounted.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import NamedTuple

from bench.measure import Failed, Once, command, last_words, milliseconds
from bench.processes import field

ADDRESS = "198.51.100.1"  # an address of "the host" that is not loopback (RFC 5737), for published ports
UNIFIED = "/sys/fs/cgroup/unified"
PYC = os.path.join(os.path.dirname(sys.executable), "pyc")
ULIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n'
READY_SECONDS, STOP_SECONDS = 30, 30
LOOK = 20  # milliseconds between two looks at how much memory a process has


class Engine(NamedTuple):
    """One engine. Calling it runs its command and gives the output; Failed with what it said.

    Attributes:
        argv: its command, and where its state is.
        env: what its environment has more.
        monitor: what the processes are called that stay with a container.
        daemon: who does the work, in a network namespace of its own; 0 where the command itself does.
    """

    name: str
    argv: list[str]
    env: dict[str, str]
    monitor: str
    daemon: int = 0

    def __call__(self, *words: str) -> str:
        done = subprocess.run([*self.argv, *words], env={**os.environ, **self.env}, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{self.name} {words[0]}: {last_words(done.stderr)}")
        return done.stdout.strip()

    def command(self, *words: str, terminal: int = -1) -> Callable[[], None]:
        """A function that runs its command and forgets the output."""
        return command([*self.argv, *words], env=self.env, terminal=terminal)

    def timed(self, *words: str, terminal: int = -1) -> Once:
        """The milliseconds of its command."""
        return milliseconds(self.command(*words, terminal=terminal))

    def remove(self, *containers: str) -> None:
        """Kill and remove containers; podman would first wait ten seconds for each."""
        at_once = ("--time", "0") if self.name == "podman" else ()
        self("rm", "--force", *at_once, *containers)

    def taken(self, *words: str) -> tuple[float, float]:
        """Run its command: seconds, and MiB of memory at the peak of the process that does the work."""
        environment, began = {**os.environ, **self.env}, time.perf_counter()
        process = subprocess.Popen(
            [*self.argv, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            peak = _peak_until_end(process.pid)
            seconds = time.perf_counter() - began
        except BaseException:
            process.kill()
            raise
        finally:
            said = process.communicate()[1]
        if process.returncode:
            raise Failed(f"{self.name} {words[0]}: {last_words(said)}")
        return seconds, (field(self.daemon, "status", "VmHWM") if self.daemon else peak) / 1024


def _peak_until_end(pid: int) -> float:
    """KiB. Not ru_maxrss of wait4(2), in which is also what the process was before it became the program."""
    peak, end = 0.0, os.pidfd_open(pid)
    try:
        while not select.select([end], [], [], LOOK / 1000)[0]:
            peak = max(peak, field(pid, "status", "VmHWM"))
    finally:
        os.close(end)
    return peak


# ---- the engines


@contextmanager
def pyc(directory: str) -> Iterator[Engine]:
    """Ours."""
    call = [PYC, "--root", f"{directory}/root", "--runroot", _in_memory(f"{directory}/run")]
    with _cleared(Engine("pyc", call, {}, "pyc-monitor"), directory) as engine:
        yield engine


@contextmanager
def podman(directory: str) -> Iterator[Engine]:
    """Podman, with its overlay driver; root may lack CAP_SYS_RESOURCE, which podman's own limits would need."""
    call = [installed("podman"), "--root", f"{directory}/root", "--runroot", _in_memory(f"{directory}/run")]
    call += ["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"]
    os.makedirs(directory, exist_ok=True)
    settings = f"{directory}/containers.conf"
    with open(settings, "w") as file:
        file.write(ULIMITS)
    with _cleared(Engine("podman", call, {"CONTAINERS_CONF": settings}, "conmon"), directory) as engine:
        yield engine


@contextmanager
def docker(directory: str, *, network: bool = True) -> Iterator[Engine]:
    """A docker daemon with its bridge, in a network namespace of its own, for its rules would slow down the others.

    Without ``network`` it shares ours, changes nothing in it, and so can speak with a registry on loopback.
    """
    os.makedirs(directory, exist_ok=True)
    settings, socket = f"{directory}/daemon.json", f"unix://{directory}/docker.sock"
    limit = {"Name": "nofile", "Soft": 1024, "Hard": 4096}
    quiet = {} if network else {"iptables": False, "bridge": "none"}
    with open(settings, "w") as file:
        json.dump({"storage-driver": "overlay2", "default-ulimits": {"nofile": limit}, **quiet}, file)
    argv = [installed("dockerd"), "--config-file", settings, "--host", socket, "--pidfile", f"{directory}/pid"]
    argv += ["--data-root", f"{directory}/data", "--exec-root", _in_memory(f"{directory}/exec")]
    call = [installed("docker"), "--host", socket]
    with _daemon(apart(argv, network=network), f"{directory}/log", [*call, "version"]) as pid:
        engine = Engine("docker", call, {"HOME": directory}, "containerd-shim", pid)
        with _cleared(engine, directory):
            yield engine


@contextmanager
def containerd(directory: str) -> Iterator[Engine]:
    """A containerd without the plugin for Kubernetes, by its own command ``ctr``."""
    os.makedirs(directory, exist_ok=True)
    settings, socket = f"{directory}/config.toml", f"{directory}/containerd.sock"
    with open(settings, "w") as file:
        file.write(f'version = 2\nroot = "{directory}/root"\nstate = "{_in_memory(directory + "/state")}"\n')
        file.write('disabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        file.write(f'[grpc]\naddress = "{socket}"\n[ttrpc]\naddress = "{socket}.ttrpc"\n')
    argv, call = [installed("containerd"), "--config", settings], [installed("ctr"), "--address", socket]
    with _daemon(argv, f"{directory}/log", [*call, "version"]) as pid:
        yield Engine("ctr", call, {}, "containerd-shim", pid)


Opener = Callable[[str], AbstractContextManager[Engine]]


def quiet_docker(directory: str) -> AbstractContextManager[Engine]:
    """Docker for what is done with images."""
    return docker(directory, network=False)


def save(engine: Engine, image: str, name: str, path: str) -> None:
    """Pull an image into an empty store of ours, give it a name, and write it as docker's archive."""
    engine("pull", "--quiet", image)
    engine("tag", engine("images", "--quiet"), name)
    engine("save", "--output", path, name)


def clear(engine: Engine) -> None:
    """Remove all its containers."""
    if listed := engine("ps", "-aq").split():
        engine.remove(*listed)


@contextmanager
def _cleared(engine: Engine, directory: str) -> Iterator[Engine]:
    """An engine that has no container and no mount at the end, not even amid a turn that was interrupted."""
    try:
        yield engine
    finally:
        if os.path.isdir(directory):
            with suppress(Failed):
                clear(engine)
            unmount_below(directory)


# ---- daemons, namespaces, mounts


def apart(argv: Sequence[str], *, network: bool = True, setup: str = "") -> list[str]:
    """The command line that runs ``argv`` in a mount namespace of its own, and a network namespace.

    Debian's crun refuses a host with both versions of cgroups: in there it sees only one.
    """
    namespaces = ["--mount", "--propagation", "private", *(["--net"] if network else [])]
    links = f"ip link set lo up; ip address add {ADDRESS}/32 dev lo; " if network else ""
    script = f"umount {UNIFIED} 2>/dev/null; {links}{setup}" + 'exec "$@"'
    return ["unshare", *namespaces, "sh", "-c", script, "sh", *argv]


@contextmanager
def _daemon(argv: list[str], log: str, ready: list[str]) -> Iterator[int]:
    """A program in the background until the end, once the command ``ready`` succeeds; its process ID. Raises Failed.

    It has a session of its own, as an interrupt from the keyboard is for us to handle, and ends if we are killed.
    """
    tied = ["setpriv", "--pdeathsig", "TERM", *argv]
    with open(log, "wb") as file:
        process = subprocess.Popen(tied, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while subprocess.run(ready, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                with open(log, errors="replace") as text:
                    raise Failed(f"{ready[0]}: its daemon did not start: {last_words(text.read())}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def installed(program: str) -> str:
    """Its path. Raises Failed."""
    path = shutil.which(program, path=os.environ.get("PATH", os.defpath))
    if path is None:
        raise Failed(f"{program} is not installed")
    return path


def _in_memory(path: str) -> str:
    """A directory for what an engine keeps of containers that run: a tmpfs, as /run is, where it is by default."""
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", path], check=True)
    return path


def unmount_below(directory: str) -> None:
    """Unmount what an engine keeps mounted on its storage, or the directory can't be removed."""
    with open("/proc/self/mountinfo") as file:
        # A space in a name is \040 there (proc_pid_mountinfo(5)).
        mounts = [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4]) for line in file]
    for path in reversed(mounts):
        if path.startswith(directory + "/"):
            subprocess.run(["umount", "--lazy", path], check=False)
