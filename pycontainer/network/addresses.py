"""Addresses: which subnet a network has, and which of its addresses are whose.

An address that is taken is a symbolic link, ``RUNROOT/networks/<network>/<address> -> <container ID>``: making it is
atomic, so no two containers get one address and no lock is needed; and the monitor frees it with one unlink. A link
whose container does not live is a killed process's remains.
"""

from __future__ import annotations

import os

from pycontainer.errors import Conflict, UsageError
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def pack(text: str) -> bytes:
    """An address as 4 or 16 bytes. Raises UsageError."""
    from _socket import AF_INET, AF_INET6, inet_pton  # as in netlink.py

    try:
        return inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        raise UsageError(f"{text!r} is not an IP address") from None


def unpack(address: bytes) -> str:
    """An address as people write it."""
    from _socket import AF_INET, AF_INET6, inet_ntop

    return inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address)


class Subnet(Record):
    """The addresses of a network: ``10.88.0.0/16``, its gateway, and what may be given away.

    Attributes:
        subnet, ip_range: ``address/prefix``; the range is the subnet where nothing smaller was asked for.
        gateway: the bridge's own address.
        aux: addresses that somebody else has, by name.
    """

    subnet: str
    gateway: str
    ip_range: str = ""
    aux: dict[str, str] = {}  # noqa: RUF012 - never changed

    @property
    def prefix(self) -> int:
        """The length of the network part, in bits."""
        return int(self.subnet.rpartition("/")[2])

    @property
    def six(self) -> bool:
        """Whether it is IPv6."""
        return ":" in self.subnet


def bounds(subnet: str) -> tuple[int, int, int]:
    """First and last address of ``address/prefix`` as numbers, and how many bytes they have. Raises UsageError."""
    text, slash, length = subnet.partition("/")
    address = pack(text)
    bits = len(address) * 8
    if not slash or not length.isdecimal() or int(length) > bits:
        raise UsageError(f"{subnet!r} is not a subnet: must be address/prefix, as 10.88.0.0/16")
    number, rest = int.from_bytes(address, "big"), (1 << bits - int(length)) - 1
    return number & ~rest, number | rest, len(address)


def normal(subnet: str) -> str:
    """The subnet with zeros where hosts have their bits."""
    first, _, size = bounds(subnet)
    return unpack(first.to_bytes(size, "big")) + "/" + subnet.partition("/")[2]


def inside(address: str, subnet: str) -> bool:
    """Whether an address belongs to a subnet."""
    first, last, size = bounds(subnet)
    packed = pack(address)
    return len(packed) == size and first <= int.from_bytes(packed, "big") <= last


def overlap(one: str, other: str) -> bool:
    """Whether two subnets have an address in common."""
    first, last, size = bounds(one)
    begin, end, length = bounds(other)
    return size == length and first <= end and begin <= last


def candidates(subnet: Subnet, after: str = "") -> Iterator[str]:
    """The addresses to try, in turn from the one after ``after``, so that one just freed rests for a while."""
    lowest, highest, size = bounds(subnet.ip_range or subnet.subnet)
    never = _ends(subnet) | {_number(text) for text in (subnet.gateway, *subnet.aux.values()) if text}
    start = lowest
    if after and lowest <= (number := _number(after)) < highest:
        start = number + 1
    for number in _around(lowest, start, min(highest, lowest + (1 << 20))):
        if number not in never:
            yield unpack(number.to_bytes(size, "big"))


def check(asked: str, subnet: Subnet) -> str:
    """The address that was asked for, as everybody writes it.

    Raises:
        UsageError: no container can have it in that subnet.
        Conflict: somebody else has it for good.
    """
    address = unpack(pack(asked))
    if not inside(address, subnet.subnet):
        raise UsageError(f"address {address} is not inside of subnet {subnet.subnet}")
    if _number(address) in _ends(subnet):
        raise UsageError(f"address {address} means all of subnet {subnet.subnet}: no container can have it")
    if address == subnet.gateway:
        raise Conflict(f"address {address} is the gateway's")
    for name, taken in subnet.aux.items():
        if _number(address) == _number(taken):
            raise Conflict(f"address {address} is kept for {name}: the network was made with --aux-address")
    return address


