"""Networks: making and removing them, and who is in them. The bridge of one comes with its first container."""

from __future__ import annotations

import os

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events
from pycontainer.engine.network import firewall
from pycontainer.engine.network.attachments import attachments, directory, locked, table_of
from pycontainer.errors import Conflict, NotFound, UsageError
from pycontainer.light import suppress
from pycontainer.network import bridge, nftables, store
from pycontainer.network.store import DEFAULT, Network
from pycontainer.oci.grammar.networks import network_name
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.engine.options import Roots
    from pycontainer.network.connection import Attachment
    from pycontainer.network.design import Draft

BUILT_IN = (DEFAULT, *store.MODES)
"""The networks that are always there."""


def network_called(roots: Roots, name: str) -> Network:
    """By name or ID; the default network is made where it is missing. Raises NotFound, Conflict: it is none."""
    if name in store.MODES:
        raise Conflict(f"{name} stands for no network that a container could be in beside others")
    try:
        network = store.find(roots.root, name) if name != DEFAULT else store.load(roots.root, name)
    except NotFound:
        if name != DEFAULT:
            raise
        from pycontainer.network.design import Draft  # once in the life of an installation

        with suppress(Conflict):  # somebody else was first
            create(roots, Draft(DEFAULT))
        network = store.load(roots.root, DEFAULT)
    if network.config_only:
        raise Conflict(f"network {name} is a configuration for others, and no network")
    return network


def create(roots: Roots, draft: Draft) -> Network:
    """Make a network. Its bridge comes with the first container.

    Raises Conflict: the name, the subnet or the link is taken; NotFound: its pattern or parent is not there;
    UsageError: what makes no sense.
    """
    from pycontainer.network import host
    from pycontainer.network.design import design

    if ":" in network_name(draft.name):
        raise UsageError(f"{draft.name!r} can't be the name of a network")
    if draft.name in store.MODES or (draft.name == DEFAULT and draft.driver != "bridge"):
        raise Conflict(f"network {draft.name} is there already, and not to be made")
    with locked(roots):
        every = store.listing(roots.root)
        taken = [subnet.subnet for network in every if not network.config_only for subnet in network.subnets]
        network = design(_from_pattern(roots, draft), [] if draft.config_only else taken, host.routes())
        if not network.config_only:
            _check_link(network, every)
            if not network.is_bridge:
                network = host.with_parent(network)
        store.save(roots.root, network)
        hit("network.saved")
        table = table_of(roots)
        if network.is_bridge and not network.config_only and nftables.look(table).whole:
            nftables.change(table, firewall.elements(network), add=True)
    events.tell(roots, "network", "create", network.name, name=network.name, type=network.driver)
    return network


def _from_pattern(roots: Roots, draft: Draft) -> Draft:
    """With what ``--config-from`` brings."""
    if not draft.config_from:
        return draft
    pattern = store.find(roots.root, draft.config_from)
    if not pattern.config_only:
        raise Conflict(f"network {pattern.name} is no configuration", hint="make one with --config-only")
    if draft.subnets or draft.options or draft.config_only or draft.internal or draft.ipv6:
        raise UsageError(
            "--config-from says what the network is: no other option but the driver and labels goes with it"
        )
    return draft._replace(
        subnets=pattern.subnets,
        ipv6=bool(pattern.ipv6),
        internal=pattern.internal,
        labels={**pattern.labels, **draft.labels},
        options=pattern.options,
        ipam_options=pattern.ipam_options,
    )


def _check_link(network: Network, every: list[Network]) -> None:
    for other in every:
        if other.bridge == network.bridge and not other.config_only:
            what = "bridge" if network.is_bridge else "parent"
            raise Conflict(f"network {other.name} has {network.bridge} for its {what} already")
    if network.is_bridge:
        bridge.is_ours(network)


def remove(roots: Roots, name: str) -> Network:
    """Remove a network without containers. Raises NotFound, Conflict."""
    if name in (DEFAULT, *store.MODES):
        raise Conflict(f"network {name} is pre-defined and can't be removed")
    network = store.find(roots.root, name)
    with locked(roots):
        if made := [one.name for one in store.listing(roots.root) if one.config_from == network.name]:
            raise Conflict(f"configuration {network.name} is in use by network {made[0]}")
        if used := members(roots, network):
            raise Conflict(
                f"network {network.name} has active endpoints: {', '.join(m.container[:12] for m in used)}",
                hint="stop these containers, or 'pyc network disconnect' them",
            )
        if network.is_bridge or network.owns_link:
            bridge.remove(network.bridge)
        hit("network.unbridged")
        if network.is_bridge:
            with suppress(OSError):
                nftables.change(table_of(roots), firewall.elements(network), add=False)
        hit("network.unfiltered")
        store.forget(roots.root, network.name)
        hit("network.forgotten")
        where = directory(roots, network.name)
        with suppress(OSError):
            for entry in os.listdir(where):
                os.unlink(f"{where}/{entry}")
            os.rmdir(where)
    events.tell(roots, "network", "destroy", network.name, name=network.name, type=network.driver)
    return network


def wanted_by(roots: Roots, name: str) -> list[str]:
    """The containers, running or not, that were made for a network."""
    found = []
    for container in containers.listing(roots):
        mode, asked = container.options.get("network", "bridge"), container.options.get("endpoints") or [[DEFAULT]]
        if mode == "bridge" and any(endpoint[0] == name for endpoint in asked):
            found.append(container.id)
    return found


def prune(roots: Roots, fits: Callable[[Network], bool]) -> list[str]:
    """Remove the networks that fit and that no container, running or not, was made for; their names."""
    removed = []
    for network in store.listing(roots.root):
        if network.name not in BUILT_IN and fits(network) and not wanted_by(roots, network.name):
            with suppress(NotFound, Conflict):  # somebody was quicker, or uses it now
                removed.append(remove(roots, network.name).name)
    return removed


def retire(roots: Roots) -> None:
    """When nobody is in any network, take away the bridges and the packet filter; the next start makes them again."""
    with locked(roots):
        if any(True for _ in attachments(roots)):
            return
        for network in store.listing(roots.root):
            if network.is_bridge or network.owns_link:
                bridge.remove(network.bridge)
        with suppress(OSError):
            nftables.uninstall(table_of(roots))
        with suppress(FileNotFoundError):
            os.unlink(directory(roots) + "/passing")


def members(roots: Roots, network: Network) -> list[Attachment]:
    """The containers that are in it now."""
    return [a for a in attachments(roots) if any(c.network == network.name for c in a.connections)]
