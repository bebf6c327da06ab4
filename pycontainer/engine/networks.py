"""Networks: making and removing them, and who is in them. The bridge of one comes with its first container."""

from __future__ import annotations

import contextlib
import os

from pycontainer.engine import containers, events, firewall
from pycontainer.engine.attachments import attachments, directory, locked, table_of
from pycontainer.errors import Conflict, NotFound
from pycontainer.network import bridge, nftables, store
from pycontainer.network.store import DEFAULT, Network
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots
    from pycontainer.network.addresses import Subnet
    from pycontainer.network.connection import Attachment

BUILT_IN = (DEFAULT, *store.MODES)
"""The networks that are always there."""


def network_called(roots: Roots, name: str) -> Network:
    """By name or ID; the default network is made where it is missing. Raises NotFound."""
    try:
        return store.find(roots.root, name) if name != DEFAULT else store.load(roots.root, name)
    except NotFound:
        if name != DEFAULT:
            raise
    with locked(roots), contextlib.suppress(Conflict):  # somebody else was first
        create(roots, DEFAULT, [])
    return store.load(roots.root, DEFAULT)


def create(
    roots: Roots,
    name: str,
    subnets: list[Subnet],
    *,
    ipv6: bool = False,
    internal: bool = False,
    labels: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Network:
    """Make a network. Its bridge comes with the first container.

    Raises Conflict: the name or the subnet is taken; UsageError: what makes no sense.
    """
    if name in store.MODES:
        raise Conflict(f"network {name} is there already, and not to be made")
    taken = [subnet.subnet for network in store.listing(roots.root) for subnet in network.subnets]
    network = store.design(
        name, subnets, taken + bridge.routes(), ipv6=ipv6, internal=internal, labels=labels, options=options
    )
    for other in store.listing(roots.root):
        if other.bridge == network.bridge:
            raise Conflict(f"network {other.name} has a bridge called {network.bridge}")
    bridge.is_ours(network)
    store.save(roots.root, network)
    table = table_of(roots)
    if nftables.look(table).whole:
        nftables.change(table, firewall.elements(network), add=True)
    events.tell(roots, "network", "create", network.name, name=network.name, type="bridge")
    return network


def remove(roots: Roots, name: str) -> Network:
    """Remove a network without containers. Raises NotFound, Conflict."""
    if name in (DEFAULT, *store.MODES):
        raise Conflict(f"network {name} is pre-defined and can't be removed")
    network = store.find(roots.root, name)
    with locked(roots):
        if used := members(roots, network):
            raise Conflict(
                f"network {network.name} has active endpoints: {', '.join(m.container[:12] for m in used)}",
                hint="stop these containers, or 'pyc network disconnect' them",
            )
        bridge.remove(network.bridge)
        with contextlib.suppress(OSError):
            nftables.change(table_of(roots), firewall.elements(network), add=False)
        store.forget(roots.root, network.name)
        where = directory(roots, network.name)
        with contextlib.suppress(OSError):
            for entry in os.listdir(where):
                os.unlink(f"{where}/{entry}")
            os.rmdir(where)
    events.tell(roots, "network", "destroy", network.name, name=network.name, type="bridge")
    return network


def wanted_by(roots: Roots, name: str) -> list[str]:
    """The containers, running or not, that were made for a network."""
    found = []
    for container in containers.listing(roots):
        mode, asked = container.options.get("network", "bridge"), container.options.get("endpoints") or [[DEFAULT]]
        if mode == "bridge" and any(endpoint[0] == name for endpoint in asked):
            found.append(container.id)
    return found


def retire(roots: Roots) -> None:
    """When nobody is in any network, take away the bridges and the packet filter; the next start makes them again."""
    with locked(roots):
        if any(True for _ in attachments(roots)):
            return
        for network in store.listing(roots.root):
            bridge.remove(network.bridge)
        with contextlib.suppress(OSError):
            nftables.uninstall(table_of(roots))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory(roots) + "/passing")


def members(roots: Roots, network: Network) -> list[Attachment]:
    """The containers that are in it now."""
    return [a for a in attachments(roots) if any(c.network == network.name for c in a.connections)]
