"""Networks as docker describes them: `network inspect`, and the part about networks of `inspect`."""

from __future__ import annotations

from pycontainer.engine import containers
from pycontainer.engine.moments import rfc3339
from pycontainer.engine.network.attachments import attachment_of
from pycontainer.engine.network.endpoints import wanted
from pycontainer.engine.network.networks import BUILT_IN, members
from pycontainer.engine.recall import recalled
from pycontainer.errors import NotFound, StoreError
from pycontainer.network import store
from pycontainer.network.connection import Attachment, Connection
from pycontainer.network.store import DEFAULT, Network
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.network.addresses import Subnet
    from pycontainer.oci.grammar.networks import Endpoint


def documents(roots: Roots) -> list[dict[str, Any]]:
    """All networks, in docker's shape."""
    every = store.names(roots.root)
    return [document(roots, name) for name in sorted({*every, *BUILT_IN})]


def document(roots: Roots, name: str) -> dict[str, Any]:
    """What ``docker network inspect`` says of a network (Engine API, Network). Raises NotFound."""
    network = _network(roots, name)
    pools = [_pool(subnet) for subnet in network.subnets]
    used = members(roots, network) if network.subnets else []
    options = {"bridge": network.bridge, **network.options} if network.bridge and network.is_bridge else network.options
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created),
        "Scope": "local",
        "Driver": "null" if network.config_only else network.driver,
        "EnableIPv4": bool(network.ipv4),
        "EnableIPv6": bool(network.ipv6),
        "IPAM": {"Driver": "default", "Options": network.ipam_options, "Config": pools},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
        "Containers": {a.container: _endpoint(roots, a, network.name) for a in used},
        "Options": dict(options),
        "Labels": network.labels,
    }


def _network(roots: Roots, name: str) -> Network:
    """The network, or what stands for one that has no record. Raises NotFound."""
    if name in store.MODES:
        return Network("0" * 64, name, "", 0, (), driver={"none": "null"}.get(name, name))
    if name == DEFAULT and DEFAULT not in store.names(roots.root):
        return Network("0" * 64, name, "", 0, ())
    return store.find(roots.root, name)


def in_the_kernel(roots: Roots, name: str) -> dict[str, Any]:
    """What the kernel has of a network now: its own link, and the host's ends of its containers' cables."""
    from pycontainer.network import host

    network = _network(roots, name)
    ends = {network.bridge: ""} if network.bridge else {}
    for attachment in members(roots, network):
        for connection in attachment.connections:
            if connection.network == network.name and connection.is_bridged:
                ends[attachment.host_end(connection).name] = attachment.container
    state = host.state_of(list(ends))
    return {"Links": {end: {**state[end], "Container": ends[end]} for end in ends if end in state}}


def _pool(subnet: Subnet) -> dict[str, Any]:
    pool: dict[str, Any] = {"Subnet": subnet.subnet, "Gateway": subnet.gateway}
    if subnet.ip_range:
        pool["IPRange"] = subnet.ip_range
    if subnet.aux:
        pool["AuxiliaryAddresses"] = subnet.aux
    return pool


def _endpoint(roots: Roots, attachment: Attachment, name: str) -> dict[str, Any]:
    connection = next(c for c in attachment.connections if c.network == name)
    try:
        called = containers.find(roots, attachment.container).name
    except (NotFound, StoreError):
        called = ""
    return {
        "Name": called,
        "EndpointID": _endpoint_id(attachment, connection),
        "MacAddress": connection.mac,
        "IPv4Address": connection.ipv4,
        "IPv6Address": connection.ipv6,
    }


def settings_document(roots: Roots, container: Container) -> dict[str, Any]:
    """The part ``NetworkSettings`` of what ``docker inspect`` says of a container."""
    alive = container.runs
    attachment = (attachment_of(roots, container.id) if alive else None) or Attachment(container.id)
    ports: dict[str, Any] = {}
    for port in attachment.ports:
        bound = ports.setdefault(f"{port.target_port}/{port.protocol}", [])
        bound.append({"HostIp": port.host, "HostPort": str(port.port)})
    options = recalled(container.options)
    asked = wanted(options) if options.network == "bridge" else ()
    have = {connection.network: connection for connection in attachment.connections}
    every = {each.name: _settings(roots, attachment, each, have.get(each.name)) for each in asked}
    of_default = every.get(DEFAULT) or _NOWHERE
    return {
        "Bridge": "",
        "SandboxID": container.id if alive else "",
        "SandboxKey": f"/proc/{container.pid}/ns/net" if alive else "",
        "Ports": ports,
        **{name: of_default[name] for name in _NOWHERE},  # docker has these twice, for the default network only
        "Networks": every or _of_mode(container.options.get("network", "")),
    }


_NOWHERE = {
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}


def _of_mode(mode: str) -> dict[str, Any]:
    """``none`` and ``host`` count as networks in docker."""
    return {mode: {"IPAMConfig": None, "Links": None, "Aliases": None, **_NOWHERE}} if mode in ("none", "host") else {}


def _settings(roots: Roots, attachment: Attachment, asked: Endpoint, have: Connection | None) -> dict[str, Any]:
    """One network: what was asked of it, and what the container has of it while it runs."""
    addresses = {"IPv4Address": asked.ip, "IPv6Address": asked.ip6, "LinkLocalIPs": list(asked.link_local)}
    settings: dict[str, Any] = {
        "IPAMConfig": {name: value for name, value in addresses.items() if value} or None,
        "Links": [f"{container}:{name}" for container, name in asked.links] or None,
        "Aliases": list(asked.aliases) or None,
        "DriverOpts": None,
        "GwPriority": asked.gw_priority,
        "NetworkID": _id_of(roots, asked.name),
        **_NOWHERE,
        "DNSNames": None,
    }
    if have is None:
        return settings
    four, _, prefix = have.ipv4.partition("/")
    six, _, length = have.ipv6.partition("/")
    gateways = {":" in gateway: gateway for gateway in have.gateways}
    return settings | {
        "MacAddress": have.mac,
        "EndpointID": _endpoint_id(attachment, have),
        "Gateway": gateways.get(False, ""),
        "IPAddress": four,
        "IPPrefixLen": int(prefix or 0),
        "IPv6Gateway": gateways.get(True, ""),
        "GlobalIPv6Address": six,
        "GlobalIPv6PrefixLen": int(length or 0),
        "DNSNames": list(have.names) or None,
    }


def _id_of(roots: Roots, name: str) -> str:
    try:
        return store.load(roots.root, name).id
    except (NotFound, StoreError):
        return ""


def _endpoint_id(attachment: Attachment, connection: Connection) -> str:
    return f"{attachment.container[:32]}{connection.number:032x}"