def _ends(subnet: Subnet) -> set[int]:
    """The network's own address; with IPv4 that of the broadcast too."""
    first, last, size = bounds(subnet.subnet)
    return {first, last} if size == 4 and last - first > 1 else {first}


def _number(address: str) -> int:
    return int.from_bytes(pack(address), "big")


def _around(lowest: int, start: int, highest: int) -> Iterator[int]:
    yield from range(start, highest + 1)
    yield from range(lowest, start)


def take(directory: str, subnet: Subnet, owner: str, asked: str, lives: Callable[[str], bool]) -> str:
    """Take an address of the subnet for ``owner``.

    Args:
        directory: of the network's addresses.
        subnet: where it comes from.
        owner: a container's ID.
        asked: the address that it must be, or "".
        lives: whether a container with that ID is alive.

    Raises Conflict: the address is taken, or all are.
    """
    if asked:
        if not _take(directory, asked, owner) and not _replace(directory, asked, owner, lives):
            raise Conflict(f"address {asked} is already in use by container {_owner(directory, asked)[:12]}")
        return asked
    last = _hint(directory, subnet)
    for round in range(2):
        taken = set(os.listdir(directory))
        for address in candidates(subnet, last):
            if address not in taken and _take(directory, address, owner):
                _remember(directory, subnet, address)
                return address
        if round == 0:
            release_dead(directory, lives)
    raise Conflict(f"no address is free in {subnet.ip_range or subnet.subnet}", hint="remove containers that use it")


def _take(directory: str, address: str, owner: str) -> bool:
    try:
        os.symlink(owner, f"{directory}/{address}")
    except FileExistsError:
        return False
    return True


def _owner(directory: str, address: str) -> str:
    try:
        return os.readlink(f"{directory}/{address}")
    except OSError:
        return ""


def _replace(directory: str, address: str, owner: str, lives: Callable[[str], bool]) -> bool:
    holder = _owner(directory, address)
    if holder == owner:
        return True
    if lives(holder):
        return False
    release(directory, [address])
    return _take(directory, address, owner)


def _hint(directory: str, subnet: Subnet) -> str:
    try:
        return os.readlink(f"{directory}/.last{6 if subnet.six else 4}")
    except OSError:
        return ""


def _remember(directory: str, subnet: Subnet, address: str) -> None:
    """Where to go on; a race over it costs nothing."""
    path = f"{directory}/.last{6 if subnet.six else 4}"
    with suppress(OSError):
        os.unlink(path)
    with suppress(OSError):
        os.symlink(address, path)


def release(directory: str, addresses: Iterable[str]) -> None:
    """Give addresses back; they need not be taken."""
    for address in addresses:
        with suppress(OSError):
            os.unlink(f"{directory}/{address}")


def release_dead(directory: str, lives: Callable[[str], bool]) -> None:
    """Give back what belongs to containers that do not live."""
    for address in os.listdir(directory):
        if not address.startswith(".") and not lives(_owner(directory, address)):
            release(directory, [address])


def users(directory: str) -> dict[str, str]:
    """Address -> container ID."""
    try:
        found = [name for name in os.listdir(directory) if not name.startswith(".")]
    except FileNotFoundError:
        return {}
    return {name: _owner(directory, name) for name in found}


def mac_of(address: bytes) -> bytes:
    """A hardware address made of an IP address: whoever gets that address next keeps its neighbours' tables right."""
    return b"\x02\x42" + address[-4:]


def mac(text: str) -> bytes:
    """``02:42:0a:58:00:02`` as bytes. Raises UsageError."""
    parts = text.replace("-", ":").split(":")
    try:
        value = bytes(int(part, 16) for part in parts if len(part) == 2)
    except ValueError:
        value = b""
    if len(parts) != 6 or len(value) != 6 or value[0] & 1 or not any(value):
        raise UsageError(f"{text!r} is not a hardware address such as 02:42:0a:58:00:02")
    return value
