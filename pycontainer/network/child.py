"""Macvlans and ipvlans: links on top of one of the host's, each a machine on the same cable (ip-link(8))."""

from __future__ import annotations

from _struct import pack, unpack_from  # `struct` itself is a file more to be read

from pycontainer.network import links
from pycontainer.network.netlink import NETLINK_ROUTE, NLM_F_DUMP, ask, attributes, connected, message
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.network.store import Network

# <linux/if_link.h>, <linux/neighbour.h>
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
_RTM_GETNEIGH, _NDA_LLADDR = 30, 2


def mode_of(network: Network) -> tuple[int, int]:
    """The mode and the flags of its containers' links, as the kernel has them."""
    if network.driver == "macvlan":
        return MACVLAN_MODES[network.options.get("macvlan_mode", "bridge")], 0
    mode, flag = network.options.get("ipvlan_mode", "l2"), network.options.get("ipvlan_flag", "bridge")
    return IPVLAN_MODES[mode], IPVLAN_FLAGS[flag]


def listens(parent: int, mac: bytes) -> bool:
    """Whether the parent takes packets for that hardware address, since it has a child with it (bridge(8), fdb)."""
    with connected(NETLINK_ROUTE) as asking:
        found = ask(asking, message(_RTM_GETNEIGH, NLM_F_DUMP, pack("BxHi8x", links.AF_BRIDGE, 0, parent)))
    return any(
        unpack_from("i", body, 4)[0] == parent and attributes(body, 12).get(_NDA_LLADDR) == mac for _, body in found
    )
