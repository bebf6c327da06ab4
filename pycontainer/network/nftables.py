"""Packet filter and address translation: one nftables table per installation, as messages of nfnetlink (nft(8)).

The rules never change. What changes are the sets they look into: the bridges that there are, and the published ports.
So a network is a few elements, a port is one, and the whole can be compared with what it should be at each start.
`nft list table inet pycontainer` shows it. What a host's own firewall drops in a table of its own stays dropped:
"accept" in one table overrules nothing in another.
"""

from __future__ import annotations

from _struct import pack  # `struct` itself is a file more to be read

from pycontainer.network.netlink import (
    NETLINK_NETFILTER,
    NLM_F_CREATE,
    NLM_F_DUMP,
    Part,
    Refused,
    acknowledged,
    ask,
    attribute,
    attributes,
    connected,
    join,
    message,
    nested,
    text,
)
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

ENOENT = 2
SOL_SOCKET, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 1, 32, 33
AF_INET, AF_INET6 = 2, 10
INET = 1  # NFPROTO_INET: rules for IPv4 and IPv6 at once

# <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>
BATCH_BEGIN, BATCH_END = 16, 17
SUBSYSTEM = 10 << 8
NEWTABLE, DELTABLE, NEWCHAIN, GETCHAIN, NEWRULE, DELRULE, NEWSET, NEWSETELEM, GETSETELEM, DELSETELEM = (
    SUBSYSTEM | kind for kind in (0, 2, 3, 4, 6, 8, 9, 12, 13, 14)
)
INPUT, FORWARD = 1, 2  # hooks
DROP = 0
IFNAME, _IPV4, _IPV6, _PROTOCOL, _PORT = 41, 7, 8, 12, 13  # nft's numbers for types; 6 bits each when concatenated


def _concatenated(*types: int) -> int:
    number = 0
    for kind in types:
        number = number << 6 | kind
    return number


class Set(Record):
    """A set of keys, or a map from keys to values.

    Attributes:
        number: unique within the message that makes it.
        key, value: the number of the type, and its length in bytes.
    """

    name: str
    number: int
    key: tuple[int, int]
    value: tuple[int, int] | None = None


BRIDGES = Set("bridges", 1, (IFNAME, 16))
NATTED = Set("natted", 2, (IFNAME, 16))  # what leaves these gets the host's address
INTERNAL = Set("internal", 3, (IFNAME, 16))  # nothing leaves these
SAME = Set("same", 4, (_concatenated(IFNAME, IFNAME), 32))  # each bridge with itself
PORTS4 = Set("ports", 5, (_concatenated(_PROTOCOL, _PORT), 8), (_concatenated(_IPV4, _PORT), 8))
PORTS6 = Set("ports6", 6, (_concatenated(_PROTOCOL, _PORT), 8), (_concatenated(_IPV6, _PORT), 20))
BOUND4 = Set("bound", 7, (_concatenated(_IPV4, _PROTOCOL, _PORT), 12), (_concatenated(_IPV4, _PORT), 8))
BOUND6 = Set("bound6", 8, (_concatenated(_IPV6, _PROTOCOL, _PORT), 24), (_concatenated(_IPV6, _PORT), 20))
SELF4 = Set("itself", 9, (_concatenated(_IPV4, _IPV4), 8))  # who may come back to itself by a port of its own
SELF6 = Set("itself6", 10, (_concatenated(_IPV6, _IPV6), 32))
SETS = (BRIDGES, NATTED, INTERNAL, SAME, PORTS4, PORTS6, BOUND4, BOUND6, SELF4, SELF6)


RULES = {"raw": 1, "input": 2, "forward": 9, "prerouting": 4, "output": 4, "postrouting": 5}
"""How many rules the chains have that packets come to: a start counts them, and need not load what they are."""

EDITION = "rules-2"
"""An empty chain, which says what the rules were made by: with others than ours the table is made anew."""

GUARD, EXPOSED = "guard", "exposed"
"""Two chains that are empty or hold one rule, as the host is: see ruleset.py."""


# --- messages ---------------------------------------------------------------------------------------------------------


def request(kind: int, flags: int, *parts: Part, family: int = INET) -> Part:
    """One message; the family is what its table is for."""
    return message(kind, flags, pack(">BBH", family, 0, 0), *parts)


def batch(*messages: Part) -> Part:
    """All of them or none: a transaction."""
    ends = pack(">BBH", 0, 0, SUBSYSTEM >> 8)
    return join(message(BATCH_BEGIN, 0, ends), *messages, message(BATCH_END, 0, ends))


def elements(table: str, which: Set, pairs: Iterable[tuple[bytes, bytes]], *, add: bool) -> Part:
    """Add or remove keys, with their values in a map."""
    inside = []
    for key, value in pairs:
        with_value = [nested(2, attribute(1, value))] if value and add else []
        inside.append(nested(1, nested(1, attribute(1, key)), *with_value))
    kind, flags = (NEWSETELEM, NLM_F_CREATE) if add else (DELSETELEM, 0)
    return request(kind, flags, text(1, table), text(2, which.name), nested(3, *inside))


_AT_ONCE = 500  # elements: the length of an attribute, of all that it holds, is a number of 16 bits


