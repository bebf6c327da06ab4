"""Netlink: messages to the kernel about links, addresses, routes and packet filters (netlink(7)).

A message is a header, a fixed structure that its type has, and attributes, which may nest. Some are sent by the
performer as system calls of a plan, so a message may hold a descriptor or a pid that is known only then: a part is
``bytes``, or a :class:`~pycontainer.core.step.Struct` with slots in it.
"""

from __future__ import annotations

import os
from _struct import pack, unpack_from  # `struct` itself is a file more to be read

from pycontainer.core.step import Slot, Struct
from pycontainer.light import contextmanager
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterator

Part = bytes | Struct

AF_NETLINK, SOCK_RAW = 16, 3
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x200, 0x400, 0x800
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED = 0x8000
ACKNOWLEDGEMENT_BYTES = 36
"""An acknowledgement holds the header of what it acknowledges; a refusal holds all of it, so it is longer."""


def join(*parts: Part) -> Part:
    """Put parts behind each other, and keep track of where their slots are."""
    data, slots = b"", []
    for part in parts:
        if isinstance(part, Struct):
            slots += [(len(data) + at, slot) for at, slot in part.slots]
            part = part.data
        data += part
    return Struct(data, slots=tuple(slots)) if slots else data


def size(part: Part) -> int:
    """Its length in bytes."""
    return len(part.data if isinstance(part, Struct) else part)


def attribute(kind: int, value: Part) -> Part:
    """One attribute, padded to a multiple of 4: struct nlattr."""
    length = size(value)
    return join(pack("HH", 4 + length, kind), value, bytes(-length % 4))


def nested(kind: int, *attributes: Part) -> Part:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, join(*attributes))


def text(kind: int, value: str) -> Part:
    """A NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> Part:
    """A number in the machine's byte order, as rtnetlink has them."""
    return attribute(kind, pack("I", value))


def be32(kind: int, value: int) -> Part:
    """A number in network byte order, as nfnetlink has them."""
    return attribute(kind, pack(">I", value))


def held(kind: int, slot: Slot) -> Part:
    """A descriptor or pid that a slot of the plan holds."""
    return attribute(kind, Struct(bytes(4), slots=((0, slot),)))


def message(kind: int, flags: int, *parts: Part, sequence: int = 0) -> Part:
    """A whole message: struct nlmsghdr, then the parts."""
    body = join(*parts)
    return join(pack("IHHII", 16 + size(body), kind, flags | NLM_F_REQUEST, sequence, 0), body)


def acknowledged(part: Part) -> Part:
    """The message, with a request to be answered."""
    data = part.data if isinstance(part, Struct) else part
    kind, flags = unpack_from("HH", data, 4)
    return join(data[:4], pack("HH", kind, flags | NLM_F_ACK), _from(part, 8))


def _from(part: Part, start: int) -> Part:
    if isinstance(part, bytes):
        return part[start:]
    return Struct(part.data[start:], slots=tuple((at - start, slot) for at, slot in part.slots))


def tell(to: socket, request: Part) -> None:
    """Send one message and wait until it is done. Raises Refused."""
    ask(to, acknowledged(request))


class Refused(OSError):
    """The kernel's answer was an error number."""


@contextmanager
def connected(protocol: int) -> Iterator[socket]:
    """A socket for this process's own network namespace."""
    import _socket  # the C half of socket: +0.3 ms, for containers with a network only

    made = _socket.socket(AF_NETLINK, SOCK_RAW | os.O_CLOEXEC, protocol)
    try:
        made.bind((0, 0))
        made.settimeout(10)
        yield made
    finally:
        made.close()


def ask(to: socket, request: Part) -> list[tuple[int, bytes]]:
    """Send messages, the last of which asks for an acknowledgement or is a question, and collect the answers.

    Each answer is (type, body). Raises Refused for the first error.
    """
    assert isinstance(request, bytes)
    to.send(request)
    answers: list[tuple[int, bytes]] = []
    while True:
        data, at = to.recv(1 << 17), 0
        while at < len(data):
            length, kind = unpack_from("IH", data, at)
            body = data[at + 16 : at + length]
            if kind == NLMSG_ERROR:
                (number,) = unpack_from("i", body)
                if number:
                    raise Refused(-number, os.strerror(-number))
                return answers
            if kind == NLMSG_DONE:
                return answers
            answers.append((kind, body))
            at += (length + 3) & ~3


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """The attributes in ``data`` from ``at`` on."""
    found = {}
    while at + 4 <= len(data):
        length, kind = unpack_from("HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found
