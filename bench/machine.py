"""What a figure was measured on, without what would tell one machine of a kind from another."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
import time

PEERS = {
    "podman": "podman",
    "docker": "dockerd",
    "containerd": "containerd",
    "runc": "runc",
    "crun": "crun",
    "bwrap": "bwrap",
    "skopeo": "skopeo",
}


def described() -> dict[str, str]:
    """Field -> value, for a table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    with open("/etc/os-release") as file:
        system = next((line.split("=")[1].strip().strip('"') for line in file if line.startswith("PRETTY_NAME=")), "?")
    peers = [f"{name} {version(program)}" for name, program in PEERS.items() if shutil.which(program)]
    return {
        "measured on": time.strftime("%Y-%m-%d"),
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{system}, Linux {re.sub(r'-.*', '', platform.release())}, cgroup {_cgroups()}",
        "containers are stored on": _filesystem(tempfile.gettempdir()),
        "Python": platform.python_version(),
        "peers": ", ".join(peers) or "none",
        "load": f"{os.getloadavg()[0]:.1f} before",
    }


def busy(seconds: float = 2.0) -> float:
    """What share of the processors is in use, while we are not."""
    before = _spent()
    time.sleep(seconds)
    used, whole = (after - earlier for after, earlier in zip(_spent(), before, strict=True))
    return used / whole if whole else 0.0


def _spent() -> tuple[int, int]:
    """Processor time in use and altogether since boot (proc_stat(5))."""
    with open("/proc/stat") as file:
        user, nice, system, idle, wait, *others = map(int, file.readline().split()[1:9])
    used = user + nice + system + sum(others)
    return used, used + idle + wait


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def _cgroups() -> str:
    return "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"


def _filesystem(path: str) -> str:
    found = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout.strip()
    return {"ext2/ext3": "ext4"}.get(found, found or "?")


def version(program: str) -> str:
    """What a program says about itself."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found.group() if found else "?"
