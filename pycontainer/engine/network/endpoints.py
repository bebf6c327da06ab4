"""Endpoints: what a container takes of its networks when it starts, and gives back at its end.

A start takes an address, looks whether the bridge and the packet filter are as they should be, and hands the rest to
the plan (plan/network.py).
"""

from __future__ import annotations

import os

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events, life
from pycontainer.engine.network import attachments, firewall, neighbours
from pycontainer.engine.network.attachments import directory, table_of
from pycontainer.engine.network.networks import network_called
from pycontainer.errors import Conflict, NotFound, UsageError
from pycontainer.light import suppress
from pycontainer.network import addresses, bridge, links, nftables, store
from pycontainer.network.connection import Attachment, Connection
from pycontainer.network.store import DEFAULT
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pycontainer.engine.bundle import Bundle
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.network.addresses import Subnet
    from pycontainer.network.store import Network
    from pycontainer.oci.grammar.networks import Endpoint
    from pycontainer.oci.options import ContainerOptions

_APART = 100  # between the metrics of two networks


def attach(roots: Roots, bundle: Bundle) -> Attachment:
    """Take what a container about to be started needs, and write it down; :func:`release` gives it back.

    Raises NotFound: no such network; Conflict: an address or a port is taken; UsageError: what makes no sense.
    """
    mode, options = bundle.asked.network, bundle.asked
    if mode.startswith("container:"):
        return Attachment()  # engine/sharing.py sees to that
    container_id = bundle.container.id
    asked = [(endpoint, network_called(roots, endpoint.name)) for endpoint in wanted(options)]
    for endpoint, network in asked:
        if network.name == DEFAULT and endpoint.aliases:
            raise UsageError("aliases are for networks that you have made: in the default one nobody knows anybody")
    attachments.write_record(roots, Attachment(container_id, table_of(roots), directory(roots)))
    hit("attach.noted")
    firewall.ready(roots, [network for _, network in asked], publishing=bool(options.publish or options.publish_all))
    connections = tuple(
        _connected(roots, bundle.container, network, endpoint, number, options.hostname)
        for number, (endpoint, network) in enumerate(asked)
    )
    hit("attach.addressed")
    connections = ranked(connections, [endpoint.gw_priority for endpoint, _ in asked])
    attachment = Attachment(container_id, table_of(roots), directory(roots), connections)
    if options.publish or options.publish_all:
        from pycontainer.engine.network import ports

        attachment = attachment._replace(ports=ports.of(bundle, connections, [network for _, network in asked]))
    _await_link(attachment)
    attachments.write_record(roots, attachment)
    hit("attach.recorded")
    neighbours.introduce(roots, bundle, attachment, [network for _, network in asked])
    hit("attach.named")
    neighbours.follow_resolver(roots)
    for _, network in asked:
        events.connection(roots, "connect", network, container_id)
    return attachment


def named(roots: Roots, endpoint: Endpoint) -> Endpoint:
    """The endpoint with the network's name, though it may have been called by its ID.

    One that is not there, or that a preview may not look at, stays as it is.
    """
    with suppress(NotFound, PermissionError):
        return endpoint._replace(name=store.find(roots.root, endpoint.name).name)
    return endpoint


def wanted(options: ContainerOptions) -> tuple[Endpoint, ...]:
    """The networks that were asked for, or the default one."""
    from pycontainer.oci.grammar.networks import Endpoint

    return options.endpoints or (Endpoint(DEFAULT),)


def _connected(
    roots: Roots, container: Container, network: Network, endpoint: Endpoint, number: int, hostname: str
) -> Connection:
    """Take the addresses of a container in one network."""
    taken = _take_all(roots, network, endpoint, container.id)
    names = names_of(container, endpoint, hostname)
    return connection(network, endpoint, number, taken, names, _known(roots, endpoint))


