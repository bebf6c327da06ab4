"""Changing the limits of a container that is there."""

from __future__ import annotations

import os
import sys

from pycontainer import cgroups
from pycontainer.errors import HostLacks, NotFound, UsageError
from pycontainer.oci import shape, stats
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.cgroups.resources import Resources
    from pycontainer.oci.state import Home

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
# option -> where it belongs below linux.resources
_PLACES = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "kernel-memory": ("memory", "kernel"),
    "kernel-memory-tcp": ("memory", "kernelTCP"),
    "pids-limit": ("pids", "limit"),
}


def asked(options: dict[str, Any]) -> Resources:
    """The limits that the command line asks for, from a file, from stdin, or one by one. Raises UsageError."""
    if source := options.get("resources"):
        try:
            if source == "-":
                document = sys.stdin.read()
            else:
                with open(source) as file:
                    document = file.read()
            given: Resources = shape.read(document, shape.RESOURCES, "linux.resources")
            return given
        except (OSError, ValueError) as error:
            raise UsageError(f"--resources {source}: {error}") from None
    found: dict[str, dict[str, Any]] = {}
    for option, (section, key) in _PLACES.items():
        if option in options:
            value = options[option]
            found.setdefault(section, {})[key] = _bytes(option, value) if "memory" in option else value
    for option in ("l3-cache-schema", "mem-bw-schema"):
        if options.get(option):
            raise HostLacks(f"--{option}: this host has no resctrl file system")
    return found  # type: ignore[return-value]


def _bytes(option: str, value: str) -> int:
    """``64m`` -> 67108864; -1 is unlimited."""
    number, unit = value.rstrip("bBkKmMgGtT"), value[len(value.rstrip("bBkKmMgGtT")) :].lower()
    unit = unit.removesuffix("b") if len(unit) > 1 else unit
    if not number.removeprefix("-").isdecimal() or unit not in _UNITS:
        raise UsageError(f"--{option} {value}: want a number of bytes, with k, m, g or t behind it if you like")
    return int(number) * _UNITS[unit]


def update(home: Home, name: str, resources: Resources) -> None:
    """Write the limits that ``resources`` names; the others stay. Raises PycError."""
    state = home.read(name)
    if home.status(state) == "stopped":
        raise NotFound("container not running")
    wanted: Resources = {**resources}
    wanted.pop("devices", None)  # engines send all they know; rules for devices do not change in a life
    group = cgroups.detect().group(state.cgroup, wanted)
    memory = wanted.get("memory") or {}
    if memory.get("checkBeforeUpdate") and (limit := memory.get("limit") or 0) > 0:
        used = stats.gather(state)["memory"]["usage"].get("usage", 0)
        if used > limit:
            raise UsageError(f"linux.resources.memory.checkBeforeUpdate: {used} bytes in use are more than {limit}")
    writes = [(f"{tree.directory}/{limit.file}", limit.value) for tree in group.trees for limit in tree.limits]
    for path, _ in writes:
        if not os.path.exists(path):
            raise HostLacks(f"container {name} was made without a cgroup for {os.path.basename(path)}")
    # Of two limits that depend on each other (memory, and memory with swap) the right one to begin with depends on
    # the values before: what is refused at first is tried again.
    refused = [(path, value) for path, value in writes if not _written(path, value)]
    for path, value in refused:
        if not _written(path, value):
            raise UsageError(f"{path}: the kernel does not take {value!r}")


def _written(path: str, value: str) -> bool:
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError:
        return False
    return True