def changes(table: str, members: Iterable[tuple[Set, tuple[bytes, bytes]]], *, add: bool) -> list[Part]:
    """The messages that add or remove elements of any sets."""
    by_set: dict[Set, list[tuple[bytes, bytes]]] = {}
    for which, pair in members:
        by_set.setdefault(which, []).append(pair)
    return [
        elements(table, which, pairs[at : at + _AT_ONCE], add=add)
        for which, pairs in by_set.items()
        for at in range(0, len(pairs), _AT_ONCE)
    ]


def interface(name: str) -> bytes:
    """A link's name as a key."""
    return name.encode().ljust(16, b"\0")


def port_element(
    address: bytes, protocol: int, port: int, target: bytes, target_port: int
) -> tuple[Set, tuple[bytes, bytes]]:
    """A published port: the map it goes into, its key and its value. An address of zeros is every one of the host's."""
    four = len(target) == 4
    key = bytes([protocol, 0, 0, 0]) + port.to_bytes(2, "big") + b"\0\0"
    value = target + target_port.to_bytes(2, "big") + b"\0\0"
    if any(address):
        return (BOUND4 if four else BOUND6), (address + key, value)
    return (PORTS4 if four else PORTS6), (key, value)


def itself_element(address: bytes) -> tuple[Set, tuple[bytes, bytes]]:
    """A container's address, as where a packet comes from and goes to."""
    return (SELF4 if len(address) == 4 else SELF6), (address + address, b"")


def network_elements(bridge: str, *, internal: bool, masquerade: bool) -> list[tuple[Set, tuple[bytes, bytes]]]:
    """What the sets hold about one network."""
    name = interface(bridge)
    found = [(BRIDGES, (name, b"")), (SAME, (name + name, b""))]
    if internal:
        found.append((INTERNAL, (name, b"")))
    elif masquerade:
        found.append((NATTED, (name, b"")))
    return found


# --- the table as a whole ---------------------------------------------------------------------------------------------


class Firewall(Record):
    """What there is.

    Attributes:
        whole: our table is there, in this edition, with all its chains and as many rules as they should have.
        guarded, closed: the chains `guard` and `exposed` hold their rule.
        drops_input, drops_forward: other tables whose chains drop what they don't know.
    """

    whole: bool
    guarded: bool
    closed: bool
    drops_input: tuple[str, ...]
    drops_forward: tuple[str, ...]


def look(table: str) -> Firewall:
    """Ask the kernel for all chains."""
    counts: dict[str, int] = {}
    drops: dict[int, list[str]] = {INPUT: [], FORWARD: []}
    with connected(NETLINK_NETFILTER) as asking:
        answers = ask(asking, request(GETCHAIN, NLM_F_DUMP, family=0))
    for _, body in answers:
        found = attributes(body, 4)
        owner, name = (found[kind].rstrip(b"\0").decode() for kind in (1, 3))
        if owner == table and body[0] == INET:
            counts[name] = int.from_bytes(found.get(6, b""), "big")
        elif 4 in found and int.from_bytes(found.get(5, b""), "big") == DROP and 5 in found:
            hook = int.from_bytes(attributes(found[4]).get(1, b""), "big")
            if hook in drops and body[0] in (INET, AF_INET, AF_INET6) and not owner.startswith("pycontainer"):
                drops[hook].append(owner)
    whole = all(counts.get(name) == number for name, number in RULES.items())
    jumps = 1  # a jump to a chain counts as a use of it
    return Firewall(
        whole and {EDITION, GUARD, EXPOSED} <= counts.keys(),
        counts.get(GUARD, 0) > jumps,
        counts.get(EXPOSED, 0) > jumps,
        tuple(dict.fromkeys(drops[INPUT])),
        tuple(dict.fromkeys(drops[FORWARD])),
    )


def change(table: str, members: Iterable[tuple[Set, tuple[bytes, bytes]]], *, add: bool) -> None:
    """Add or remove elements, each by itself. One that is not there, or has another value, is not removed."""
    for which, (key, value) in members:
        if not add and value != lookup(table, which, key):
            continue
        try:
            commit(elements(table, which, [(key, value)], add=add))
        except Refused as error:
            if add or error.errno != ENOENT:
                raise


def lookup(table: str, which: Set, key: bytes) -> bytes | None:
    """The value of a key, b"" in a set; None without one."""
    element = nested(3, nested(1, nested(1, attribute(1, key))))
    try:
        with connected(NETLINK_NETFILTER) as asking:
            ask_for = request(GETSETELEM, 0, text(1, table), text(2, which.name), element)
            answers = ask(asking, acknowledged(ask_for))
    except Refused:
        return None
    for _, body in answers:
        inner = attributes(attributes(attributes(body, 4).get(3, b"")).get(1, b""))
        return attributes(inner[2]).get(1, b"") if 2 in inner else b""
    return None


def uninstall(table: str) -> None:
    """Remove the table; it need not be there."""
    own = [text(1, table)]
    commit(request(NEWTABLE, NLM_F_CREATE, *own), request(DELTABLE, 0, *own))


def commit(*messages: Part) -> None:
    """Carry out a transaction. A last message that asks for an acknowledgement says that all is done."""
    *first, last = messages
    with connected(NETLINK_NETFILTER) as asking:
        asking.setsockopt(SOL_SOCKET, SO_SNDBUFFORCE, 1 << 22)
        asking.setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)  # a refusal quotes what it refuses
        ask(asking, batch(*first, acknowledged(last)))