def connection(
    network: Network,
    endpoint: Endpoint,
    number: int,
    taken: Mapping[bool, str],
    names: tuple[str, ...] = (),
    known: tuple[tuple[str, str], ...] = (),
) -> Connection:
    """What a container has of a network in which it has ``taken`` an address of IPv4 (False) and of IPv6 (True)."""
    four, six = taken.get(False, ""), taken.get(True, "")
    mac = endpoint.mac or addresses.mac_of(addresses.pack(four or six)).hex(":")
    return Connection(
        network.name,
        number,
        links.index_of(network.bridge),
        mac if network.driver != "ipvlan" else "",  # it has its parent's
        network.mtu,
        f"{four}/{network.ipv4.prefix}" if network.ipv4 else "",
        f"{six}/{network.ipv6.prefix}" if network.ipv6 else "",
        _gateways(network),
        tuple(f"{address}/{16 if ':' not in address else 64}" for address in endpoint.link_local),
        names,
        driver=network.driver,
        mode=_mode(network)[0],
        flags=_mode(network)[1],
        isolated=network.isolated,
        known=known,
    )


def _take_all(roots: Roots, network: Network, endpoint: Endpoint, container_id: str) -> dict[bool, str]:
    """The address of IPv4, and that of IPv6, as far as the network has them."""
    where = directory(roots, network.name)
    return {
        subnet.six: addresses.take(where, subnet, container_id, asked, lambda owner: life.is_alive(roots, owner))
        for subnet, asked in asked_of(network, endpoint)
    }


def asked_of(network: Network, endpoint: Endpoint) -> list[tuple[Subnet, str]]:
    """The subnets of a network, each with the address in it that was asked for, or "".

    Raises UsageError, Conflict: it can't be had.
    """
    if endpoint.ip and not network.ipv4:
        raise UsageError(f"network {network.name} has no IPv4")
    if endpoint.ip6 and not network.ipv6:
        raise UsageError(f"network {network.name} has no IPv6: no subnet of it holds {endpoint.ip6}")
    both = ((network.ipv4, endpoint.ip), (network.ipv6, endpoint.ip6))
    return [(subnet, addresses.check(asked, subnet) if asked else "") for subnet, asked in both if subnet]


def _gateways(network: Network) -> tuple[str, ...]:
    if network.internal:
        return ()
    if network.driver == "ipvlan" and network.options.get("ipvlan_mode", "l2") != "l2":
        return tuple("::" if subnet.six else "0.0.0.0" for subnet in network.subnets)  # the parent finds the way
    return tuple(subnet.gateway for subnet in network.subnets)


def _mode(network: Network) -> tuple[int, int]:
    """The mode and the flags of a macvlan or ipvlan."""
    if network.is_bridge:
        return 0, 0
    from pycontainer.network import child

    return child.mode_of(network)


def names_of(container: Container, endpoint: Endpoint, hostname: str) -> tuple[str, ...]:
    """What the others of a network call it; in the default one nobody knows anybody."""
    if endpoint.name == DEFAULT:
        return endpoint.aliases
    called = (container.name, *endpoint.aliases, container.id[:12], *([hostname] if hostname else []))
    return tuple(dict.fromkeys(called))


