"""A network: the cable to the bridge, the addresses inside, the published ports, and how they are given back.

The kernel is told by messages: netlink(7). They are written to a socket, and an acknowledgement is read from it; a
refusal is longer than that, so it is noticed by its length.
"""

from __future__ import annotations

from _struct import pack  # `struct` itself is a file more to be read

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Proof, Slot, Step
from pycontainer.network import addresses, links, nftables
from pycontainer.network.connection import PROTOCOLS, Attachment, Connection, Port, inner_end
from pycontainer.network.netlink import ACKNOWLEDGEMENT_BYTES, Part, acknowledged, join, size
from pycontainer.plan.container import Networking
from pycontainer.plan.slots import INIT_PID, PROC
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ENOENT = 2
ROUTING, FILTERING = Slot("netlink socket: routes"), Slot("netlink socket: filters")
PORT = Slot("port")
HOLD = "Hold the published ports"


def _ask(socket: Slot, protocol: int, request: Part) -> tuple[Call, ...]:
    return (
        calls.socket(k.AF_NETLINK, k.SOCK_RAW, protocol, out=socket),
        *_room_for(socket, request),
        calls.write(socket, request),
        calls.read(socket, ACKNOWLEDGEMENT_BYTES * 2, expect=ACKNOWLEDGEMENT_BYTES),
        calls.close(socket),
    )


_ROOM = 100_000  # bytes: half of what a socket has (net.core.wmem_default)


def _room_for(socket: Slot, request: Part) -> tuple[Call, ...]:
    """A message is taken as a whole, or not at all."""
    needed = size(request)
    return (calls.setsockopt(socket, k.SOL_SOCKET, k.SO_SNDBUFFORCE, 2 * needed),) if needed > _ROOM else ()


def steps(attachment: Attachment) -> Networking:
    """Where a container's plan has them."""
    return Networking(connect(attachment), trust_nobody(attachment), configure(attachment), give_back(attachment))


# --- the monitor, before the container goes on ------------------------------------------------------------------------


def connect(attachment: Attachment, pid: Slot | int = INIT_PID) -> tuple[Step, ...]:
    """What is done in the host's network namespace for process ``pid`` in a new one."""
    steps = [*_hold(attachment.ports), *_cable(attachment, pid)]
    return (*steps, *publish(attachment))


def _cable(attachment: Attachment, pid: Slot | int) -> tuple[Step, ...]:
    steps: list[Step] = []
    if pairs := _pairs(attachment, pid):
        steps.append(
            Step(
                "Plug it into the bridge",
                "A veth pair is a cable: one end becomes a port of the bridge, the other is put into the container",
                MONITOR,
                _ask(ROUTING, k.NETLINK_ROUTE, join(*pairs[:-1], acknowledged(pairs[-1]))),
                "veth(4)",
                Proof("/proc/{pid}/net/dev", "pv"),
            )
        )
    if children := [_child(connection, pid) for connection in attachment.connections if not connection.is_bridged]:
        steps.append(
            Step(
                "Give it a link on top of the host's",
                "What a machine on the cable of the host's link would be: the container is one, with no bridge between",
                MONITOR,
                _ask(ROUTING, k.NETLINK_ROUTE, join(*children[:-1], acknowledged(children[-1]))),
                "ip-link(8)",
            )
        )
    return tuple(steps)


def _pairs(attachment: Attachment, pid: Slot | int) -> list[Part]:
    pairs: list[Part] = []
    for connection in attachment.connections:
        if not connection.is_bridged:
            continue
        ours, theirs = attachment.host_end(connection), inner_end(connection.number)
        mac = addresses.mac(connection.mac)
        pairs.append(links.make_veth(ours, connection.bridge, theirs, mac, connection.mtu, pid))
        if connection.isolated or attachment.returns(connection):
            pairs.append(links.set_port(ours, isolated=connection.isolated, hairpin=attachment.returns(connection)))
    return pairs


