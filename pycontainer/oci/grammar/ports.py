"""Ports: those that are published, those that could be."""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.addresses import ip_address
from pycontainer.oci.grammar.numbers import integer
from pycontainer.record import Record


class Publication(Record):
    """One ``-p``: ports of the host, 0 for any that is free, and ports of the container.

    Attributes:
        host: an address of the host's, or "" for those that the configuration says.
    """

    host: str
    host_first: int
    host_last: int
    first: int
    last: int
    protocol: str


_PROTOCOLS = ("tcp", "udp", "sctp")


def _port_range(text: str, *, lowest: int = 1) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    number = integer(lowest, 65535)
    low, high = number(first), number(last if dash else first)
    if low > high:
        raise UsageError(f"port range {text} runs backwards")
    return low, high


def _port_of_container(text: str) -> tuple[int, int, str]:
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise UsageError(f"protocol {protocol!r}: must be tcp, udp or sctp")
    return *_port_range(ports), protocol


def publish(text: str) -> Publication:
    """``[address:][port[-port]:]port[-port][/tcp|udp|sctp]``: of the host, then of the container.

    An IPv6 address stands in brackets. Without the host's port, or with 0, any that is free.
    """
    *before, inner = text.rsplit(":", 1)
    first, last, protocol = _port_of_container(inner)
    host, outer = "", before[0] if before else ""
    if before and (":" in outer or "." in outer or outer.startswith("[")):
        host, _, outer = outer.rpartition(":")
        if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
            raise UsageError("an IPv6 address must stand in brackets: [::1]:8080:80")
        host = ip_address(host.strip("[]"))
    host_first, host_last = _port_range(outer, lowest=0) if outer else (0, 0)
    if host_last - host_first != last - first and first != last and host_first:
        raise UsageError("the two ranges of ports differ in length")
    return Publication(host, host_first, host_last, first, last, protocol)


def expose(text: str) -> list[Publication]:
    """``80``, ``80/udp``, ``8000-8010``: ports that ``-P`` publishes on any that are free."""
    first, last, protocol = _port_of_container(text)
    return [Publication("", 0, 0, port, port, protocol) for port in range(first, last + 1)]


def exposed(text: str) -> str:
    """Check one ``--expose``."""
    _port_of_container(text)
    return text
