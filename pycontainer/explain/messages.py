"""Messages to the kernel in words: the names and addresses in them, for people who follow a start (netlink(7))."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

from pycontainer.core.step import Struct
from pycontainer.network import links, nftables
from pycontainer.network.addresses import unpack
from pycontainer.network.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    attributes,
)
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.explain.values import Value

_FLAGS = {
    NLM_F_REQUEST: "NLM_F_REQUEST",
    NLM_F_ACK: "NLM_F_ACK",
    NLM_F_EXCL: "NLM_F_EXCL",
    NLM_F_CREATE: "NLM_F_CREATE",
}
_TYPES = {
    getattr(links, name): name for name in ("RTM_NEWLINK", "RTM_DELLINK", "RTM_SETLINK", "RTM_NEWADDR", "RTM_NEWROUTE")
}
_FILTER_TYPES = {
    nftables.BATCH_BEGIN: "NFNL_MSG_BATCH_BEGIN",
    nftables.BATCH_END: "NFNL_MSG_BATCH_END",
    nftables.NEWSETELEM: "NFT_MSG_NEWSETELEM",
    nftables.DELSETELEM: "NFT_MSG_DELSETELEM",
}


def messages(data: bytes | Struct, *, filters: bool) -> Iterator[tuple[str, str, dict[str, Value]]]:
    """Type, flags, and what each of them is about. Types have other meanings in rtnetlink and in nfnetlink."""
    types = _FILTER_TYPES if filters else _TYPES
    raw, at = data.data if isinstance(data, Struct) else data, 0
    while at + 16 <= len(raw):
        length, kind, flags = unpack_from("IHH", raw, at)
        named = "|".join(name for bit, name in _FLAGS.items() if flags & bit)
        body = raw[at + 16 : at + length]
        yield types.get(kind, str(kind)), named, _elements(kind, body) if filters else _about(kind, body)
        at += (length + 3) & ~3


def _about(kind: int, body: bytes) -> dict[str, Value]:
    if kind == links.RTM_NEWLINK:
        return _link(attributes(body, 16))
    if kind == links.RTM_NEWADDR:
        return {"IFA_LOCAL": f"{unpack(attributes(body, 8)[links.IFA_LOCAL])}/{body[1]}"}
    if kind == links.RTM_NEWROUTE:
        way = attributes(body, 12)
        if links.RTA_GATEWAY not in way:
            return {"RTA_DST": "default", "RTA_OIF": int.from_bytes(way[links.RTA_OIF], "little")}
        return {"RTA_DST": "default", "RTA_GATEWAY": unpack(way[links.RTA_GATEWAY])}
    return {}


def _elements(kind: int, body: bytes) -> dict[str, Value]:
    if kind not in (nftables.NEWSETELEM, nftables.DELSETELEM):
        return {}
    found = attributes(body, 4)
    return {"table": _text(found[1]), "set": _text(found[2])}


def _link(found: dict[int, bytes]) -> dict[str, Value]:
    told: dict[str, Value] = {"IFLA_IFNAME": _text(found[links.IFLA_IFNAME])}
    for name in ("IFLA_MASTER", "IFLA_LINK"):
        if (number := getattr(links, name)) in found:
            told[name] = int.from_bytes(found[number], "little")
    information = attributes(found.get(links.IFLA_LINKINFO, b""))
    peer = attributes(information.get(links.IFLA_INFO_DATA, b"")).get(links.VETH_INFO_PEER)
    if peer and told.get("IFLA_MASTER"):
        inner = attributes(peer, 16)
        told["VETH_INFO_PEER"] = {
            "IFLA_IFNAME": _text(inner[links.IFLA_IFNAME]),
            "IFLA_ADDRESS": inner[links.IFLA_ADDRESS].hex(":"),
        }
    return told


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
