"""A limit as the kernel takes it: one line of text for one file of a cgroup."""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from pycontainer.cgroups.resources import Resources

    # For each controller, by its v1 name, what finds its limits among resources, given where its hierarchy is mounted
    Table = dict[str, Callable[[Resources, str, "Look"], list["Limit"]]]


class Limit(Record):
    """One line for one file.

    Attributes:
        file: in the cgroup's directory, for example ``memory.max``.
        value: what is written to it.
        key: what asked for it: its place below ``linux.resources`` in the runtime-spec.
    """

    file: str
    value: str
    key: str

    @property
    def line(self) -> tuple[str, str]:
        """What is written, and where."""
        return self.file, self.value

    @property
    def option(self) -> str:
        """What a user calls it: docker's flag, or the runtime-spec's key where no flag leads there."""
        return OPTIONS.get(self.key, f"linux.resources.{self.key}")


class Look:
    """How what is there already is looked at; a test overrides it with a host that this one is not."""

    def read(self, path: str) -> str | None:
        """The text of a small file; None where there is none or it can't be read."""
        try:
            with open(path, "rb", buffering=0) as file:
                return file.read().decode("utf-8", "surrogateescape")
        except OSError:
            return None

    def children(self, path: str) -> list[str]:
        """The directories in a directory."""
        try:
            with os.scandir(path) as entries:
                return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []


def section(resources: Resources, name: str) -> Mapping[str, Any]:
    """One object of ``linux.resources``, for names that the types can not know; {} where it is missing."""
    return resources.get(name) or {}  # type: ignore[return-value]


def check_list(option: str, asked: str, available: str) -> None:
    """Refuse CPUs or memory nodes that this host does not have; both are lists of cpuset(7). Raises UsageError."""
    have, want = _ranges(available), _ranges(asked)
    if have and want and not all(any(low <= first and last <= high for low, high in have) for first, last in want):
        raise UsageError(f"{option} {asked}: this host has {available.strip()}")


def _ranges(text: str) -> list[tuple[int, int]]:
    """``0-3,8`` as pairs; none where it is written in another of the kernel's ways."""
    pairs = []
    for item in text.strip().split(","):
        first, _, last = item.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            return []
        pairs.append((int(first), int(last or first)))
    return pairs


OPTIONS = {
    "memory.limit": "--memory",
    "memory.swap": "--memory-swap",
    "memory.reservation": "--memory-reservation",
    "memory.swappiness": "--memory-swappiness",
    "memory.disableOOMKiller": "--oom-kill-disable",
    "cpu.shares": "--cpu-shares",
    "cpu.quota": "--cpu-quota",
    "cpu.period": "--cpu-period",
    "cpu.realtimeRuntime": "--cpu-rt-runtime",
    "cpu.realtimePeriod": "--cpu-rt-period",
    "cpu.cpus": "--cpuset-cpus",
    "cpu.mems": "--cpuset-mems",
    "pids.limit": "--pids-limit",
    "blockIO.weight": "--blkio-weight",
    "blockIO.weightDevice": "--blkio-weight-device",
    "blockIO.throttleReadBpsDevice": "--device-read-bps",
    "blockIO.throttleWriteBpsDevice": "--device-write-bps",
    "blockIO.throttleReadIOPSDevice": "--device-read-iops",
    "blockIO.throttleWriteIOPSDevice": "--device-write-iops",
    "devices": "the device rules",
}
