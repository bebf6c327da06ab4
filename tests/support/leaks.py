"""What a container engine can leave on a host: mounts, cgroups, links, network namespaces, nftables, processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time

from tests.support.host import PATIENCE

OURS = ("pyc", "pytest-of-")
PARENTS = ("/pyc", "/pyc/monitors")  # stay once they are made, as a directory of configuration does


def snapshot() -> frozenset[str]:
    """One line for each thing on this host that may be ours."""
    return frozenset([*_mounts(), *_cgroups(), *_network(), *_processes()])


def leaks(before: frozenset[str], grace: float = 5) -> list[str]:
    """What is here now and was not ``before``; what is only on its way out has ``grace`` seconds to go."""
    deadline = time.monotonic() + grace * PATIENCE
    while (left := snapshot() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return sorted(left)


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo") as file:
        return [f"mount {line.split()[4]} ({line.split()[0]})" for line in file if any(mark in line for mark in OURS)]


def _cgroups() -> list[str]:
    return [f"cgroup {top}" for top, _, _ in os.walk("/sys/fs/cgroup") if "pyc" in top and not top.endswith(PARENTS)]


def remove_empty_parents() -> None:
    """Remove the ``pyc`` cgroups that no container is in any more; the engine makes them again when it needs them."""
    for top, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if top.endswith(PARENTS):
            with contextlib.suppress(OSError):
                os.rmdir(top)


def _network() -> list[str]:
    links = [f"link {name}" for name in os.listdir("/sys/class/net")]
    names = [f"netns {entry.path}" for entry in os.scandir("/run/netns")] if os.path.isdir("/run/netns") else []
    tables = []
    if (nft := shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")) and os.geteuid() == 0:
        listed = subprocess.run([nft, "list", "tables"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        tables = ["nftables " + line for line in listed.stdout.splitlines()]
    return links + names + tables


def _processes() -> list[str]:
    """Every process that is the performer or monitor (their executable is a memfd of ours) or a ``pyc`` command."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            executable = os.readlink(f"/proc/{pid}/exe")
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended, or it is a kernel thread
        if executable.startswith("/memfd:pyc") or any(
            os.path.basename(word) in ("pyc", "pyc-oci") for word in argv[:3]
        ):
            found.append(f"process {pid} {' '.join(argv)[:120].strip() or executable}")
    return found