def _child(connection: Connection, pid: Slot | int) -> Part:
    end, mac = inner_end(connection.number), addresses.mac(connection.mac) if connection.mac else b""
    if connection.driver == "macvlan":
        settings = links.macvlan_settings(connection.mode)
    else:
        settings = links.ipvlan_settings(connection.mode, connection.flags)
    return links.make_child(connection.driver, connection.bridge, end, mac, connection.mtu, settings, pid)


def remove_child(connection: Connection) -> tuple[Step, ...]:
    """Take a link away that has no other end; by a process in its namespace."""
    gone = acknowledged(links.delete(inner_end(connection.number).name))
    return (
        Step("Take the link away", "It has no other end", MONITOR, _ask(ROUTING, k.NETLINK_ROUTE, gone), "ip-link(8)"),
    )


def _hold(ports: tuple[Port, ...]) -> tuple[Step, ...]:
    if not ports:
        return ()
    held: list[Call] = []
    for port in ports:
        host = addresses.pack(port.host)
        family, kind = links.family(host), k.SOCK_DGRAM if port.protocol == "udp" else k.SOCK_STREAM
        other = PROTOCOLS[port.protocol] if port.protocol == "sctp" else 0  # 0: the usual one of that kind
        held.append(calls.socket(family, kind, other, out=PORT))
        if family == k.AF_INET6:
            held.append(calls.setsockopt(PORT, k.IPPROTO_IPV6, k.IPV6_V6ONLY, 1))
        held.append(calls.bind_to(PORT, _socket_address(host, port.port)))
    return (
        Step(
            HOLD,
            "Nobody listens on these sockets: they keep others from the ports for as long as the monitor lives",
            MONITOR,
            tuple(held),
            "bind(2)",
            Proof("/proc/{pid}/fd"),
        ),
    )


def _socket_address(host: bytes, port: int) -> bytes:
    if len(host) == 4:
        return pack("H", k.AF_INET) + port.to_bytes(2, "big") + host + bytes(8)
    return pack("H", k.AF_INET6) + port.to_bytes(2, "big") + bytes(4) + host + bytes(4)


def _elements(attachment: Attachment, *, add: bool) -> Part:
    messages = nftables.changes(attachment.table, attachment.elements(), add=add)
    return nftables.batch(*messages[:-1], acknowledged(messages[-1]) if add else messages[-1])


def publish(attachment: Attachment) -> tuple[Step, ...]:
    """Translate the published ports."""
    if not attachment.ports:
        return ()
    return (
        Step(
            "Publish its ports",
            "One element of a map for each: packets to that port of the host get the container's address instead",
            MONITOR,
            _ask(FILTERING, k.NETLINK_NETFILTER, _elements(attachment, add=True)),
            "nft(8)",
        ),
    )


# --- init, in its new network namespace -------------------------------------------------------------------------------


def configure(attachment: Attachment, where: str = INIT) -> tuple[Step, ...]:
    """Addresses and routes."""
    if not attachment.connections:
        return ()
    messages: list[Part] = []
    for connection in attachment.connections:
        messages += _inside(connection)
    last = messages[-1]
    return (
        Step(
            "Give it its addresses",
            "The other end of the cable gets the address that was taken for it, and the bridge is the way elsewhere",
            where,
            _ask(ROUTING, k.NETLINK_ROUTE, join(*messages[:-1], acknowledged(last))),
            "rtnetlink(7)",
            Proof("/proc/{pid}/net/route", "eth"),
        ),
    )


def _inside(connection: Connection) -> list[Part]:
    end = inner_end(connection.number)
    messages: list[Part] = []
    for text in (connection.ipv4, connection.ipv6, *connection.extra):
        if text:
            address, _, prefix = text.partition("/")
            messages.append(links.add_address(end.number, addresses.pack(address), int(prefix)))
    messages.append(links.set_up(end.name))
    for gateway in connection.gateways:
        metric = connection.metric + _usual_metric(gateway)
        messages.append(links.add_route(addresses.pack(gateway), end.number, metric=metric))
    return messages


