"""Limits in the files of cgroup v2: one function per controller (Documentation/admin-guide/cgroup-v2.rst).

The runtime-spec, like docker's flags, counts in the units of v1; what differs in v2 is converted here.
"""

from __future__ import annotations

from math import ceil, log2

from pycontainer.cgroups import v1
from pycontainer.cgroups.limit import Limit, Look, check_list, section
from pycontainer.errors import HostLacks, UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.cgroups.limit import Table
    from pycontainer.cgroups.resources import Resources

# Files that a kernel, or its configuration, may lack.
OPTIONAL = ("memory.swap.max", "cpu.max", "cpu.max.burst", "cpu.idle", "io.weight", "io.bfq.weight", "io.max")


def _maximum(number: int) -> str:
    return "max" if number < 0 else str(number)


def memory(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """memory.max is memory.limit_in_bytes, but memory.swap.max counts swap alone where v1 counts both together."""
    asked = section(resources, "memory")
    for key in ("swappiness", "disableOOMKiller", "kernelTCP"):
        if asked.get(key):
            option = Limit("", "", f"memory.{key}").option
            raise HostLacks(f"{option}: cgroup v2, which this host uses, has no such setting")
    limit, swap = asked.get("limit", 0), asked.get("swap", 0)
    limits = [Limit("memory.max", _maximum(limit), "memory.limit")] if limit else []
    if swap:
        limits.append(Limit("memory.swap.max", swap_alone(limit, swap), "memory.swap"))
    if asked.get("reservation"):
        limits.append(Limit("memory.low", _maximum(asked["reservation"]), "memory.reservation"))
    return limits


def swap_alone(limit: int, both: int) -> str:
    """memory.swap.max, from the limits of memory and of memory and swap together. Raises UsageError."""
    if both < 0:
        return "max"
    if limit <= 0 or both < limit:
        raise UsageError("--memory-swap is memory plus swap, so it can't be less than --memory, which it needs")
    return str(both - limit)


def weight_of_shares(shares: int) -> int:
    """cpu.weight (1-10000, usually 100) from v1's shares (2-262144, usually 1024).

    Both scales span powers, so this is a parabola in the logarithms through three points: the smallest value of each,
    the largest, and the usual one. That is the formula of the OCI runtimes since 2025; the line they used before turned
    the usual 1024 into 39, less than what every other process of the host has.
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def cpu(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """Quota and period are one line, ``cpu.max``."""
    asked = section(resources, "cpu")
    if asked.get("realtimeRuntime") or asked.get("realtimePeriod"):
        raise HostLacks("--cpu-rt-runtime and --cpu-rt-period: cgroup v2, which this host uses, has no such setting")
    limits = []
    if asked.get("shares"):
        limits.append(Limit("cpu.weight", str(weight_of_shares(asked["shares"])), "cpu.shares"))
    if asked.get("quota") or asked.get("period"):
        quota, period = asked.get("quota") or -1, asked.get("period") or 100_000
        key = "cpu.quota" if asked.get("quota") else "cpu.period"
        limits.append(Limit("cpu.max", f"{_maximum(quota)} {period}", key))
    if asked.get("burst"):
        limits.append(Limit("cpu.max.burst", str(asked["burst"]), "cpu.burst"))
    if asked.get("idle"):
        limits.append(Limit("cpu.idle", str(asked["idle"]), "cpu.idle"))
    return limits


def cpuset(resources: Resources, mount: str, look: Look) -> list[Limit]:
    """Empty files mean "as above"."""
    asked = section(resources, "cpu")
    limits = [Limit(f"cpuset.{key}", asked[key], f"cpu.{key}") for key in ("cpus", "mems") if asked.get(key)]
    for limit in limits:
        check_list(limit.option, limit.value, look.read(f"{mount}/{limit.file}.effective") or "")
    return limits


def io(resources: Resources, mount: str, look: Look) -> list[Limit]:
    """All rates are in ``io.max``. BFQ's weights have v1's scale, those of io.cost go from 1 to 10000."""
    asked = section(resources, "blockIO")
    limits = []
    if asked.get("weight") or asked.get("weightDevice"):
        limits += _io_weights(resources, bfq=has_file(mount, "io.bfq.weight", look) is True)
    files = (
        ("throttleReadBpsDevice", "rbps"),
        ("throttleWriteBpsDevice", "wbps"),
        ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"),
    )
    for key, word in files:
        for rate in asked.get(key) or ():
            line = f"{rate['major']}:{rate['minor']} {word}={rate['rate'] or 'max'}"
            limits.append(Limit("io.max", line, f"blockIO.{key}"))
    return limits


def _io_weights(resources: Resources, *, bfq: bool) -> list[Limit]:
    asked = section(resources, "blockIO")
    file = "io.bfq.weight" if bfq else "io.weight"

    def scaled(weight: int) -> int:
        return weight if bfq else 1 + (weight - 10) * 9999 // 990

    limits = []
    if asked.get("weight"):
        limits.append(Limit(file, f"default {scaled(asked['weight'])}", "blockIO.weight"))
    for device in asked.get("weightDevice") or ():
        line = f"{device['major']}:{device['minor']} {scaled(device['weight'])}"
        limits.append(Limit(file, line, "blockIO.weightDevice"))
    return limits


def hugetlb(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """hugetlb.<size>.max."""
    asked = resources.get("hugepageLimits") or ()
    return [Limit(f"hugetlb.{item['pageSize']}.max", str(item["limit"]), "hugepageLimits") for item in asked]


LIMITS: Table = {
    "memory": memory,
    "pids": v1.pids,
    "cpu": cpu,
    "cpuset": cpuset,
    "blkio": io,
    "hugetlb": hugetlb,
    "rdma": v1.rdma,
}


def has_file(mount: str, file: str, look: Look) -> bool | None:
    """Whether cgroups of this kernel have ``file``, judged by the ones that exist; None when none can tell.

    The root has hardly any of them, so its children are asked.
    """
    absent: bool | None = None
    for name in look.children(mount):
        if look.read(f"{mount}/{name}/{file}") is not None:
            return True
        if file.split(".")[0] in (look.read(f"{mount}/{name}/cgroup.controllers") or "").split():
            absent = False
    return absent
