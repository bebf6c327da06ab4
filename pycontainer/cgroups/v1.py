"""Limits in the files of cgroup v1: one function per controller (Documentation/admin-guide/cgroup-v1/)."""

from __future__ import annotations

from pycontainer.cgroups.limit import Limit, Look, check_list, section
from pycontainer.errors import HostLacks
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainer.cgroups.limit import Table
    from pycontainer.cgroups.resources import Resources

# Files that exist in every cgroup but the root, where we look for what this kernel has.
NOT_IN_ROOT = ("pids.max", "blkio.bfq.weight", "blkio.bfq.weight_device", "rdma.max")


def memory(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """The limit comes before the one for memory and swap together, which may never be the smaller one (memory.rst)."""
    asked = section(resources, "memory")
    files = (
        ("limit", "memory.limit_in_bytes"),
        ("swap", "memory.memsw.limit_in_bytes"),
        ("reservation", "memory.soft_limit_in_bytes"),
        ("kernelTCP", "memory.kmem.tcp.limit_in_bytes"),
    )
    limits = [Limit(file, str(asked[key]), f"memory.{key}") for key, file in files if asked.get(key)]
    if asked.get("swappiness") is not None:
        limits.append(Limit("memory.swappiness", str(asked["swappiness"]), "memory.swappiness"))
    if asked.get("disableOOMKiller"):
        limits.append(Limit("memory.oom_control", "1", "memory.disableOOMKiller"))
    return limits


def cpu(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """A period comes before what is counted in it (sched-bwc.rst, sched-rt-group.rst)."""
    asked = section(resources, "cpu")
    files = (
        ("shares", "cpu.shares"),
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
        ("idle", "cpu.idle"),
    )
    return [Limit(file, str(asked[key]), f"cpu.{key}") for key, file in files if asked.get(key)]


def cpuset(resources: Resources, mount: str, look: Look) -> list[Limit]:
    """A v1 cpuset begins empty and takes nobody in until it has both CPUs and memory nodes (cpusets.rst)."""
    asked = section(resources, "cpu")
    if not (asked.get("cpus") or asked.get("mems")):
        return []
    limits = []
    for key in ("cpus", "mems"):
        here = (look.read(f"{mount}/cpuset.{key}") or "").strip()
        limits.append(Limit(f"cpuset.{key}", asked.get(key) or here, f"cpu.{key}"))
        check_list(limits[-1].option, limits[-1].value, here)
    return limits


def pids(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """pids.rst."""
    limit = section(resources, "pids").get("limit") or 0
    return [Limit("pids.max", str(limit), "pids.limit")] if limit > 0 else []


def blkio(resources: Resources, mount: str, look: Look) -> list[Limit]:
    """Weights work with the BFQ scheduler, rates with all (blkio-controller.rst)."""
    asked = section(resources, "blockIO")
    limits = []
    if asked.get("weight") or asked.get("weightDevice"):
        bfq = look.read(f"{mount}/blkio.bfq.io_service_bytes") is not None
        if not bfq and look.read(f"{mount}/blkio.weight") is None:
            raise HostLacks(
                "--blkio-weight: this kernel has no I/O scheduler that knows weights (CONFIG_BFQ_GROUP_IOSCHED)"
            )
        prefix = "blkio.bfq.weight" if bfq else "blkio.weight"
        if asked.get("weight"):
            limits.append(Limit(prefix, str(asked["weight"]), "blockIO.weight"))
        for device in asked.get("weightDevice") or ():
            line = f"{device['major']}:{device['minor']} {device['weight']}"
            limits.append(Limit(f"{prefix}_device", line, "blockIO.weightDevice"))
    files = (
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
    )
    for key, file in files:
        for rate in asked.get(key) or ():
            limits.append(Limit(file, f"{rate['major']}:{rate['minor']} {rate['rate']}", f"blockIO.{key}"))
    return limits


def hugetlb(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """hugetlb.rst."""
    asked = resources.get("hugepageLimits") or ()
    return [Limit(f"hugetlb.{item['pageSize']}.limit_in_bytes", str(item["limit"]), "hugepageLimits") for item in asked]


def rdma(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """The same file in v1 and v2 (rdma.rst)."""
    limits = []
    for device, asked in (resources.get("rdma") or {}).items():
        words = [device]
        if "hcaHandles" in asked:
            words.append(f"hca_handle={asked['hcaHandles']}")
        if "hcaObjects" in asked:
            words.append(f"hca_object={asked['hcaObjects']}")
        limits.append(Limit("rdma.max", " ".join(words), "rdma"))
    return limits


def net_cls(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """net_cls.rst."""
    classid = section(resources, "network").get("classID")
    return [Limit("net_cls.classid", str(classid), "network.classID")] if classid else []


def net_prio(resources: Resources, _mount: str, _look: Look) -> list[Limit]:
    """net_prio.rst."""
    asked = section(resources, "network").get("priorities") or ()
    return [Limit("net_prio.ifpriomap", f"{item['name']} {item['priority']}", "network.priorities") for item in asked]


LIMITS: Table = {
    "memory": memory,
    "pids": pids,
    "cpu": cpu,
    "cpuset": cpuset,
    "blkio": blkio,
    "hugetlb": hugetlb,
    "rdma": rdma,
    "net_cls": net_cls,
    "net_prio": net_prio,
}


# --- what must be written above the container's own cgroup ------------------------------------------------------------


def cpuset_above(limits: Sequence[Limit], mount: str, parents: Sequence[str], look: Look) -> list[tuple[str, Limit]]:
    """Copy down CPUs and memory nodes where a directory above has none yet."""
    if not any(limit.file.startswith("cpuset.") for limit in limits):
        return []
    above = []
    for key in ("cpus", "mems"):
        inherited = (look.read(f"{mount}/cpuset.{key}") or "").strip()
        for directory in parents:
            own = (look.read(f"{directory}/cpuset.{key}") or "").strip()
            if not own:
                above.append((directory, Limit(f"cpuset.{key}", inherited, f"cpu.{key}")))
            inherited = own or inherited
    return above


def realtime_above(limits: Sequence[Limit], parents: Sequence[str], look: Look) -> list[tuple[str, Limit]]:
    """Raise the realtime budget of the directories above to the sum of what is below (sched-rt-group.rst)."""
    asked = next((int(limit.value) for limit in limits if limit.file == "cpu.rt_runtime_us"), 0)
    above = []
    for directory in parents if asked > 0 else ():
        taken = sum(int(look.read(f"{directory}/{name}/cpu.rt_runtime_us") or 0) for name in look.children(directory))
        if int(look.read(f"{directory}/cpu.rt_runtime_us") or 0) < taken + asked:
            above.append((directory, Limit("cpu.rt_runtime_us", str(taken + asked), "cpu.realtimeRuntime")))
    return above
