"""The bridge of a network, and what the host must do so that packets pass from it to elsewhere (ip-sysctl.rst)."""

from __future__ import annotations

import errno
import os

from pycontainer.errors import Conflict, HostLacks
from pycontainer.light import contextmanager
from pycontainer.network import addresses, links
from pycontainer.network.netlink import NETLINK_ROUTE, Refused, connected, tell
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.network.store import Network

SYSCTL = "/proc/sys/net"


def make(network: Network) -> int:
    """Make the bridge with its addresses, or what is missing of it, and return its number.

    Raises HostLacks where the kernel has no bridges or does not let us.
    """
    mac = addresses.mac_of(addresses.pack(network.subnets[0].gateway))
    with connected(NETLINK_ROUTE) as asking:
        try:
            with _tolerated(errno.EEXIST):
                tell(asking, links.make_bridge(network.bridge, mac, network.mtu))
            index = links.index_of(network.bridge)
            _configure(network)
            for subnet in network.subnets:
                with _tolerated(errno.EEXIST):
                    tell(asking, links.add_address(index, addresses.pack(subnet.gateway), subnet.prefix))
        except OSError as error:
            raise HostLacks(
                f"can't make the bridge {network.bridge} of network {network.name}: "
                f"{os.strerror(error.errno or 0).lower()}"
            ) from None
    return index


def _configure(network: Network) -> None:
    """A container is nobody to take routes from; and only a network with IPv6 speaks it (CVE-2020-13401)."""
    four, six = f"{SYSCTL}/ipv4/conf/{network.bridge}", f"{SYSCTL}/ipv6/conf/{network.bridge}"
    write(f"{four}/accept_redirects", "0")
    write(f"{four}/send_redirects", "0")
    write(f"{four}/route_localnet", "1")  # 127.0.0.1:port of the host leads here; nftables.py keeps others out
    write(f"{six}/accept_ra", "0")
    write(f"{six}/accept_redirects", "0")
    write(f"{six}/disable_ipv6", "0" if network.ipv6 else "1")


def write(path: str, value: str) -> None:
    """Write a kernel parameter; one that this kernel does not have is no loss."""
    try:
        with open(path, "w") as file:
            file.write(value)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HostLacks(f"can't write {path}: {os.strerror(error.errno or 0).lower()}") from None


def read(path: str) -> str:
    """Read a kernel parameter; "" where it is missing."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def forward(network: Network) -> bool:
    """Let the kernel pass packets on between links; whether it did not do so before."""
    changed = False
    if network.ipv4 and read(f"{SYSCTL}/ipv4/ip_forward") == "0":
        write(f"{SYSCTL}/ipv4/ip_forward", "1")
        changed = True
    if network.ipv6 and read(f"{SYSCTL}/ipv6/conf/all/forwarding") == "0":
        _keep_accepting_routes()
        write(f"{SYSCTL}/ipv6/conf/all/forwarding", "1")
        changed = True
    return changed


def _keep_accepting_routes() -> None:
    """A router does not take its own routes from others unless told so (2): the host must keep its default route."""
    for link in os.listdir(f"{SYSCTL}/ipv6/conf"):
        path = f"{SYSCTL}/ipv6/conf/{link}/accept_ra"
        if link not in ("all", "default", "lo") and read(path) == "1":
            write(path, "2")


def remove(name: str) -> None:
    """Remove a link; it need not be there."""
    with connected(NETLINK_ROUTE) as asking, _tolerated(errno.ENODEV):
        tell(asking, links.delete(name))


def attach(link: links.End, bridge: int, *, isolated: bool, hairpin: bool) -> None:
    """Make a link a port of the bridge. Raises Refused."""
    with connected(NETLINK_ROUTE) as asking:
        tell(asking, links.set_master(link.name, bridge))
        tell(asking, links.set_port(link, isolated=isolated, hairpin=hairpin))


def is_ours(network: Network) -> None:
    """Raises Conflict if a link that somebody else made has the name of the network's bridge."""
    if links.index_of(network.bridge):
        raise Conflict(f"a link called {network.bridge} exists already", hint="choose another name for the bridge")


@contextmanager
def _tolerated(*numbers: int) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        if error.errno not in numbers:
            raise
