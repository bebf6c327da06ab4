"""Links, addresses and routes, as messages of rtnetlink(7)."""

from __future__ import annotations

from _struct import pack  # `struct` itself is a file more to be read

from pycontainer.core.step import Slot
from pycontainer.network.netlink import (
    NLA_F_NESTED,
    NLM_F_CREATE,
    NLM_F_EXCL,
    Part,
    attribute,
    held,
    join,
    message,
    nested,
    text,
    u32,
)
from pycontainer.record import Record

# <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_DELROUTE = 20, 22, 24, 25
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_PROTINFO = 1, 3, 4, 5, 10, 12
IFLA_LINKINFO, IFLA_NET_NS_PID = 18, 19
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6
AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
IFF_UP = 1
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 254, 3, 0, 253, 1
SIOCGIFINDEX = 0x8933
NEW = NLM_F_CREATE | NLM_F_EXCL


def _link(index: int = 0, *, up: bool = False, family: int = AF_UNSPEC) -> bytes:
    """A struct ifinfomsg."""
    return pack("BxHiII", family, 0, index, IFF_UP if up else 0, IFF_UP if up else 0)


def family(address: bytes) -> int:
    """AF_INET or AF_INET6, by the length of the address."""
    return AF_INET if len(address) == 4 else AF_INET6


def make_bridge(name: str, mac: bytes, mtu: int) -> Part:
    """A bridge: a switch made of software."""
    return message(
        RTM_NEWLINK,
        NEW,
        _link(up=True),
        text(IFLA_IFNAME, name),
        attribute(IFLA_ADDRESS, mac),
        *([u32(IFLA_MTU, mtu)] if mtu else []),
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge")),
    )


class End(Record):
    """One end of a veth pair. Its number is chosen, so that the messages that follow need not ask for it."""

    name: str
    number: int


def make_veth(ours: End, bridge: int, theirs: End, mac: bytes, mtu: int, pid: Slot | int) -> Part:
    """A pair of links, a cable: one end here, a port of the bridge; the other in the namespace of process ``pid``."""
    pid_of = held(IFLA_NET_NS_PID, pid) if isinstance(pid, Slot) else u32(IFLA_NET_NS_PID, pid)
    width = [u32(IFLA_MTU, mtu)] if mtu else []
    peer = join(_link(theirs.number), text(IFLA_IFNAME, theirs.name), attribute(IFLA_ADDRESS, mac), *width, pid_of)
    return message(
        RTM_NEWLINK,
        NEW,
        _link(ours.number, up=True),
        text(IFLA_IFNAME, ours.name),
        *width,
        u32(IFLA_MASTER, bridge),
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))),
    )


def set_port(port: End, *, isolated: bool, hairpin: bool) -> Part:
    """How a bridge treats one of its ports (bridge(8)).

    Args:
        port: the link.
        isolated: it reaches no other port that is isolated too, but the host.
        hairpin: what came by it may leave by it.
    """
    return message(
        RTM_SETLINK,
        0,
        _link(port.number, family=AF_BRIDGE),
        nested(
            IFLA_PROTINFO,
            attribute(IFLA_BRPORT_MODE, bytes([hairpin])),
            attribute(IFLA_BRPORT_ISOLATED, bytes([isolated])),
        ),
    )


def make_child(kind: str, parent: int, theirs: End, mac: bytes, mtu: int, settings: bytes, pid: Slot | int) -> Part:
    """A macvlan or ipvlan: one more link on top of ``parent``, in the namespace of process ``pid``."""
    return message(
        RTM_NEWLINK,
        NEW,
        _link(theirs.number),
        text(IFLA_IFNAME, theirs.name),
        *([attribute(IFLA_ADDRESS, mac)] if mac else []),
        *([u32(IFLA_MTU, mtu)] if mtu else []),
        u32(IFLA_LINK, parent),
        held(IFLA_NET_NS_PID, pid) if isinstance(pid, Slot) else u32(IFLA_NET_NS_PID, pid),
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind), attribute(IFLA_INFO_DATA | NLA_F_NESTED, settings)),
    )


def macvlan_settings(mode: int) -> bytes:
    """How macvlans of one parent reach each other (ip-link(8)); what make_child wants."""
    return pack("HHI", 8, 1, mode)


def ipvlan_settings(mode: int, flags: int) -> bytes:
    """Which layer ipvlans work on, and how they reach each other (ipvlan.rst)."""
    return pack("HHHxxHHHxx", 6, 1, mode, 6, 2, flags)


def set_up(name: str) -> Part:
    """Switch a link on."""
    return message(RTM_NEWLINK, 0, _link(up=True), text(IFLA_IFNAME, name))


def set_master(name: str, bridge: int) -> Part:
    """Make a link a port of a bridge."""
    return message(RTM_NEWLINK, 0, _link(up=True), text(IFLA_IFNAME, name), u32(IFLA_MASTER, bridge))


def delete(name: str) -> Part:
    """Remove a link, and with one end of a pair the other."""
    return message(RTM_DELLINK, 0, _link(), text(IFLA_IFNAME, name))


def add_address(index: int, address: bytes, prefix: int) -> Part:
    """Give a link an address. Nobody else has it, so IPv6 need not look for a duplicate first."""
    kind = family(address)
    head = pack("BBBBI", kind, prefix, 0, 0, index)
    parts = [attribute(IFA_LOCAL, address), attribute(IFA_ADDRESS, address)]
    if kind == AF_INET and prefix < 31:
        rest = (1 << (32 - prefix)) - 1
        parts.append(attribute(IFA_BROADCAST, (int.from_bytes(address, "big") | rest).to_bytes(4, "big")))
    if kind == AF_INET6:
        parts.append(u32(IFA_FLAGS, IFA_F_NODAD))
    return message(RTM_NEWADDR, NEW, head, *parts)


def add_route(gateway: bytes, link: int, *, metric: int = 0) -> Part:
    """The default route; without a gateway, an address of zeros, everything is said to be just behind the link."""
    return message(RTM_NEWROUTE, NEW, *_default_route(gateway, link, metric))


def remove_route(gateway: bytes, link: int, *, metric: int = 0) -> Part:
    """Take that route away; without a metric, the one of the smallest."""
    return message(RTM_DELROUTE, 0, *_default_route(gateway, link, metric))


def _default_route(gateway: bytes, link: int, metric: int) -> tuple[Part, ...]:
    beyond = any(gateway)
    scope = RT_SCOPE_UNIVERSE if beyond or len(gateway) == 16 else RT_SCOPE_LINK
    head = pack(
        "BBBBBBBBI",
        *(family(gateway), 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0),
    )
    way = attribute(RTA_GATEWAY, gateway) if beyond else u32(RTA_OIF, link)
    return (head, way, u32(RTA_PRIORITY, metric)) if metric else (head, way)


def index_of(name: str) -> int:
    """The number of a link in this process's network namespace, or 0 (netdevice(7), SIOCGIFINDEX)."""
    from _socket import AF_INET as INET
    from _socket import SOCK_DGRAM, socket
    from _struct import unpack_from
    from fcntl import ioctl

    with_name = name.encode().ljust(40, b"\0")
    asking = socket(INET, SOCK_DGRAM)
    try:
        return int(unpack_from("i", ioctl(asking.fileno(), SIOCGIFINDEX, with_name), 16)[0])
    except OSError:
        return 0
    finally:
        asking.close()
