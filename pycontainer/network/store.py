"""The networks that there are: ``ROOT/networks/<name>.json``, one file each, and what one looks like."""

from __future__ import annotations

import contextlib
import json
import os
import time

from pycontainer.core.directories import make_private
from pycontainer.errors import Conflict, NotFound, StoreError, UsageError
from pycontainer.network import addresses
from pycontainer.network.addresses import Subnet
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

DEFAULT = "bridge"
"""The network of a container that asks for none; it is made when it is first used."""

MODES = ("host", "none")
"""Names that stand for no network of ours."""

BRIDGE_OPTIONS = ("com.docker.network.bridge.name", "bridge.name")
MTU_OPTIONS = ("com.docker.network.driver.mtu", "mtu")
MASQUERADE_OPTIONS = ("com.docker.network.bridge.enable_ip_masquerade", "masquerade")
HOST_ADDRESS_OPTIONS = ("com.docker.network.bridge.host_binding_ipv4", "publish_address")
OPTIONS = BRIDGE_OPTIONS + MTU_OPTIONS + MASQUERADE_OPTIONS + HOST_ADDRESS_OPTIONS


class Network(Record):
    """A bridge and the addresses behind it.

    Attributes:
        id: 64 hex digits.
        name: unique on this root.
        bridge: the name of its link.
        created: seconds since the epoch.
        subnets: at most one of IPv4 and one of IPv6.
        internal: nothing leaves it and nothing comes in.
        options: the ``--opt``, by name.
    """

    id: str
    name: str
    bridge: str
    created: float
    subnets: tuple[Subnet, ...]
    internal: bool = False
    labels: dict[str, str] = {}  # noqa: RUF012 - never changed
    options: dict[str, str] = {}  # noqa: RUF012 - never changed

    def option(self, names: tuple[str, ...], default: str = "") -> str:
        """The value of an option that has several names."""
        return next((self.options[name] for name in names if name in self.options), default)

    @property
    def mtu(self) -> int:
        """In bytes; 0 is the kernel's own choice."""
        return int(self.option(MTU_OPTIONS, "0"))

    @property
    def masquerade(self) -> bool:
        """Whether what leaves gets the host's address."""
        return self.option(MASQUERADE_OPTIONS, "true") != "false"

    @property
    def ipv4(self) -> Subnet | None:
        """Its IPv4 addresses."""
        return next((subnet for subnet in self.subnets if not subnet.six), None)

    @property
    def ipv6(self) -> Subnet | None:
        """Its IPv6 addresses."""
        return next((subnet for subnet in self.subnets if subnet.six), None)


def _path(root: str, name: str) -> str:
    return f"{root}/networks/{name}.json"


def load(root: str, name: str) -> Network:
    """The network called ``name``. Raises NotFound, StoreError."""
    try:
        with open(_path(root, name)) as file:
            record = json.load(file)
        record["subnets"] = tuple(Subnet(**subnet) for subnet in record["subnets"])
        return Network(**record)
    except FileNotFoundError:
        raise NotFound(f"no such network: {name}", hint="'pyc network ls' lists them all") from None
    except (ValueError, TypeError, KeyError):
        raise StoreError(f"network {name}: {_path(root, name)} is damaged", hint=f"'pyc network rm {name}'") from None


def names(root: str) -> list[str]:
    """The names of all."""
    try:
        return sorted(entry[:-5] for entry in os.listdir(root + "/networks") if entry.endswith(".json"))
    except FileNotFoundError:
        return []


def find(root: str, name_or_id: str) -> Network:
    """By name, ID, or an unambiguous beginning of an ID. Raises NotFound, Conflict."""
    if name_or_id in names(root):
        return load(root, name_or_id)
    found = [network for network in listing(root) if name_or_id and network.id.startswith(name_or_id)]
    if len(found) > 1:
        raise Conflict(f"{name_or_id} is the beginning of {len(found)} network IDs", hint="give more of it")
    if not found:
        raise NotFound(f"no such network: {name_or_id}", hint="'pyc network ls' lists them all")
    return found[0]


def listing(root: str) -> list[Network]:
    """All networks, by name; one whose file is damaged is left out."""
    found = []
    for name in names(root):
        try:
            found.append(load(root, name))
        except (NotFound, StoreError):
            continue
    return found


def record(network: Network) -> dict[str, Any]:
    """The network as its file has it."""
    return network._asdict() | {"subnets": [subnet._asdict() for subnet in network.subnets]}


def save(root: str, network: Network) -> None:
    """Write a new network down. Raises Conflict if there is one of that name."""
    make_private(root + "/networks")
    scratch = f"{root}/networks/.{network.id}"
    with open(scratch, "w") as file:
        file.write(json.dumps(record(network), indent=1))
    try:
        os.link(scratch, _path(root, network.name))
    except FileExistsError:
        raise Conflict(f"network with name {network.name} already exists") from None
    finally:
        os.unlink(scratch)


