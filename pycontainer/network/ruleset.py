"""The rules of the packet filter, and the table made of them (nft(8), libnftnl's terms).

A rule is a little program: load something of the packet into a register, compare it or look it up, and decide.
"""

from __future__ import annotations

from _struct import pack  # `struct` itself is a file more to be read

from pycontainer.network.netlink import NLM_F_APPEND, NLM_F_CREATE, Part, attribute, be32, nested, text
from pycontainer.network.nftables import (
    AF_INET,
    AF_INET6,
    BOUND4,
    BOUND6,
    BRIDGES,
    DELTABLE,
    DROP,
    EDITION,
    EXPOSED,
    FORWARD,
    GUARD,
    IFNAME,
    INPUT,
    INTERNAL,
    NATTED,
    NEWCHAIN,
    NEWRULE,
    NEWSET,
    NEWTABLE,
    PORTS4,
    PORTS6,
    SAME,
    SELF4,
    SELF6,
    SETS,
    Set,
    changes,
    commit,
    request,
)
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREROUTING, _OUTPUT, _POSTROUTING = 0, 3, 4
_ACCEPT, _JUMP = 1, -3
_VERDICT, _R1, _R2, _R9 = 0, 1, 2, 9  # registers: 16 bytes each, and number 9 is the second word of register 1


# --- expressions: a rule is a little program -----------------------------------------------------------------------


def _expression(name: str, *parts: Part) -> Part:
    return nested(1, text(1, name), nested(2, *parts))


def _meta(key: int, register: int = _R1) -> Part:
    return _expression("meta", be32(1, register), be32(2, key))


_IIFNAME, _OIFNAME, _NFPROTO, _L4PROTO = 6, 7, 15, 16


def _payload(base: int, offset: int, length: int, register: int = _R1) -> Part:
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


_NETWORK, _TRANSPORT = 1, 2


def _compare(value: bytes, *, equal: bool = True) -> Part:
    return _expression("cmp", be32(1, _R1), be32(2, 0 if equal else 1), nested(3, attribute(1, value)))


def _mask(mask: bytes) -> Part:
    length = len(mask)
    return _expression(
        "bitwise",
        *(be32(1, _R1), be32(2, _R1), be32(3, length)),
        *(nested(4, attribute(1, mask)), nested(5, attribute(1, bytes(length)))),
    )


def _in(which: Set, *, inverted: bool = False) -> Part:
    return _expression("lookup", text(1, which.name), be32(2, _R1), *([be32(5, 1)] if inverted else []))


def _value_from(which: Set) -> Part:
    return _expression("lookup", text(1, which.name), be32(2, _R1), be32(3, _R1))


def _verdict(code: int, chain: str = "") -> Part:
    to = [text(2, chain)] if chain else []
    return _expression("immediate", be32(1, _VERDICT), nested(2, nested(2, be32(1, code & 0xFFFFFFFF), *to)))


_MASQUERADE = _expression("masq")
_ARRIVED_BY, _LEAVES_BY = (_meta(key) for key in (_IIFNAME, _OIFNAME))
_STATUS_DNAT = (_expression("ct", be32(1, _R1), be32(2, 2)), _mask(pack("I", 0x20)), _compare(bytes(4), equal=False))
_ANSWERS = (_expression("ct", be32(1, _R1), be32(2, 0)), _mask(pack("I", 0b110)), _compare(bytes(4), equal=False))
_TO_THIS_HOST = (_expression("fib", be32(1, _R1), be32(2, 3), be32(3, 2)), _compare(pack("I", 2)))  # daddr type local
_IS_IPV4, _IS_IPV6 = ((_meta(_NFPROTO), _compare(bytes([kind]))) for kind in (AF_INET, AF_INET6))
_SAME_BRIDGE = (_meta(_IIFNAME), _meta(_OIFNAME, _R2), _in(SAME))


