"""What a spec depends on and only this host knows: limits, capabilities, CPUs, device nodes."""

from __future__ import annotations

import os
import stat

from pycontainer.core.capabilities import CAPABILITIES
from pycontainer.engine.attachment import terminal_size
from pycontainer.errors import NotFound, UsageError
from pycontainer.light import lru_cache
from pycontainer.oci.build import Facts
from pycontainer.oci.options import ContainerOptions
from pycontainer.oci.resources import HostDevice
from pycontainer.plan.host import kind_of
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def gather(options: ContainerOptions, *, setuid_files: Collection[str] = ()) -> Facts:
    """Look at the host, as far as ``options`` need it.

    Raises:
        NotFound: a device that does not exist.
        UsageError: a device that is none.
    """
    import resource  # +0.2 ms

    rates = (
        *options.blkio_weight_device,
        *options.device_read_bps,
        *options.device_write_bps,
        *options.device_read_iops,
        *options.device_write_iops,
    )
    paths = {mapping.host for mapping in options.devices} | {rate.path for rate in rates}
    if options.privileged:
        paths.add("/dev")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    cpus = os.cpu_count() or 1
    return Facts(
        nofile=2**63 if hard == resource.RLIM_INFINITY else hard,
        cpus=cpus,
        capabilities=capabilities(),
        devices={path: host_devices(path) for path in paths},
        thermal_cpus=cpus if kind_of("/sys/devices/system/cpu/cpu0/thermal_throttle") else 0,
        setuid_files=setuid_files,
        console=terminal_size() if options.tty else None,
        swap=bool(options.memory and not options.memory_swap) and _counts_swap(),
    )


def _counts_swap() -> bool:
    """Whether cgroups here can limit swap: a kernel option of v1, and on v2 too."""
    if os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"):
        return True
    with os.scandir("/sys/fs/cgroup") as cgroups:  # v2: the root cgroup has no limits, the others do
        return any(os.path.exists(f"{cgroup.path}/memory.swap.max") for cgroup in cgroups)


def capabilities() -> tuple[str, ...]:
    """The bounding set of this process (proc_pid_status(5), CapBnd), in the kernel's order."""
    with open("/proc/self/status", "rb", buffering=0) as status:
        _, _, rest = status.read().partition(b"\nCapBnd:")
    return _named(int(rest.split(maxsplit=1)[0], 16)) if rest else ()


@lru_cache(maxsize=4)
def _named(held: int) -> tuple[str, ...]:
    return tuple(name for number, name in enumerate(CAPABILITIES) if held >> number & 1)


def host_devices(path: str) -> list[HostDevice]:
    """The device node at ``path``, or all those below it if it is a directory."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise NotFound(f"device {path}: {os.strerror(error.errno or 0).lower()}") from None
    if stat.S_ISDIR(found.st_mode):
        return _nodes_below(path)
    if not _is_device(found):
        raise UsageError(f"{path} is not a device")
    return [_node(path, found)]


_PRIVATE = ("/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console", "/dev/fd")
"""What a container has of its own in /dev, besides the default devices."""


def _nodes_below(top: str) -> list[HostDevice]:
    nodes = []
    for place, directories, names in os.walk(top):
        directories[:] = [name for name in directories if f"{place}/{name}" not in _PRIVATE]
        for path in (f"{place}/{name}" for name in names):
            try:
                found = os.lstat(path)  # a link would give its target's node a second name
            except FileNotFoundError:
                continue  # unplugged while we looked
            if _is_device(found) and path not in _PRIVATE:
                nodes.append(_node(path, found))
    return nodes


def _is_device(found: os.stat_result) -> bool:
    return stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode)


def _node(path: str, found: os.stat_result) -> HostDevice:
    kind, number = "b" if stat.S_ISBLK(found.st_mode) else "c", found.st_rdev
    mode = stat.S_IMODE(found.st_mode)
    return HostDevice(path, kind, os.major(number), os.minor(number), mode, found.st_uid, found.st_gid)