def forget(root: str, name: str) -> None:
    """Remove the file; it need not be there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(root, name))


# --- making one -------------------------------------------------------------------------------------------------------


def design(
    name: str,
    subnets: list[Subnet],
    taken: list[str],
    *,
    ipv6: bool = False,
    internal: bool = False,
    labels: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Network:
    """Fill in what was not asked for. ``taken`` are the subnets that networks and routes of the host have.

    Raises UsageError for what makes no sense, Conflict for a subnet that somebody has.
    """
    network_id = os.urandom(32).hex()
    made = [_checked(subnet, taken) for subnet in subnets]
    if len({subnet.six for subnet in made}) < len(made):
        raise UsageError("a network has at most one subnet of IPv4 and one of IPv6")
    if not any(not subnet.six for subnet in made):
        made.insert(0, _with_gateway(Subnet(_free(taken, 16 if name == DEFAULT else 24), "")))
    if ipv6 and not any(subnet.six for subnet in made):
        made.append(_with_gateway(Subnet(f"fd{network_id[:2]}:{network_id[2:6]}:{network_id[6:10]}::/64", "")))
    network = Network(
        network_id, name, "pyc-" + network_id[:8], time.time(), tuple(made), internal, labels or {}, options or {}
    )
    _check_options(network)
    return network._replace(bridge=network.option(BRIDGE_OPTIONS, network.bridge))


def _check_options(network: Network) -> None:
    for name in network.options:
        if name not in OPTIONS:
            raise UsageError(f"unknown option {name!r} of the bridge driver", hint="known: " + ", ".join(OPTIONS))
    bridge, mtu = network.option(BRIDGE_OPTIONS, network.bridge), network.option(MTU_OPTIONS, "0")
    if not 0 < len(bridge.encode()) < 16 or "/" in bridge or any(c.isspace() for c in bridge) or bridge in (".", ".."):
        raise UsageError(f"{bridge!r} can't be the name of a link: at most 15 bytes, no '/' and no space")
    if not mtu.isdecimal() or (int(mtu) and not 68 <= int(mtu) <= 65535):
        raise UsageError(f"mtu {mtu!r}: must be from 68 to 65535")
    if network.option(MASQUERADE_OPTIONS, "true") not in ("true", "false"):
        raise UsageError("masquerade: must be true or false")
    if address := network.option(HOST_ADDRESS_OPTIONS):
        addresses.pack(address)


def _checked(subnet: Subnet, taken: list[str]) -> Subnet:
    whole = addresses.normal(subnet.subnet)
    for other in taken:
        if addresses.overlap(whole, other):
            raise Conflict(f"subnet {whole} overlaps with {other}, which this host has already")
    if subnet.ip_range:
        low, high, size = addresses.bounds(subnet.ip_range)
        first, last, length = addresses.bounds(whole)
        if size != length or low < first or high > last:
            raise UsageError(f"ip-range {subnet.ip_range} is not inside of subnet {whole}")
    first, last, size = addresses.bounds(whole)
    if last - first < 3:
        raise UsageError(f"subnet {whole} is too small: it needs addresses for the gateway and a container")
    for what, address in [("gateway", subnet.gateway), *((f"aux-address {k}", v) for k, v in subnet.aux.items())]:
        if address and not addresses.inside(address, whole):
            raise UsageError(f"{what} {address} is not inside of subnet {whole}")
    return _with_gateway(subnet._replace(subnet=whole))


def _with_gateway(subnet: Subnet) -> Subnet:
    """The first address is the gateway's, if nobody said otherwise."""
    if subnet.gateway:
        return subnet
    first, _, size = addresses.bounds(subnet.subnet)
    return subnet._replace(gateway=addresses.unpack((first + 1).to_bytes(size, "big")))


def _pool(prefix: int) -> Iterator[str]:
    """Private subnets (RFC 1918) that few others choose."""
    step = (1 << (24 - prefix)) if prefix < 24 else 1
    places = [(10, second) for second in range(90, 100)] + [(172, second) for second in range(24, 32)]
    for first, second in places:
        for third in range(0, 256, step):
            yield f"{first}.{second}.{third}.0/{prefix}"
    if prefix == 24:
        for third in range(224, 255):
            yield f"192.168.{third}.0/24"


def _free(taken: list[str], prefix: int) -> str:
    for subnet in _pool(prefix):
        if not any(addresses.overlap(subnet, other) for other in taken):
            return subnet
    raise Conflict("all the private subnets that pyc chooses from are taken", hint="name one with --subnet")