def _dnat(family: int) -> Part:
    """Send it to the address and port that are in the registers."""
    port = _R9 if family == AF_INET else _R2
    return _expression(
        "nat", be32(1, 1), be32(2, family), be32(3, _R1), be32(4, _R1), be32(5, port), be32(6, port), be32(7, 2)
    )


def _published(*, by_this_host: bool = False) -> Iterable[tuple[Part, ...]]:
    """To where a published port leads. The key is gathered from registers side by side, one word each.

    What this host sends to ::1 is left alone, to be refused at once: no answer to ::1 is taken from a bridge.
    """
    elsewhere = (_payload(_NETWORK, 24, 16), _compare(bytes(15) + b"\1", equal=False)) if by_this_host else ()
    protocol, port = _meta(_L4PROTO, 8), _payload(_TRANSPORT, 2, 2, 9)
    yield (*_IS_IPV4, *_TO_THIS_HOST, protocol, port, _value_from(PORTS4), _dnat(AF_INET))
    yield (*_IS_IPV6, *elsewhere, *_TO_THIS_HOST, protocol, port, _value_from(PORTS6), _dnat(AF_INET6))
    keyed = (_meta(_L4PROTO, 9), _payload(_TRANSPORT, 2, 2, 10))
    yield (*_IS_IPV4, _payload(_NETWORK, 16, 4, 8), *keyed, _value_from(BOUND4), _dnat(AF_INET))
    keyed = (_meta(_L4PROTO, 12), _payload(_TRANSPORT, 2, 2, 13))
    yield (*_IS_IPV6, _payload(_NETWORK, 24, 16, 8), *keyed, _value_from(BOUND6), _dnat(AF_INET6))


def _to_localhost_from_outside() -> tuple[Part, ...]:
    """Nobody sends to 127.0.0.0/8 but this host itself.

    route_localnet lets such packets of containers in, for our own translation. And those of whoever is on the same wire
    as the host would be translated, to a port that is published for this host alone, before the kernel drops them.
    """
    to_loopback = (_payload(_NETWORK, 16, 1), _compare(b"\x7f"))
    from_elsewhere = (_ARRIVED_BY, _compare(b"lo".ljust(16, b"\0"), equal=False))
    return (*from_elsewhere, *_IS_IPV4, *to_loopback, _verdict(DROP))


def _asks_for_names() -> Iterable[tuple[Part, ...]]:
    """A name server of the host's would carry questions out of an internal network (CVE-2024-29018)."""
    for protocol in (6, 17):
        to_domain = (_meta(_L4PROTO), _compare(bytes([protocol])), _payload(_TRANSPORT, 2, 2), _compare(b"\0\x35"))
        yield (_ARRIVED_BY, _in(INTERNAL), *to_domain, _verdict(DROP))


class Chain(Record):
    """Rules in order; with a hook, the kernel sends packets through it.

    Attributes:
        kind: ``filter`` or ``nat``, or "" for one that others jump to.
        priority: the smaller, the earlier.
    """

    name: str
    rules: tuple[tuple[Part, ...], ...]
    kind: str = ""
    hook: int = 0
    priority: int = 0


