"""What of one ``pyc`` is on the host and belongs to no container that it lists."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

from tests.support.cli import Pyc
from tests.support.host import PATIENCE
from tests.support.hosts import Namespace

PORT = 18080
"""Of the host: what tests publish."""


def remains(pyc: Pyc, host: Namespace, parent: str, grace: float = 3) -> list[str]:
    """Whatever is there once ``pyc ps -a`` has been called, which is the command that repairs.

    Args:
        host: the network namespace that it runs in, which nobody else uses.
        parent: the cgroup that all its containers are made in, which nobody else uses.
        grace: seconds for what is on its way out: a monitor whose container ends, and what it becomes.
    """
    deadline = time.monotonic() + grace * PATIENCE
    while (found := _remains(pyc, host, parent)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _remains(pyc: Pyc, host: Namespace, parent: str) -> list[str]:
    lines = pyc("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}} {{.Names}}").ok().lines
    every = {line.split()[0] for line in lines}
    live = {line.split()[0] for line in lines if line.split()[1] in ("running", "paused", "restarting")}
    return [
        *_directories(pyc, every, live),
        *_names(pyc, every),
        *_addresses(pyc, live),
        *_ranges(pyc, live),
        *(f"link {name}" for name in _cables(host) if not any(one.startswith(name[2:10]) for one in live)),
        *(f"cgroup {path}" for path in _cgroups(parent) if not any(one in path for one in live)),
        *([] if live else [f"process {pid}" for pid in processes(pyc, parent)]),
        *([] if live or str(PORT) not in host.ok("nft", "list", "ruleset") else [f"port {PORT}"]),
        *mounts(pyc),
    ]


def _directories(pyc: Pyc, every: set[str], live: set[str]) -> Iterator[str]:
    for place, known in (("containers", every), ("trash", set()), ("tmp", set())):
        yield from (f"{place}/{name}" for name in entries(f"{pyc.root}/{place}") - known if not _waits(name))
    yield from (f"live state {name}" for name in entries(f"{pyc.runroot}/containers") - live)
    for name in entries(f"{pyc.root}/volumes"):
        if len(name) == 64 and not any(name.startswith(one[:56]) for one in every):
            yield f"volume {name}"


def _waits(name: str) -> bool:
    """What a pull that goes on needs, and small files that are swept after a minute."""
    return name.startswith(("blob.", "file.", "layer."))


def _names(pyc: Pyc, every: set[str]) -> Iterator[str]:
    for name in entries(f"{pyc.root}/names"):
        if os.readlink(f"{pyc.root}/names/{name}").rpartition("/")[2] not in every:
            yield f"name {name}"


def _addresses(pyc: Pyc, live: set[str]) -> Iterator[str]:
    for top, _, names in os.walk(f"{pyc.runroot}/networks"):
        for name in names:
            path = f"{top}/{name}"
            if os.path.islink(path) and not name.startswith(".last") and os.readlink(path) not in live:
                yield f"address {name} of {os.readlink(path)[:12]}"


def _ranges(pyc: Pyc, live: set[str]) -> Iterator[str]:
    """Of user ids. Each container that lives has one at most."""
    owners = [os.readlink(f"{pyc.runroot}/users/{name}") for name in entries(f"{pyc.runroot}/users") if name.isdigit()]
    yield from (f"user ids of {owner}" for owner in owners if owner not in live or owners.count(owner) > 1)


def _cables(host: Namespace) -> list[str]:
    words = [line.split() for line in host.ok("ip", "-o", "link", "show", "type", "veth").splitlines()]
    return [name.partition("@")[0] for _, name, *_ in words if name.startswith("pv")]


def _cgroups(parent: str) -> list[str]:
    return [top for top, _, _ in os.walk("/sys/fs/cgroup") if f"/{parent}/" in top]


def processes(pyc: Pyc, name: str) -> Iterator[int]:
    """Monitors: where their container's live state is, or was, is their working directory; or they have its name."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                named = file.read().startswith(f"pyc-monitor\0{name}")
            if named or os.readlink(f"/proc/{pid}/cwd").startswith(pyc.runroot):
                yield int(pid)
        except OSError:
            continue


def mounts(pyc: Pyc) -> list[str]:
    """Mounts of the host in the state's directories."""
    with open("/proc/self/mountinfo") as file:
        return [f"mount {line.split()[4]}" for line in file if pyc.root in line or pyc.runroot in line]


def entries(path: str) -> set[str]:
    """The names in a directory; none if it is not there."""
    try:
        return set(os.listdir(path))
    except FileNotFoundError:
        return set()


def remove_cgroups(parent: str) -> None:
    """The parent itself, which an engine leaves there as a directory of configuration."""
    for top, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if top.endswith(f"/{parent}"):
            subprocess.run(["rmdir", top], check=False, capture_output=True)
