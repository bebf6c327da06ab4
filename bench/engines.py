"""The engines that handle images, and how each is told where its state is: all of it in one directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.samples import Failed, Sample, timed

PYC = os.path.join(os.path.dirname(sys.executable), "pyc")
_READY_TRIES = 400


def pyc(store: str, *words: str) -> list[str]:
    """Our command line."""
    return [PYC, "--root", f"{store}/root", "--runroot", f"{store}/run", *words]


def podman(store: str, *words: str) -> list[str]:
    """Podman's, with its overlay driver."""
    return ["podman", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay", *words]


@contextmanager
def containerd(store: str) -> Iterator[tuple[int, list[str]]]:
    """A containerd of its own, without the plugin for Kubernetes: its process ID, and how ``ctr`` calls it."""
    path, socket = f"{store}/config.toml", f"{store}/containerd.sock"
    with open(path, "w") as file:
        file.write(f'version = 2\nroot = "{store}/root"\nstate = "{store}/state"\n')
        file.write('disabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        file.write(f'[grpc]\naddress = "{socket}"\n[ttrpc]\naddress = "{socket}.ttrpc"\n')
    with _daemon(["containerd", "--config", path], f"{store}/log") as pid:
        call = ["ctr", "--address", socket]
        _wait_for([*call, "version"])
        yield pid, call


@contextmanager
def dockerd(store: str) -> Iterator[tuple[int, list[str]]]:
    """A docker daemon without a network, so that it can't disturb the host's: its process ID, and how to call it."""
    settings, socket = f"{store}/daemon.json", f"unix://{store}/docker.sock"
    with open(settings, "w") as file:
        json.dump({"storage-driver": "overlay2", "iptables": False, "bridge": "none"}, file)
    argv = ["dockerd", "--config-file", settings, "--host", socket, "--pidfile", f"{store}/pid"]
    argv += ["--data-root", f"{store}/data", "--exec-root", f"{store}/exec"]
    script = 'umount /sys/fs/cgroup/unified 2>/dev/null; ip link set lo up; exec "$@"'
    apart = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script, "sh"]
    with _daemon([*apart, *argv], f"{store}/log") as pid:
        call = ["docker", "--host", socket]
        _wait_for([*call, "version"])
        yield pid, call


@contextmanager
def _daemon(argv: list[str], log_path: str) -> Iterator[int]:
    try:
        with open(log_path, "wb") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed") from None
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for(argv: list[str]) -> None:
    for _ in range(_READY_TRIES):
        try:
            if subprocess.run(argv, capture_output=True).returncode == 0:
                return
        except FileNotFoundError:
            raise Failed(f"{argv[0]} is not installed") from None
        time.sleep(0.05)
    raise Failed(f"{argv[0]}: its daemon did not start")


# ---- pulls into an empty store


def pull_with_pyc(store: str, image: str) -> Sample:
    """Our command."""
    return timed(pyc(store, "pull", "--quiet", image))


def pull_with_podman(store: str, image: str) -> Sample:
    """Podman."""
    return timed(podman(store, "pull", "--quiet", "--tls-verify=false", image))


def pull_with_ctr(store: str, image: str) -> Sample:
    """containerd, which is running already, and its overlayfs snapshotter."""
    with containerd(store) as (pid, call):
        return timed([*call, "images", "pull", "--plain-http", _with_tag(image)], daemon=pid)


def _with_tag(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] else image + ":latest"


_WITH_WORKERS = """if True:
    import sys
    from pycontainer.engine.image.pull import pull
    from pycontainer.image.reference import Reference
    from pycontainer.image.store import Store
    pull(Store(sys.argv[1]), Reference.parse(sys.argv[2]), jobs=int(sys.argv[3]))
"""


def pull_with_workers(store: str, image: str, jobs: int) -> Sample:
    """Our Python API, with so many layers at a time."""
    return timed([sys.executable, "-c", _WITH_WORKERS, store, image, str(jobs)])


# ---- pulls of what is here already, from stores that were filled beforehand


def again_with_pyc(store: str, image: str) -> Sample:
    """Our command, twice."""
    pull_with_pyc(store, image)
    return timed(pyc(store, "pull", "--quiet", image))


def again_with_podman(store: str, image: str) -> Sample:
    """Podman, twice."""
    pull_with_podman(store, image)
    return timed(podman(store, "pull", "--quiet", "--tls-verify=false", image))


def again_with_ctr(store: str, image: str) -> Sample:
    """containerd, twice."""
    with containerd(store) as (pid, call):
        pull = [*call, "images", "pull", "--plain-http", _with_tag(image)]
        timed(pull)
        return timed(pull, daemon=pid)
