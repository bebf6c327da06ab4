"""What the host has of links and routes: questions and changes that no start needs, so a library asks (pyroute2).

Starts speak netlink by themselves (:mod:`pycontainer.network.netlink`): loading this library takes longer than all of
a container's start.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from pycontainer.errors import Conflict, HostLacks, NotFound
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pycontainer.network.store import Network

_RT_TABLE_MAIN = 254
_LINK_LOCAL = "fe80:"
_VLANS = range(1, 4095)


@contextmanager
def _asking() -> Iterator[Any]:
    from pyroute2 import IPRoute  # +105 ms

    with IPRoute() as route:
        yield route


def routes() -> list[str]:
    """The subnets that this host knows a way to, without the default routes."""
    with _asking() as ip:
        found = [(route.get_attr("RTA_DST"), route["dst_len"]) for route in ip.get_routes(table=_RT_TABLE_MAIN)]
    return [f"{to}/{prefix}" for to, prefix in found if to and prefix and not to.startswith((_LINK_LOCAL, "ff"))]


# --- parents of macvlans and ipvlans --------------------------------------------------------------------------------


def with_parent(network: Network) -> Network:
    """The network, knowing whether its parent is ours to make: a VLAN of a link (``eth0.50``), or a link that ends
    nowhere.

    Raises NotFound if it has to be there and is not; Conflict if it can't be a parent.
    """
    if network.owns_link:
        return network
    with _asking() as ip:
        there = ip.link_lookup(ifname=network.bridge)
        if there:
            (link,) = ip.get_links(*there)
            if link["ifi_type"] == _LOOPBACK:
                raise Conflict(f"{network.bridge} can't be the parent of a network: it is the loopback")
            _try(ip, network.driver, link["index"])
            return network
        link_name, vlan = _vlan(network.bridge)
        if not vlan or not ip.link_lookup(ifname=link_name):
            raise NotFound(f"no link of this host is called {network.bridge}", hint="'ip link' lists them all")
    return network._replace(owns_link=True)


_LOOPBACK = 772  # ARPHRD_LOOPBACK
_TRIAL = "pyc-trial"


def _try(ip: Any, driver: str, parent: int) -> None:
    """Make such a link and take it away: no network is made that can't be used. Raises HostLacks, Conflict."""
    from errno import EEXIST, EOPNOTSUPP

    from pyroute2.netlink.exceptions import NetlinkError

    try:
        ip.link("add", ifname=_TRIAL, kind=driver, link=parent)
        ip.link("del", ifname=_TRIAL)
    except NetlinkError as error:
        if error.code == EOPNOTSUPP:
            raise HostLacks(f"this kernel has no {driver}", hint=f"modprobe {driver}") from None
        if error.code != EEXIST:
            raise Conflict(f"the link can't be the parent of a network: {os.strerror(error.code).lower()}") from None


def _vlan(name: str) -> tuple[str, int]:
    link, _, number = name.rpartition(".")
    return link, int(number) if number.isascii() and number.isdigit() and int(number) in _VLANS else 0


def make_parent(network: Network) -> None:
    """Make the parent of a network that is ours to make, and switch it on. Raises HostLacks, NotFound."""
    if not network.owns_link:
        raise NotFound(f"network {network.name}: its parent link {network.bridge} is not there any more")
    from errno import EOPNOTSUPP

    from pyroute2.netlink.exceptions import NetlinkError

    link, vlan = _vlan(network.bridge)
    try:
        with _asking() as ip:
            if vlan and "parent" in network.options:
                below = ip.link_lookup(ifname=link)
                if not below:
                    raise NotFound(f"network {network.name}: the link {link} is not there any more")
                ip.link("add", ifname=network.bridge, kind="vlan", link=below[0], vlan_id=vlan)
            else:
                ip.link("add", ifname=network.bridge, kind="dummy")
            ip.link("set", index=ip.link_lookup(ifname=network.bridge)[0], state="up")
    except NetlinkError as error:
        kind = "VLANs" if vlan else "dummy links"
        why = f"this kernel has no {kind}" if error.code == EOPNOTSUPP else os.strerror(error.code).lower()
        raise HostLacks(f"can't make the link {network.bridge} of network {network.name}: {why}") from None


# --- as it is now ---------------------------------------------------------------------------------------------------


def state_of(names: list[str]) -> dict[str, dict[str, Any]]:
    """Links by name: whether they are up, their size of packets, addresses, and what has passed, in bytes."""
    found: dict[str, dict[str, Any]] = {}
    with _asking() as ip:
        for link in ip.get_links():
            name = link.get_attr("IFLA_IFNAME")
            if name in names:
                passed = link.get_attr("IFLA_STATS64") or {}
                held = list(ip.get_addr(index=link["index"]))
                found[name] = {
                    "State": (link.get_attr("IFLA_OPERSTATE") or "").lower(),
                    "MTU": link.get_attr("IFLA_MTU"),
                    "MacAddress": link.get_attr("IFLA_ADDRESS"),
                    "Addresses": [f"{a.get_attr('IFA_ADDRESS')}/{a['prefixlen']}" for a in held],
                    "RxBytes": passed.get("rx_bytes", 0),
                    "TxBytes": passed.get("tx_bytes", 0),
                }
    return found