def _known(roots: Roots, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """Whom it asked to know by a name of its own: IDs and names."""
    known = []
    for name, alias in endpoint.links:
        other = containers.find(roots, name)
        if not other.runs:
            raise Conflict(f"can't link to container {other.name}: it is {other.state}")
        theirs = attachments.attachment_of(roots, other.id)
        if not theirs or endpoint.name not in [connection.network for connection in theirs.connections]:
            raise Conflict(f"can't link to container {other.name}: it is not in network {endpoint.name}")
        known += [(other.id, called) for called in dict.fromkeys((alias, other.name))]
    return tuple(known)


def extend(
    roots: Roots, container: Container, attachment: Attachment, endpoint: Endpoint, priorities: Mapping[str, int]
) -> Attachment:
    """Take what one more network needs, as the last connection, and write it down.

    ``priorities`` says of each network, by name, how much it is wanted as the way elsewhere.
    """
    network = network_called(roots, endpoint.name)
    firewall.ready(roots, [network])
    used = {connection.number for connection in attachment.connections}
    number = next(n for n in range(len(used) + 1) if n not in used)
    made = _connected(roots, container, network, endpoint, number, container.options.get("hostname", ""))
    extended = attachment._replace(connections=_in_between(attachment.connections, made, priorities))
    hit("extend.addressed")
    attachments.write_record(roots, extended)
    hit("extend.recorded")
    return extended


def ranked(connections: tuple[Connection, ...], priorities: list[int]) -> tuple[Connection, ...]:
    """Every network has a default route; the best is the one of the highest priority, then the first."""
    order = sorted(range(len(connections)), key=lambda at: (-priorities[at], at))
    return tuple(connection._replace(metric=_APART * order.index(at)) for at, connection in enumerate(connections))


def _in_between(
    connections: tuple[Connection, ...], made: Connection, priorities: Mapping[str, int]
) -> tuple[Connection, ...]:
    """All of them: ``made`` has the place that its priority gives it, and those of a smaller one stand back."""
    mine = priorities[made.network]
    behind = [each.metric for each in connections if priorities.get(each.network, 0) < mine]
    if not behind:
        return (*connections, made._replace(metric=max([each.metric for each in connections], default=0) + _APART))
    place = min(behind)
    moved = [each._replace(metric=each.metric + _APART) if each.metric >= place else each for each in connections]
    return (*moved, made._replace(metric=place))


def _await_link(attachment: Attachment) -> None:
    """A container that has just ended and starts again: the kernel takes its old link away in the background."""
    import time

    deadline = time.monotonic() + 2
    for connection in attachment.connections:
        while _is_there(attachment, connection):
            if time.monotonic() > deadline:
                bridge.remove(attachment.host_end(connection).name)
                break
            time.sleep(0.002)


def _is_there(attachment: Attachment, connection: Connection) -> bool:
    if connection.is_bridged:
        return bool(links.index_of(attachment.host_end(connection).name))
    from pycontainer.network import child

    return bool(connection.mac) and child.listens(connection.bridge, addresses.mac(connection.mac))


# --- a container has ended --------------------------------------------------------------------------------------------


def release(roots: Roots, container_id: str) -> None:
    """Give back what a container had that does not live any more; the monitor has done most, if it could."""
    attachment = attachments.attachment_of(roots, container_id)
    if attachment is None:
        return
    if not attachment.connections or os.path.exists(f"{roots.live(container_id)}/{attachments.CONNECTING}"):
        free_addresses(roots, container_id)  # whoever started or connected it may have been killed meanwhile
    if not attachment.connections:
        return
    mine = [path for path in attachment.taken() if os.path.islink(path) and os.readlink(path) == container_id]
    if mine:
        with suppress(OSError):  # the table may be gone
            nftables.change(attachment.table, attachment.elements(), add=False)
        hit("release.ports")
        for path in mine:
            addresses.release(os.path.dirname(path), [os.path.basename(path)])
    with suppress(FileNotFoundError):
        hit("release.addresses")
        os.unlink(attachments.record_path(roots, container_id))
        hit("release.record")
    neighbours.refresh_names(roots, {connection.network for connection in attachment.connections})


def free_addresses(roots: Roots, container_id: str, keep: Collection[str] = ()) -> None:
    """Give back all addresses that a container has taken, whatever its record says, except those to ``keep``."""
    for name in _subdirectories(directory(roots)):
        where, mine = directory(roots, name), addresses.users(directory(roots, name))
        addresses.release(where, [a for a, owner in mine.items() if owner == container_id and a not in keep])


def _subdirectories(path: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(path) if entry.is_dir()]
    except FileNotFoundError:
        return []
