"""The networks that there are: ``ROOT/networks/<name>.json``, one file each, and what one looks like."""

from __future__ import annotations

import os

from pycontainer import jsontext
from pycontainer.core.directories import entries, make_private
from pycontainer.core.failpoint import hit
from pycontainer.errors import Conflict, NotFound, StoreError
from pycontainer.light import suppress
from pycontainer.network.addresses import Subnet
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

DEFAULT = "bridge"
"""The network of a container that asks for none; it is made when it is first used."""

MODES = ("host", "none")
"""Names that stand for no network of ours."""

BRIDGE_OPTIONS = ("com.docker.network.bridge.name", "bridge.name")
MTU_OPTIONS = ("com.docker.network.driver.mtu", "mtu")
MASQUERADE_OPTIONS = ("com.docker.network.bridge.enable_ip_masquerade", "masquerade")
ISOLATE_OPTIONS = ("com.docker.network.bridge.enable_icc", "icc")
HOST_ADDRESS_OPTIONS = ("com.docker.network.bridge.host_binding_ipv4", "publish_address")


class Network(Record):
    """A bridge and the addresses behind it; or a link of the host that containers get links on top of.

    Attributes:
        id: 64 hex digits.
        name: unique on this root.
        bridge: the name of its link: the bridge, or the parent of macvlans and ipvlans.
        created: seconds since the epoch.
        subnets: at most one of IPv4 and one of IPv6.
        internal: nothing leaves it and nothing comes in.
        options: the ``--opt``, by name.
        driver: ``bridge``, ``macvlan`` or ``ipvlan``.
        owns_link: the parent is not there unless we make it, and goes with the network.
        ipam_options: what ``--ipam-opt`` said: kept, and not used.
        config_only, config_from: it is no network but a pattern of some; or the name of its pattern.
    """

    id: str
    name: str
    bridge: str
    created: float
    subnets: tuple[Subnet, ...]
    internal: bool = False
    labels: dict[str, str] = {}  # noqa: RUF012 - never changed
    options: dict[str, str] = {}  # noqa: RUF012 - never changed
    driver: str = "bridge"
    owns_link: bool = False
    ipam_options: dict[str, str] = {}  # noqa: RUF012 - never changed
    config_only: bool = False
    config_from: str = ""

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
    def is_bridge(self) -> bool:
        """Whether it is a network of this host's, which the host itself is in and leads elsewhere."""
        return self.driver == "bridge"

    @property
    def isolated(self) -> bool:
        """Whether its containers can't reach each other."""
        return self.option(ISOLATE_OPTIONS, "true") == "false"

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
            record = jsontext.load(file.read())
        record["subnets"] = tuple(Subnet(**subnet) for subnet in record["subnets"])
        return Network(**record)
    except FileNotFoundError:
        raise NotFound(f"no such network: {name}", hint="'pyc network ls' lists them all") from None
    except (ValueError, TypeError, KeyError):
        raise StoreError(f"network {name}: {_path(root, name)} is damaged", hint=f"'pyc network rm {name}'") from None


def names(root: str) -> list[str]:
    """The names of all."""
    return sorted(entry[:-5] for entry in entries(root + "/networks") if entry.endswith(".json"))


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
    """Write a new network down; nobody else is at it. Raises Conflict if there is one of that name."""
    from json import dumps  # +6 ms, and only for a new network: people may look into its file

    make_private(root + "/networks")
    scratch = f"{root}/networks/.new"
    with open(scratch, "w") as file:
        file.write(dumps(record(network), indent=1))
    hit("network.written")
    try:
        os.link(scratch, _path(root, network.name))
    except FileExistsError:
        raise Conflict(f"network with name {network.name} already exists") from None
    finally:
        os.unlink(scratch)


def forget(root: str, name: str) -> None:
    """Remove the file; it need not be there."""
    with suppress(FileNotFoundError):
        os.unlink(_path(root, name))
