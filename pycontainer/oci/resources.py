"""From limits as flags to the runtime-spec's ``linux.resources``. A limit that was not asked for is left out."""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci import security
from pycontainer.oci.grammar.devices import DeviceMapping
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycontainer.cgroups.resources import CPU, BlockIO, DeviceRule, Memory, Resources, ThrottleDevice
    from pycontainer.oci.grammar.devices import DeviceRate
    from pycontainer.oci.options import ContainerOptions
    from pycontainer.oci.spec import Device

CPU_PERIOD = 100_000
"""The kernel's default period of CPU bandwidth in microseconds; --cpus is counted in it."""


class HostDevice(Record):
    """A device node of the host. ``type`` is ``b`` or ``c``; ``mode`` the permission bits."""

    path: str
    type: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


def resources(
    options: ContainerOptions, devices: Mapping[str, Iterable[HostDevice]], *, cpus: int, swap: bool
) -> Resources:
    """The limits of a container.

    Args:
        options: what was asked for.
        devices: for each host path among the options, the nodes there.
        cpus: how many CPUs the host has.
        swap: whether swap can be limited; then memory alone means as much swap again, as in docker.

    Raises UsageError for a limit that this host can't mean.
    """
    result: Resources = {"devices": _device_rules(options, devices)}
    if memory := _memory(options, swap):
        result["memory"] = memory
    if cpu := _cpu(options, cpus):
        result["cpu"] = cpu
    if options.pids_limit > 0:
        result["pids"] = {"limit": options.pids_limit}
    if block := _block_io(options, devices):
        result["blockIO"] = block
    return result


def _memory(options: ContainerOptions, swap: bool) -> Memory:
    memory: Memory = {}
    if options.memory:
        memory["limit"] = options.memory
    if options.memory_swap:
        memory["swap"] = options.memory_swap
    elif options.memory and swap:
        memory["swap"] = 2 * options.memory
    if options.memory_reservation:
        memory["reservation"] = options.memory_reservation
    if options.memory_swappiness is not None:
        memory["swappiness"] = options.memory_swappiness
    if options.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(options: ContainerOptions, cpus: int) -> CPU:
    cpu: CPU = {}
    if options.nano_cpus:
        if not 10_000_000 <= options.nano_cpus <= cpus * 1_000_000_000:
            raise UsageError(f"--cpus: must be from 0.01 to {cpus}, the CPUs of this host")
        cpu["period"], cpu["quota"] = CPU_PERIOD, options.nano_cpus * CPU_PERIOD // 1_000_000_000
    if options.cpu_period:
        cpu["period"] = options.cpu_period
    if options.cpu_quota:
        cpu["quota"] = options.cpu_quota
    if options.cpu_shares:
        cpu["shares"] = options.cpu_shares
    if options.cpu_rt_period:
        cpu["realtimePeriod"] = options.cpu_rt_period
    if options.cpu_rt_runtime:
        cpu["realtimeRuntime"] = options.cpu_rt_runtime
    if options.cpuset_cpus:
        cpu["cpus"] = options.cpuset_cpus
    if options.cpuset_mems:
        cpu["mems"] = options.cpuset_mems
    return cpu


def _block_io(options: ContainerOptions, devices: Mapping[str, Iterable[HostDevice]]) -> BlockIO:
    block: BlockIO = {}
    if options.blkio_weight:
        block["weight"] = options.blkio_weight
    if options.blkio_weight_device:
        numbers = [(_block_device(item.path, devices), item.rate) for item in options.blkio_weight_device]
        block["weightDevice"] = [{"major": d.major, "minor": d.minor, "weight": weight} for d, weight in numbers]

    def throttle(rates: Iterable[DeviceRate]) -> list[ThrottleDevice]:
        numbers = [(_block_device(item.path, devices), item.rate) for item in rates]
        return [{"major": d.major, "minor": d.minor, "rate": rate} for d, rate in numbers]

    if options.device_read_bps:
        block["throttleReadBpsDevice"] = throttle(options.device_read_bps)
    if options.device_write_bps:
        block["throttleWriteBpsDevice"] = throttle(options.device_write_bps)
    if options.device_read_iops:
        block["throttleReadIOPSDevice"] = throttle(options.device_read_iops)
    if options.device_write_iops:
        block["throttleWriteIOPSDevice"] = throttle(options.device_write_iops)
    return block


def _block_device(path: str, devices: Mapping[str, Iterable[HostDevice]]) -> HostDevice:
    for device in devices.get(path, ()):
        if device.type == "b":
            return device
    raise UsageError(f"{path} is not a block device")


# --- devices ----------------------------------------------------------------------------------------------------------


def device_nodes(options: ContainerOptions, devices: Mapping[str, Iterable[HostDevice]]) -> list[Device]:
    """The nodes to make beyond the default ones: a directory brings all that are in it, --privileged all of /dev."""
    nodes: list[Device] = []
    ready = {device.path for device in security.DEFAULT_DEVICES} | {"/dev/ptmx"}
    everything = [DeviceMapping("/dev", "/dev", "rwm")] if options.privileged else []
    for mapping in (*everything, *options.devices):
        for device in devices.get(mapping.host, ()):
            if mapping in everything and device.path in ready:
                continue
            path = mapping.container + device.path.removeprefix(mapping.host)
            nodes.append(
                {
                    "type": "b" if device.type == "b" else "c",
                    "path": path,
                    "major": device.major,
                    "minor": device.minor,
                    "fileMode": device.mode,
                    "uid": device.uid,
                    "gid": device.gid,
                }
            )
    return nodes


def _device_rules(options: ContainerOptions, devices: Mapping[str, Iterable[HostDevice]]) -> list[DeviceRule]:
    if options.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[DeviceRule] = [*security.device_rules()]
    for mapping in options.devices:
        for device in devices.get(mapping.host, ()):
            rules.append(_rule(device.type, device.major, device.minor, mapping.access))
    for rule in options.device_cgroup_rules:
        rules.append(_rule(rule.type, rule.major, rule.minor, rule.access))
    return rules


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> DeviceRule:
    rule: DeviceRule = {"allow": True, "access": access}
    if kind != "a":
        rule["type"] = "b" if kind == "b" else "c"
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule
