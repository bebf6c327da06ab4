"""Networks as docker describes them: `network inspect`, and the part about networks of `inspect`."""

from __future__ import annotations

from pycontainer.engine import containers
from pycontainer.engine.attachments import attachment_of
from pycontainer.engine.networks import BUILT_IN, members
from pycontainer.errors import NotFound
from pycontainer.network import store
from pycontainer.network.connection import Attachment, Connection
from pycontainer.network.store import DEFAULT, Network
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.network.addresses import Subnet


def documents(roots: Roots) -> list[dict[str, Any]]:
    """All networks, in docker's shape."""
    every = store.names(roots.root)
    return [document(roots, name) for name in sorted({*every, *BUILT_IN})]


def document(roots: Roots, name: str) -> dict[str, Any]:
    """What ``docker network inspect`` says of a network (Engine API, Network). Raises NotFound."""
    from pycontainer.engine.inspect import ZERO_TIME, rfc3339

    used: list[Attachment] = []
    if name in store.MODES:
        network, driver = Network("0" * 64, name, "", 0, ()), {"none": "null"}.get(name, name)
    elif name == DEFAULT and DEFAULT not in store.names(roots.root):
        network, driver = Network("0" * 64, name, "", 0, ()), "bridge"
    else:
        network, driver = store.find(roots.root, name), "bridge"
        used = members(roots, network)
    pools = [_pool(subnet) for subnet in network.subnets]
    options = {"bridge": network.bridge, **network.options} if network.bridge else dict(network.options)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created) if network.created else ZERO_TIME,
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": bool(network.ipv4),
        "EnableIPv6": bool(network.ipv6),
        "IPAM": {"Driver": "default", "Options": {}, "Config": pools},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {a.container: _endpoint(roots, a, network.name) for a in used},
        "Options": options,
        "Labels": network.labels,
    }


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
    except NotFound:
        called = ""
    return {
        "Name": called,
        "EndpointID": f"{attachment.container[:32]}{connection.number:032x}",
        "MacAddress": connection.mac,
        "IPv4Address": connection.ipv4,
        "IPv6Address": connection.ipv6,
    }


def settings_document(roots: Roots, container: Container) -> dict[str, Any]:
    """The part ``NetworkSettings`` of what ``docker inspect`` says of a container."""
    attachment = attachment_of(roots, container.id) if container.state in ("running", "paused") else None
    attachment = attachment or Attachment(container.id)
    ports: dict[str, Any] = {}
    for port in attachment.ports:
        bound = ports.setdefault(f"{port.target_port}/{port.protocol}", [])
        bound.append({"HostIp": port.host, "HostPort": str(port.port)})
    every = {connection.network: _settings(roots, attachment, connection) for connection in attachment.connections}
    return {"Bridge": "", "SandboxID": "", "SandboxKey": "", "Ports": ports, "Networks": every}


def _settings(roots: Roots, attachment: Attachment, connection: Connection) -> dict[str, Any]:
    four, _, prefix = connection.ipv4.partition("/")
    six, _, length = connection.ipv6.partition("/")
    gateways = {":" in gateway: gateway for gateway in connection.gateways}
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": list(connection.names) or None,
        "MacAddress": connection.mac,
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": store.load(roots.root, connection.network).id,
        "EndpointID": f"{attachment.container[:32]}{connection.number:032x}",
        "Gateway": gateways.get(False, ""),
        "IPAddress": four,
        "IPPrefixLen": int(prefix or 0),
        "IPv6Gateway": gateways.get(True, ""),
        "GlobalIPv6Address": six,
        "GlobalIPv6PrefixLen": int(length or 0),
        "DNSNames": list(connection.names) or None,
    }
