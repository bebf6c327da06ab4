"""``HostConfig`` of a container, as docker's inspect has it: what was asked of the host for it (Engine API)."""

from __future__ import annotations

from pycontainer.engine import users
from pycontainer.engine.recall import recalled
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.oci.grammar.devices import DeviceRate, DeviceRule
    from pycontainer.oci.grammar.mounts import Mount
    from pycontainer.oci.options import ContainerOptions

    Document = dict[str, Any]


def host_config(container: Container, spec: Document) -> Document:
    """From the options, and from the spec what the host has made of them."""
    asked = recalled(container.options)
    linux = spec.get("linux", {})
    return {
        "Binds": [_bind(mount) for mount in asked.mounts if mount.type in ("bind", "volume")] or None,
        "ContainerIDFile": container.options.get("cidfile", ""),
        "LogConfig": {"Type": asked.log_driver or "json-file", "Config": dict(asked.log_opts)},
        "NetworkMode": network_mode(asked),
        "PortBindings": port_bindings(asked),
        "RestartPolicy": _restart_policy(asked.restart or "no"),
        "AutoRemove": container.rm,
        "VolumeDriver": "",
        "VolumesFrom": [f"{name}:ro" if readonly else name for name, readonly in asked.volumes_from] or None,
        "ConsoleSize": [0, 0],
        "Annotations": dict(asked.annotations),
        "CapAdd": list(asked.cap_add) or None,
        "CapDrop": list(asked.cap_drop) or None,
        "CgroupnsMode": asked.cgroupns or "private",
        "Dns": list(asked.dns),
        "DnsOptions": list(asked.dns_option),
        "DnsSearch": list(asked.dns_search),
        "ExtraHosts": [f"{name}:{address}" for name, address in asked.add_host] or None,
        "GroupAdd": list(asked.group_add) or None,
        "IpcMode": asked.ipc or "private",
        "Cgroup": "",
        "Links": [f"/{other}:/{container.name}/{name}" for one in asked.endpoints for other, name in one.links] or None,
        "OomScoreAdj": asked.oom_score_adj,
        "PidMode": asked.pid,
        "Privileged": asked.privileged,
        "PublishAllPorts": asked.publish_all,
        "ReadonlyRootfs": asked.read_only,
        "SecurityOpt": _security(asked, spec) or None,
        "Tmpfs": {mount.target: ",".join(mount.options) for mount in asked.mounts if mount.type == "tmpfs"},
        "UTSMode": asked.uts,
        **_users(asked, linux),
        "ShmSize": asked.shm_size,
        "Sysctls": linux.get("sysctl", {}),
        "Runtime": "pyc",
        "Isolation": "",
        **_resources(asked, linux.get("resources", {})),
        "Ulimits": [
            {"Name": limit["type"].removeprefix("RLIMIT_").lower(), "Hard": limit["hard"], "Soft": limit["soft"]}
            for limit in spec.get("process", {}).get("rlimits", ())
        ],
        "MaskedPaths": linux.get("maskedPaths", []),
        "ReadonlyPaths": linux.get("readonlyPaths", []),
        "Init": asked.init,
    }


def _users(asked: ContainerOptions, linux: Document) -> Document:
    """Whose ids its ids are, as podman writes them (inside:outside:how many); or why they are the host's."""
    if maps := linux.get("uidMappings"):
        ids = [f"{each['containerID']}:{each['hostID']}:{each['size']}" for each in maps]
        return {"UsernsMode": "private", "IDMappings": {"UidMap": ids, "GidMap": ids}}
    why = users.why_not(asked) or "an id above 65535, or a filesystem or kernel that can't map ids"
    return {"UsernsMode": "host", "UsernsReason": why}


def _resources(asked: ContainerOptions, limits: Document) -> Document:
    """The limits. Docker counts --cpus in billionths, the kernel in a quota for each period."""
    memory, cpu, block = limits.get("memory", {}), limits.get("cpu", {}), limits.get("blockIO", {})
    return {
        "CpuShares": cpu.get("shares", 0),
        "Memory": memory.get("limit", 0),
        "NanoCpus": asked.nano_cpus,
        "CgroupParent": asked.cgroup_parent,
        "BlkioWeight": block.get("weight", 0),
        "BlkioWeightDevice": [{"Path": each.path, "Weight": each.rate} for each in asked.blkio_weight_device],
        "BlkioDeviceReadBps": _rates(asked.device_read_bps),
        "BlkioDeviceWriteBps": _rates(asked.device_write_bps),
        "BlkioDeviceReadIOps": _rates(asked.device_read_iops),
        "BlkioDeviceWriteIOps": _rates(asked.device_write_iops),
        "CpuPeriod": 0 if asked.nano_cpus else cpu.get("period", 0),
        "CpuQuota": 0 if asked.nano_cpus else cpu.get("quota", 0),
        "CpuRealtimePeriod": cpu.get("realtimePeriod", 0),
        "CpuRealtimeRuntime": cpu.get("realtimeRuntime", 0),
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "Devices": [
            {"PathOnHost": each.host, "PathInContainer": each.container, "CgroupPermissions": each.access}
            for each in asked.devices
        ],
        "DeviceCgroupRules": [_rule(rule) for rule in asked.device_cgroup_rules] or None,
        "DeviceRequests": None,
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "MemorySwappiness": asked.memory_swappiness,
        "OomKillDisable": asked.oom_kill_disable,
        "PidsLimit": limits.get("pids", {}).get("limit"),
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _rates(rates: Iterable[DeviceRate]) -> list[Document]:
    return [{"Path": each.path, "Rate": each.rate} for each in rates]


def _rule(rule: DeviceRule) -> str:
    major, minor = ("*" if number is None else number for number in (rule.major, rule.minor))
    return f"{rule.type} {major}:{minor} {rule.access}"


def _bind(mount: Mount) -> str:
    """``source:target[:words]``, as ``-v`` takes it."""
    words = [*(["ro"] if mount.readonly else []), *mount.options]
    return ":".join([mount.source, mount.target, *([",".join(words)] if words else [])]).lstrip(":")


def _security(asked: ContainerOptions, spec: Document) -> list[str]:
    """As ``--security-opt`` takes them, with what was decided where nobody asked."""
    nnp = spec.get("process", {}).get("noNewPrivileges")
    return [
        *(["no-new-privileges"] if nnp else []),
        *([f"seccomp={asked.seccomp}"] if asked.seccomp else []),
        *(f"unmask={path}" for path in asked.unmask),
        *(f"mask={path}" for path in asked.mask),
    ]


def _restart_policy(asked: str) -> Document:
    name, _, limit = asked.partition(":")
    return {"Name": name, "MaximumRetryCount": int(limit or 0)}


def network_mode(asked: ContainerOptions) -> str:
    """The mode, or the name of the first network."""
    return asked.endpoints[0].name if asked.network == "bridge" and asked.endpoints else asked.network


def port_bindings(asked: ContainerOptions) -> dict[str, list[dict[str, str]]]:
    """What was asked to be published: container port -> where on the host; an empty port is any that is free."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for wanted in asked.publish:
        for number, port in enumerate(range(wanted.first, wanted.last + 1)):
            one_each = wanted.host_last - wanted.host_first == wanted.last - wanted.first
            host = str(wanted.host_first + number) if wanted.host_first and one_each else ""
            bindings.setdefault(f"{port}/{wanted.protocol}", []).append({"HostIp": wanted.host, "HostPort": host})
    return bindings
