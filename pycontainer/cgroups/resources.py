"""What a container may use, as the runtime-spec 1.3 writes it (``linux.resources``, config-linux.md, Control groups).

Plain data with the names of its JSON; -1 means unlimited where a number is a limit. Import it for types only.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class Resources(TypedDict, total=False):
    """Limits kept by cgroups(7)."""

    devices: list[DeviceRule]
    memory: Memory
    cpu: CPU
    pids: Pids
    blockIO: BlockIO
    hugepageLimits: list[HugepageLimit]
    network: Network
    rdma: dict[str, Rdma]
    unified: dict[str, str]


class DeviceRule(TypedDict, total=False):
    """Allow or deny access to devices; a missing number means all."""

    allow: bool
    type: Literal["a", "c", "b"]
    major: int
    minor: int
    access: str


class Memory(TypedDict, total=False):
    """Bytes; -1 is unlimited. ``swap`` is memory and swap together."""

    limit: int
    reservation: int
    swap: int
    kernel: int
    kernelTCP: int
    swappiness: int
    disableOOMKiller: bool
    useHierarchy: bool
    checkBeforeUpdate: bool


class CPU(TypedDict, total=False):
    """Times in microseconds; ``cpus`` and ``mems`` are lists of cpuset(7)."""

    shares: int
    quota: int
    burst: int
    period: int
    realtimeRuntime: int
    realtimePeriod: int
    cpus: str
    mems: str
    idle: int


class Pids(TypedDict, total=False):
    """How many tasks; -1 is unlimited."""

    limit: int


class BlockIO(TypedDict, total=False):
    """Weights from 10 to 1000, rates per second."""

    weight: int
    leafWeight: int
    weightDevice: list[WeightDevice]
    throttleReadBpsDevice: list[ThrottleDevice]
    throttleWriteBpsDevice: list[ThrottleDevice]
    throttleReadIOPSDevice: list[ThrottleDevice]
    throttleWriteIOPSDevice: list[ThrottleDevice]


class WeightDevice(TypedDict, total=False):
    """A block device's weight."""

    major: int
    minor: int
    weight: int
    leafWeight: int


class ThrottleDevice(TypedDict, total=False):
    """A block device's rate: bytes or operations per second."""

    major: int
    minor: int
    rate: int


class HugepageLimit(TypedDict, total=False):
    """A limit in bytes for pages of a size such as 2MB."""

    pageSize: str
    limit: int


class Network(TypedDict, total=False):
    """net_cls and net_prio of cgroup v1."""

    classID: int
    priorities: list[NetworkPriority]


class NetworkPriority(TypedDict, total=False):
    """The priority of packets leaving by an interface."""

    name: str
    priority: int


class Rdma(TypedDict, total=False):
    """Limits of one RDMA device."""

    hcaHandles: int
    hcaObjects: int