def _usual_metric(gateway: str) -> int:
    """What the kernel gives a route that is made without a metric; IPv6 knows no 0 (ipv6(7), IP6_RT_PRIO_USER)."""
    return 1024 if ":" in gateway else 0


def give_way(moved: Sequence[tuple[Connection, int]]) -> tuple[Step, ...]:
    """Let the default routes of some connections stand back: each with its new metric, and the one it had.

    The last goes first, and each is there twice for a moment, so that there is always a way.
    """
    messages: list[Part] = []
    for connection, before in sorted(moved, key=lambda pair: -pair[1]):
        end = inner_end(connection.number).number
        for gateway in connection.gateways:
            usual, packed = _usual_metric(gateway), addresses.pack(gateway)
            messages.append(links.add_route(packed, end, metric=connection.metric + usual))
            messages.append(links.remove_route(packed, end, metric=before + usual))
    if not messages:
        return ()
    return (
        Step(
            "Let the other networks stand back",
            "Of several ways elsewhere the kernel takes that of the smallest metric; it must be free for the new one",
            MONITOR,
            _ask(ROUTING, k.NETLINK_ROUTE, join(*messages[:-1], acknowledged(messages[-1]))),
            "rtnetlink(7)",
            Proof("/proc/{pid}/net/route", "eth"),
        ),
    )


_QUIET = {
    "ipv6/conf/{}/accept_ra": "0",
    "ipv6/conf/{}/accept_redirects": "0",
    "ipv4/conf/{}/accept_redirects": "0",
}


def trust_nobody(attachment: Attachment, where: str = INIT) -> tuple[Step, ...]:
    """Routes come from us, not from neighbours; and a network without IPv6 has none, not even link-local."""
    if not attachment.connections:
        return ()
    file = Slot("sysctl")
    resolve = k.RESOLVE_BENEATH | k.RESOLVE_NO_SYMLINKS | k.RESOLVE_NO_XDEV
    made: list[Call] = []
    for connection in attachment.connections:
        values = _QUIET if connection.ipv6 else {**_QUIET, "ipv6/conf/{}/disable_ipv6": "1"}
        for name, value in values.items():
            path = "sys/net/" + name.format(inner_end(connection.number).name)
            made += [
                calls.openat2(PROC, path, k.O_WRONLY, resolve=resolve, out=file, tolerate=(ENOENT,))
                if where == INIT
                else calls.openat(k.AT_FDCWD, "/proc/" + path, k.O_WRONLY, out=file, tolerate=(ENOENT,)),
                calls.write(file, value),
                calls.close(file),
            ]
    return (
        Step(
            "Take no routes from neighbours",
            "Any machine on a network may announce itself as a router; who believes it sends it all packets",
            where,
            tuple(made),
            "ip(7)",
        ),
    )


# --- the monitor, at the end ------------------------------------------------------------------------------------------


def give_back(attachment: Attachment) -> tuple[Step, ...]:
    """The cable goes with the namespace that it leads to; the rest has other owners."""
    steps: list[Step] = []
    if attachment.ports:
        steps.append(
            Step(
                "Take back the ports",
                "Nobody is there any more to take these packets; who has flushed the rules has done that already",
                MONITOR,
                (
                    calls.socket(k.AF_NETLINK, k.SOCK_RAW, k.NETLINK_NETFILTER, out=FILTERING),
                    *_room_for(FILTERING, _elements(attachment, add=False)),
                    calls.write(FILTERING, _elements(attachment, add=False)),
                    calls.close(FILTERING),
                ),
                "nft(8)",
            )
        )
    if attachment.connections:
        steps.append(
            Step(
                "Give back its addresses",
                "A file for each address says whose it is; without the file it is free",
                MONITOR,
                tuple(calls.unlinkat(k.AT_FDCWD, path, tolerate=(ENOENT,)) for path in attachment.taken()),
                "unlink(2)",
            )
        )
    return tuple(steps)
