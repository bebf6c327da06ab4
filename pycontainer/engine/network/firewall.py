"""Bridges and the packet filter are as they should be: looked at by each start, and made anew if they are not.

What is missing, because this is the first start or because somebody removed it, is made then. Nothing that the host's
own firewall refuses is opened behind its back.
"""

from __future__ import annotations

import os

from pycontainer.core.directories import make_private
from pycontainer.core.failpoint import hit
from pycontainer.engine import settings
from pycontainer.engine.network import neighbours
from pycontainer.engine.network.attachments import attachments, directory, locked, table_of
from pycontainer.engine.notes import note
from pycontainer.light import suppress
from pycontainer.network import bridge, links, nftables, store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots
    from pycontainer.network.connection import Attachment
    from pycontainer.network.store import Network


def ready(roots: Roots, networks: list[Network], *, publishing: bool = False) -> None:
    """See that what these networks need is there, and make what is not. That takes a tenth of a millisecond."""
    there = all(links.index_of(network.bridge) for network in networks)
    if not any(network.is_bridge for network in networks):  # nothing passes through this host
        if not there:
            with locked(roots):
                _restore_links(roots, networks, list(attachments(roots)))
    else:
        firewall = nftables.look(table_of(roots))
        passing = os.path.exists(directory(roots) + "/passing")
        closed = bool(firewall.drops_input) and not settings.network("publish_past_firewall", False)
        if not (firewall.whole and there and passing and closed == firewall.closed):
            with locked(roots):
                restore(roots, networks, closed=closed)
        _warn(firewall, networks, publishing=publishing and closed)
    if any(not os.path.isdir(directory(roots, network.name)) for network in networks):
        for network in networks:
            make_private(directory(roots, network.name))


def _warn(firewall: nftables.Firewall, networks: list[Network], *, publishing: bool) -> None:
    """What the host's own firewall forbids stays forbidden; say so to whoever asks for it."""
    if firewall.drops_forward and any(not network.internal for network in networks):
        note(
            f"the host's firewall (nftables table {', '.join(firewall.drops_forward)}) drops forwarded packets that it "
            "does not know; containers reach, and are reached, only as it allows"
        )
    elif publishing:
        note(
            f"the host's firewall (nftables table {', '.join(firewall.drops_input)}) lets nothing in that it does not "
            "know, so published ports are open to this host and its containers only; "
            "publish_past_firewall = true in config.toml opens them"
        )


def restore(roots: Roots, needed: list[Network], *, closed: bool) -> None:
    """Make everything as it should be; whoever calls has the lock."""
    live = list(attachments(roots))
    used = {connection.network for attachment in live for connection in attachment.connections}
    every = [network for network in store.listing(roots.root) if not network.config_only]
    _restore_links(roots, [network for network in every if network in needed or network.name in used], live)
    every = [network for network in every if network.is_bridge]
    hit("restore.bridges")
    before = [bridge.forward(network) for network in every if not network.internal]
    if any(before):
        _mark(roots, "router")
        note("this host forwards packets from now on (ip_forward), as containers need; any but theirs are dropped")
    members = [element for network in every for element in elements(network)]
    members += [element for attachment in live for element in attachment.elements()]
    guard = os.path.exists(directory(roots) + "/router")
    from pycontainer.network import ruleset  # only to make it

    ruleset.install(table_of(roots), members, guard=guard, closed=closed)
    hit("restore.filter")
    _mark(roots, "passing")


def _mark(roots: Roots, name: str) -> None:
    with open(f"{directory(roots)}/{name}", "w"):
        pass


def _restore_links(roots: Roots, networks: list[Network], live: list[Attachment]) -> None:
    for network in networks:
        make_private(directory(roots, network.name))
        if links.index_of(network.bridge):
            continue
        if network.is_bridge:
            _restore_bridge(network, live)
        else:
            from pycontainer.network import host

            host.make_parent(network)


def _restore_bridge(network: Network, live: list[Attachment]) -> None:
    index = bridge.make(network)
    for attachment in live:
        for connection in attachment.connections:
            if connection.network == network.name:
                end, hairpin = attachment.host_end(connection), attachment.returns(connection)
                with suppress(OSError):  # it has just ended
                    bridge.attach(end, index, isolated=connection.isolated, hairpin=hairpin)


def elements(network: Network) -> list[tuple[nftables.Set, tuple[bytes, bytes]]]:
    """What the packet filter's sets hold about a network."""
    return nftables.network_elements(network.bridge, internal=network.internal, masquerade=network.masquerade)


def reload(roots: Roots) -> None:
    """Make everything as it should be, whatever was done to it."""
    firewall = nftables.look(table_of(roots))
    closed = bool(firewall.drops_input) and not settings.network("publish_past_firewall", False)
    with locked(roots):
        restore(roots, [], closed=closed)
    neighbours.refresh_names(roots, set(store.names(roots.root)))
    neighbours.follow_resolver(roots)
