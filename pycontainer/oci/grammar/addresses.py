"""Addresses: of the Internet, of hardware, and the names that ``--add-host`` gives them."""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.words import host_name, matches


def ip_address(text: str) -> str:
    """An IPv4 or IPv6 address."""
    import _socket  # the C half of socket: +0.3 ms, and only for --dns and --add-host

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return text
    raise UsageError("not an IP address")


def ipv4_address(text: str) -> str:
    """An IPv4 address."""
    if ":" in text:
        raise UsageError("not an IPv4 address")
    return ip_address(text)


def ipv6_address(text: str) -> str:
    """An IPv6 address."""
    if ":" not in text:
        raise UsageError("not an IPv6 address")
    return ip_address(text)


def mac_address(text: str) -> str:
    """``02:42:0a:5a:00:02``: the address of one link, so the lowest bit of its first byte, for groups, is 0."""
    mac = text.lower().replace("-", ":")
    if not matches("[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise UsageError("not a hardware address such as 02:42:0a:5a:00:02")
    return mac


def extra_host(text: str) -> tuple[str, str]:
    """``name:address`` or ``name=address``; an IPv6 address may stand in brackets."""
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not (name and found and address):
        raise UsageError("must be NAME:ADDRESS")
    host_name(name)
    if address == "host-gateway":
        return name, address  # known once it has a network
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return name, ip_address(address)
