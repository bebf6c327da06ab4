"""What is done to a container's first process from outside: network devices moved in, cache and bandwidth shares.

Sources: config-linux.md (Network Devices, Intel RDT), the kernel's resctrl.rst.
"""

from __future__ import annotations

import os

from pycontainer.errors import HostLacks, UsageError
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import IntelRdt, Linux, NetDevice
    from pycontainer.oci.state import State

RESCTRL = "/sys/fs/resctrl"


def prepare(linux: Linux, state: State) -> tuple[str, ...]:
    """All of it, while the process waits. Returns the directories of resctrl's that were made, for :func:`undo`."""
    for name, device in (linux.get("netDevices") or {}).items():
        _move(name, device, state.pid)
    asked = linux.get("intelRdt")
    return _share(asked, state) if asked else ()


def undo(shares: tuple[str, ...]) -> None:
    """Remove what was made for a container that is no more: there are only a few classes of service (resctrl.rst)."""
    for directory in reversed(shares):
        with suppress(FileNotFoundError):
            _remove(directory)


_remove = os.rmdir  # the kernel removes a group's files with it


def _move(name: str, device: NetDevice, pid: int) -> None:
    """Move a device with its addresses; it is up afterwards."""
    from pyroute2 import IPRoute, NetNS  # +105 ms

    renamed = device.get("name") or name
    with IPRoute() as here, NetNS(f"/proc/{pid}/ns/net") as there:
        found = here.link_lookup(ifname=name)
        if not found:
            raise UsageError(f"linux.netDevices: this host has no network device {name}")
        addresses = [
            (address["family"], address.get_attr("IFA_ADDRESS"), address["prefixlen"])
            for address in here.get_addr(index=found[0])
            if address["scope"] == 0  # link-local ones come by themselves
        ]
        here.link("set", index=found[0], net_ns_fd=_descriptor(pid), ifname=renamed)
        index = there.link_lookup(ifname=renamed)[0]
        for family, address, length in addresses:
            there.addr("add", index=index, family=family, address=address, prefixlen=length)
        there.link("set", index=index, state="up")


def _descriptor(pid: int) -> int:
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)  # closed with this short process


def _share(asked: IntelRdt, state: State) -> tuple[str, ...]:
    """A group of resctrl's, named after the container or as the spec says; what is there already is somebody else's."""
    name = asked.get("closID") or state.id
    if "/" in name or name in (".", "..") or "\n" in name:
        raise UsageError(f"linux.intelRdt.closID: {name!r} is not the name of a directory")
    if not os.path.exists(f"{RESCTRL}/schemata"):
        raise HostLacks("linux.intelRdt: this host has no resctrl file system (CPU and mount)")
    group = f"{RESCTRL}/{name}"
    lines = [asked.get("l3CacheSchema"), asked.get("memBwSchema"), *(asked.get("schemata") or ())]
    if asked.get("closID") and not any(lines) and not os.path.isdir(group):
        raise UsageError(f"linux.intelRdt.closID: there is no {group}, and no schema to make it with")
    made: list[str] = []
    try:
        _make(group, made)
        for line in filter(None, lines):
            _write(f"{group}/schemata", f"{line}\n")
        _write(f"{group}/tasks", str(state.pid))
        if asked.get("enableMonitoring"):
            _make(f"{group}/mon_groups/{state.id}", made)
            _write(f"{group}/mon_groups/{state.id}/tasks", str(state.pid))
    except OSError as error:
        undo(tuple(made))
        raise UsageError(f"linux.intelRdt: {error.filename}: {(error.strerror or '').lower()}") from None
    return tuple(made)


def _make(directory: str, made: list[str]) -> None:
    with suppress(FileExistsError):
        os.mkdir(directory)
        made.append(directory)


def _write(path: str, value: str) -> None:
    with open(path, "w") as file:
        file.write(value)
