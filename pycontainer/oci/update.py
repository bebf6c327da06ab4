"""Changing the limits of a container that is there."""

from __future__ import annotations

import sys

from pycontainer import cgroups
from pycontainer.cgroups.adjust import adjust
from pycontainer.errors import HostLacks, NotFound, UsageError
from pycontainer.light import suppress
from pycontainer.oci import shape, stats
from pycontainer.oci.control import NO_CGROUP
from pycontainer.oci.failures import by_its_field
from pycontainer.oci.grammar.numbers import size_or_unlimited
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.cgroups.resources import Resources
    from pycontainer.oci.spec import Spec
    from pycontainer.oci.state import Home, State

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
    try:
        return size_or_unlimited(value)
    except UsageError as error:
        raise UsageError(f"--{option} {value}: {error.message}") from None


def update(home: Home, name: str, resources: Resources) -> None:
    """Write the limits that ``resources`` names; the others stay. Raises PycError."""
    state = home.read(name)
    if home.status(state) == "stopped":
        raise NotFound("container not running")
    if not state.cgroups:
        raise HostLacks(NO_CGROUP.format(name))
    wanted: Resources = {**resources}
    wanted.pop("devices", None)  # engines send all they know; rules for devices do not change in a life
    with by_its_field():
        group = cgroups.detect().group(state.cgroup, wanted)
        _check(state, wanted)
        adjust(state.cgroups, group)
    if (wanted.get("pids") or {}).get("limit", 0) < 0:
        _free_tasks(state)
    # Who enters later goes where the others are, and whoever removes it finds all of it.
    home.write(state._replace(cgroups=tuple(dict.fromkeys((*state.cgroups, *group.directories)))))
    home.write_spec(name, _merged(home.spec(name), wanted))


def _check(state: State, wanted: Resources) -> None:
    memory = wanted.get("memory") or {}
    if memory.get("checkBeforeUpdate") and (limit := memory.get("limit") or 0) > 0:
        used = stats.gather(state)["memory"]["usage"].get("usage", 0)
        if used > limit:
            raise UsageError(f"linux.resources.memory.checkBeforeUpdate: {used} bytes in use are more than {limit}")


def _free_tasks(state: State) -> None:
    """The number of tasks has a word for "any", which -1 stands for."""
    for directory in state.cgroups:
        with suppress(FileNotFoundError), open(f"{directory}/pids.max", "r+") as file:
            file.write("max")


def _merged(spec: Spec, wanted: Resources) -> Spec:
    before: dict[str, Any] = spec["linux"].get("resources") or {}  # type: ignore[assignment]
    now: dict[str, Any] = {
        section: {**before.get(section, {}), **value} if isinstance(value, dict) else value
        for section, value in wanted.items()
    }
    return {**spec, "linux": {**spec["linux"], "resources": before | now}}  # type: ignore[typeddict-item]
