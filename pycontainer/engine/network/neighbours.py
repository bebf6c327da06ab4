"""Whom a container knows: its own addresses and its neighbours in /etc/hosts, its name servers in /etc/resolv.conf."""

from __future__ import annotations

import os

from pycontainer.engine import containers
from pycontainer.engine.identity import recorded_hostname
from pycontainer.engine.network.attachments import attachments, directory, locked
from pycontainer.errors import NotFound, StoreError
from pycontainer.light import suppress
from pycontainer.network import names, resolver
from pycontainer.network.names import Member
from pycontainer.network.store import DEFAULT
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.engine.bundle import Bundle
    from pycontainer.engine.options import Roots
    from pycontainer.network.connection import Attachment, Connection
    from pycontainer.network.store import Network


def introduce(roots: Roots, bundle: Bundle, attachment: Attachment, networks: list[Network]) -> None:
    """Write the container's own addresses, and those of its neighbours, into its files."""
    where = roots.container(attachment.container)
    path = where + "/hosts"
    with open(path) as file:
        text = file.read()
    hostname = bundle.spec.get("hostname", "")
    gateway = next((subnet.gateway for network in networks for subnet in network.subnets), "")
    text = text.replace(f"127.0.1.1\t{hostname}\n", "").replace("host-gateway\t", gateway + "\t")
    with open(path, "w") as file:
        file.write(text)
    internal = all(network.internal for network in networks)
    if not bundle.asked.dns:
        with open(where + "/resolv.conf", "r+") as file:
            kept = resolver.reachable(file.read(), internal=internal)
            file.seek(0)
            file.truncate()
            file.write(kept)
    joined = {connection.network for connection in attachment.connections}
    if DEFAULT in joined and any(connection.known for connection in attachment.connections):
        open(_linked(roots), "w").close()
    if joined <= {DEFAULT} and not os.path.exists(_linked(roots)):
        names.rewrite(path, [Member(attachment.addresses, (hostname or attachment.container[:12],))])
    else:
        refresh_names(roots, joined)


def _linked(roots: Roots) -> str:
    """A file that is there once somebody in the default network has asked to know somebody (``--link``)."""
    return f"{directory(roots, DEFAULT)}/.linked"


def follow_resolver(roots: Roots) -> None:
    """When the host has got other name servers, tell those who run; a start compares one small file."""
    path, now = directory(roots) + "/resolv.conf", resolver.host_file(shared=False)
    try:
        with open(path) as file:
            before = file.read()
    except FileNotFoundError:
        before = now
    if before != now:
        with locked(roots):
            for attachment in attachments(roots):
                with suppress(NotFound, OSError):
                    _follow(roots, attachment)
    elif os.path.exists(path):
        return
    with open(path, "w") as file:
        file.write(now)


def _follow(roots: Roots, attachment: Attachment) -> None:
    from pycontainer.engine import files, recall

    options = recall.recalled(containers.find(roots, attachment.container).options)
    if not options.dns:
        text = files.resolv_conf(options)
        internal = not any(connection.gateways for connection in attachment.connections)
        path = roots.container(attachment.container) + "/resolv.conf"
        names.replace(path, resolver.reachable(text, internal=internal))


def refresh_names(roots: Roots, which: set[str]) -> None:
    """Tell the members of networks of each other; in the default one nobody knows anybody without ``--link``."""
    if DEFAULT in which and not os.path.exists(_linked(roots)):
        which = which - {DEFAULT}
    if not which:
        return
    with locked(roots):
        live = list(attachments(roots))
        for attachment in live:
            if which & {connection.network for connection in attachment.connections}:
                _rewrite_hosts(roots, attachment, live)


def _rewrite_hosts(roots: Roots, attachment: Attachment, live: list[Attachment]) -> None:
    hostname = _hostname(roots, attachment.container)
    members = [Member(attachment.addresses, (hostname,))]
    for connection in attachment.connections:
        members += _linked_members(connection, live)
    theirs = {connection.network for connection in attachment.connections} - {DEFAULT}
    for other in live:
        for connection in other.connections:
            if connection.network in theirs and connection.names:
                members.append(Member(connection.addresses, connection.names))
    names.rewrite(roots.container(attachment.container) + "/hosts", members)


def _linked_members(own: Connection, live: list[Attachment]) -> Iterator[Member]:
    for other in live:
        called = tuple(name for container, name in own.known if container == other.container)
        for connection in other.connections:
            if called and connection.network == own.network:
                yield Member(connection.addresses, called)


def _hostname(roots: Roots, container_id: str) -> str:
    with suppress(NotFound, StoreError):
        return recorded_hostname(containers.load(roots, container_id))
    return container_id[:12]
