"""Networks, and what a container is in one."""

from __future__ import annotations

from pycontainer.errors import Unsupported, UsageError
from pycontainer.light import lru_cache
from pycontainer.oci.grammar.addresses import ip_address, ipv4_address, ipv6_address, mac_address
from pycontainer.oci.grammar.numbers import integer
from pycontainer.oci.grammar.words import NAMES, csv_fields, host_name, is_name, key_value, plain
from pycontainer.record import Record

NO_ENDPOINT_OPTIONS = "what a container is in a network has no options of its own"


class Endpoint(Record):
    """One ``--network``: a network, and what the container is there.

    Attributes:
        name: of the network; or a mode: ``none``, ``host``, ``container:X``.
        aliases: further names that the others there may call it.
        ip, ip6, mac: what it must have, or "".
        link_local: further addresses.
        gw_priority: the network of the highest is the way elsewhere.
        links: containers that it knows by names of its own: (container, name).
    """

    name: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    link_local: tuple[str, ...] = ()
    gw_priority: int = 0
    links: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=64)  # a program that starts many containers says the same each time
def network(text: str) -> Endpoint:
    """``bridge``, ``none``, ``host``, ``container:X``, a network's name; or long: ``name=X,alias=a,ip=10.9.0.5``."""
    fields = csv_fields(text) if "=" in text else [f"name={text}"]
    made, link_local, aliases = Endpoint(""), [], []
    for key, value in map(key_value, fields):
        if key == "name":
            made = made._replace(name=network_name(value))
        elif key == "alias":
            aliases.append(host_name(value))
        elif key == "ip":
            made = made._replace(ip=ipv4_address(value))
        elif key == "ip6":
            made = made._replace(ip6=ipv6_address(value))
        elif key == "mac-address":
            made = made._replace(mac=mac_address(value))
        elif key == "link-local-ip":
            link_local.append(ip_address(value))
        elif key == "driver-opt":
            raise Unsupported(f"driver-opt is not supported: {NO_ENDPOINT_OPTIONS}")
        elif key == "gw-priority":
            made = made._replace(gw_priority=integer(-(2**31), 2**31 - 1)(value))
        else:
            raise UsageError(f"invalid field {key!r}")
    if not made.name:
        raise UsageError("no name of a network")
    return made._replace(link_local=tuple(link_local), aliases=tuple(aliases))


def link(text: str) -> tuple[str, str]:
    """``container[:name]`` -> the container, and what it is called."""
    container, colon, name = text.partition(":")
    container = container.removeprefix("/")
    if not container or (colon and not name):
        raise UsageError("must be container[:name]")
    return plain(container), host_name(name.removeprefix("/") or container)


def network_name(text: str) -> str:
    """A network's name, ID or mode."""
    kind, colon, other = text.partition(":")
    if colon and kind == "container":
        if not other:
            raise UsageError("container: needs the name of a container")
        return plain(text)
    if text == "default":
        return "bridge"
    if not is_name(text) or len(text) > 128:
        raise UsageError(f"{text!r} can't be the name of a network: {NAMES}")
    return text
