"""What a figure was measured on, without what would tell one machine of a kind from another."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time

_VERSIONS = {
    "podman": ("podman", "--version"),
    "docker": ("dockerd", "--version"),
    "containerd": ("containerd", "--version"),
    "runc": ("runc", "--version"),
    "crun": ("crun", "--version"),
    "bwrap": ("bwrap", "--version"),
    "skopeo": ("skopeo", "--version"),
}


def described() -> dict[str, str]:
    """Field -> value, for a table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    with open("/etc/os-release") as file:
        system = next((line.split("=")[1].strip().strip('"') for line in file if line.startswith("PRETTY_NAME=")), "?")
    peers = [f"{name} {found}" for name, argv in _VERSIONS.items() if (found := _version(argv))]
    return {
        "measured on": time.strftime("%Y-%m-%d"),
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{system}, Linux {re.sub(r'-.*', '', platform.release())}, cgroup {_cgroups()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "peers": ", ".join(peers),
    }


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def _cgroups() -> str:
    return "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"


def _version(argv: tuple[str, ...]) -> str:
    if shutil.which(argv[0]) is None:
        return ""
    said = subprocess.run(argv, capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found.group() if found else ""