CHAINS = (
    Chain(EDITION, ()),
    Chain(GUARD, ()),
    Chain(EXPOSED, ()),
    Chain("raw", (_to_localhost_from_outside(),), "filter", _PREROUTING, -300),
    Chain("input", tuple(_asks_for_names()), "filter", INPUT, 0),
    Chain(
        "forward",
        (
            (*_SAME_BRIDGE, _verdict(_ACCEPT)),
            (_ARRIVED_BY, _in(INTERNAL), _verdict(DROP)),
            (_LEAVES_BY, _in(INTERNAL), _verdict(DROP)),
            (*_ANSWERS, _verdict(_ACCEPT)),
            (_LEAVES_BY, _in(BRIDGES), *_STATUS_DNAT, _verdict(_JUMP, EXPOSED)),
            (_LEAVES_BY, _in(BRIDGES), *_STATUS_DNAT, _verdict(_ACCEPT)),
            (_LEAVES_BY, _in(BRIDGES), _verdict(DROP)),
            (_ARRIVED_BY, _in(BRIDGES), _verdict(_ACCEPT)),
            (_verdict(_JUMP, GUARD),),
        ),
        "filter",
        FORWARD,
        0,
    ),
    Chain("prerouting", tuple(_published()), "nat", _PREROUTING, -100),
    Chain("output", tuple(_published(by_this_host=True)), "nat", _OUTPUT, -100),
    Chain(
        "postrouting",
        (
            (_LEAVES_BY, _in(BRIDGES), *_IS_IPV4, _payload(_NETWORK, 12, 1), _compare(b"\x7f"), _MASQUERADE),
            (*_SAME_BRIDGE, *_STATUS_DNAT, _MASQUERADE),
            # with br_netfilter packets stay on the bridge, and nothing says by which link they came
            (*_IS_IPV4, _payload(_NETWORK, 12, 4, 8), _payload(_NETWORK, 16, 4, 9), _in(SELF4), _MASQUERADE),
            (*_IS_IPV6, _payload(_NETWORK, 8, 16, 8), _payload(_NETWORK, 24, 16, 12), _in(SELF6), _MASQUERADE),
            (_ARRIVED_BY, _in(NATTED), _LEAVES_BY, _in(BRIDGES, inverted=True), _MASQUERADE),
        ),
        "nat",
        _POSTROUTING,
        100,
    ),
)


# --- the table -----------------------------------------------------------------------------------------------------


def _make_set(table: str, which: Set) -> Part:
    value = [] if which.value is None else [be32(6, which.value[0]), be32(7, which.value[1])]
    flags = 0 if which.value is None else 8  # NFT_SET_MAP
    key = (be32(4, which.key[0]), be32(5, which.key[1]))
    order = [attribute(13, b"\0\4" + pack("I", 1))] if which.key[0] == IFNAME else []  # nft(8) needs it to print names
    return request(
        NEWSET,
        NLM_F_CREATE,
        *(text(1, table), text(2, which.name), be32(3, flags)),
        *(*key, *value, be32(10, which.number), *order),
    )


def _make_chain(table: str, chain: Chain) -> Part:
    hook: list[Part] = []
    if chain.kind:
        hook = [nested(4, be32(1, chain.hook), be32(2, chain.priority & 0xFFFFFFFF)), text(7, chain.kind)]
    return request(NEWCHAIN, NLM_F_CREATE, text(1, table), text(3, chain.name), *hook)


def _make_rule(table: str, chain: str, rule: tuple[Part, ...]) -> Part:
    return request(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, text(1, table), text(2, chain), nested(4, *rule))


def install(
    table: str,
    members: Iterable[tuple[Set, tuple[bytes, bytes]]],
    *,
    guard: bool,
    closed: bool,
) -> None:
    """Make the table anew, in one transaction, so that no packet sees half of it.

    Args:
        table: its name.
        members: the elements of its sets.
        guard: drop what is forwarded and none of ours: this host was no router before we made it one.
        closed: published ports are for the host itself and its containers, since the host's firewall lets nothing in.
    """
    own = [text(1, table)]
    made = [request(NEWTABLE, NLM_F_CREATE, *own), request(DELTABLE, 0, *own), request(NEWTABLE, NLM_F_CREATE, *own)]
    made += [_make_set(table, which) for which in SETS]
    made += [_make_chain(table, chain) for chain in CHAINS]
    made += [_make_rule(table, chain.name, rule) for chain in CHAINS for rule in chain.rules]
    if guard:
        made.append(_make_rule(table, GUARD, (_verdict(DROP),)))
    if closed:
        made.append(_make_rule(table, EXPOSED, (_ARRIVED_BY, _in(BRIDGES, inverted=True), _verdict(DROP))))
    made += changes(table, members, add=True)
    commit(*made)
