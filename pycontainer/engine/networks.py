"""Networks and the containers in them: what happens when one starts, ends, or is connected while it runs.

A start takes an address, looks whether the bridge and the packet filter are as they should be, and hands the rest to
the plan. Whatever is missing, because this is the first start or because somebody removed it, is made then.

    ROOT/networks/<name>.json                what a network is
    RUNROOT/networks/<name>/<address>        a link to the container that has it
    RUNROOT/containers/<id>/network.json     what a container has of its networks
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator

from pycontainer.core.directories import make_private
from pycontainer.engine import containers, life, settings
from pycontainer.errors import Conflict, NotFound, UsageError
from pycontainer.network import addresses, bridge, links, names, nftables, resolver, store
from pycontainer.network.connection import Attachment, Connection, Port
from pycontainer.network.names import Member
from pycontainer.network.store import DEFAULT, Network
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.create import Bundle
    from pycontainer.engine.options import Roots
    from pycontainer.network.addresses import Subnet
    from pycontainer.oci.grammar import Endpoint, Publication
    from pycontainer.oci.options import ContainerOptions

RECORD = "network.json"


def table_of(roots: Roots) -> str:
    """The nftables table of this installation; another root has another."""
    if roots.root == "/var/lib/pycontainer":
        return "pycontainer"
    from binascii import crc32

    return f"pycontainer_{crc32(os.fsencode(os.path.realpath(roots.root))):08x}"


def directory(roots: Roots, name: str = "") -> str:
    """Where the addresses of a network are."""
    return f"{roots.runroot}/networks" + (f"/{name}" if name else "")


@contextlib.contextmanager
def locked(roots: Roots) -> Iterator[None]:
    """One at a time: who makes what is missing, and who tells the members of a network of each other."""
    make_private(directory(roots))
    lock = os.open(directory(roots) + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def note(text: str) -> None:
    """Tell the user something that is no error."""
    print(f"pyc: {text}", file=sys.stderr)


# --- a container starts -----------------------------------------------------------------------------------------------


def attach(roots: Roots, bundle: Bundle) -> Attachment:
    """Take what a container about to be started needs, and write it down; :func:`release` gives it back.

    Raises NotFound: no such network; Conflict: an address or a port is taken; UsageError: what makes no sense.
    """
    mode, options = bundle.asked.network, bundle.asked
    if mode.startswith("container:"):
        _join(roots, bundle, mode.removeprefix("container:"))
    if mode != "bridge":
        if options.publish:
            note(f"published ports are discarded with --network {mode}")
        return Attachment()
    container_id = bundle.container.id
    wanted = [(endpoint, network_called(roots, endpoint.name)) for endpoint in endpoints(options)]
    write_record(roots, Attachment(container_id, table_of(roots), directory(roots)))
    ready(roots, [network for _, network in wanted], publishing=bool(options.publish or options.publish_all))
    connections = tuple(
        _connection(roots, bundle.container, network, endpoint, number, options.hostname)
        for number, (endpoint, network) in enumerate(wanted)
    )
    connections = _ranked(connections, [endpoint.gw_priority for endpoint, _ in wanted])
    attachment = Attachment(container_id, table_of(roots), directory(roots), connections)
    attachment = attachment._replace(ports=_ports(roots, bundle, attachment, [network for _, network in wanted]))
    _await_link(attachment)
    write_record(roots, attachment)
    _describe_in_files(roots, bundle, attachment, [network for _, network in wanted])
    follow_resolver(roots)
    return attachment


def endpoints(options: ContainerOptions) -> tuple[Endpoint, ...]:
    """The networks that were asked for, or the default one."""
    from pycontainer.oci.grammar import Endpoint

    return options.endpoints or (Endpoint(DEFAULT),)


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


def _connection(
    roots: Roots, container: Container, network: Network, endpoint: Endpoint, number: int, hostname: str
) -> Connection:
    """Take the addresses of a container in one network."""
    where = directory(roots, network.name)
    if endpoint.ip and not network.ipv4:
        raise UsageError(f"network {network.name} has no IPv4")
    if endpoint.ip6 and not network.ipv6:
        raise UsageError(f"network {network.name} has no IPv6: no subnet of it holds {endpoint.ip6}")
    taken = {}
    for subnet, asked in ((network.ipv4, endpoint.ip), (network.ipv6, endpoint.ip6)):
        if subnet:
            taken[subnet.six] = _take(roots, where, subnet, container.id, asked)
    four, six = taken.get(False, ""), taken.get(True, "")
    mac = endpoint.mac or addresses.mac_of(addresses.pack(four or six)).hex(":")
    user_network = network.name != DEFAULT
    called = (container.name, *endpoint.aliases, container.id[:12]) if user_network else endpoint.aliases
    if hostname and user_network:
        called = (*called, hostname)
    return Connection(
        network.name,
        number,
        links.index_of(network.bridge),
        mac,
        network.mtu,
        f"{four}/{network.ipv4.prefix}" if network.ipv4 else "",
        f"{six}/{network.ipv6.prefix}" if network.ipv6 else "",
        () if network.internal else tuple(subnet.gateway for subnet in network.subnets),
        tuple(f"{address}/{16 if ':' not in address else 64}" for address in endpoint.link_local),
        tuple(dict.fromkeys(called)),
    )


def extend(roots: Roots, container: Container, attachment: Attachment, endpoint: Endpoint) -> Attachment:
    """Take what one more network needs, as the last connection, and write it down."""
    network = network_called(roots, endpoint.name)
    ready(roots, [network])
    used = {connection.number for connection in attachment.connections}
    number = next(n for n in range(len(used) + 1) if n not in used)
    made = _connection(roots, container, network, endpoint, number, container.options.get("hostname", ""))
    metric = max([connection.metric for connection in attachment.connections], default=0) + 100
    extended = attachment._replace(connections=(*attachment.connections, made._replace(metric=metric)))
    write_record(roots, extended)
    return extended


def _take(roots: Roots, where: str, subnet: Subnet, container_id: str, asked: str) -> str:
    if asked:
        asked = addresses.unpack(addresses.pack(asked))
        if not addresses.inside(asked, subnet.subnet):
            raise UsageError(f"address {asked} is not inside of subnet {subnet.subnet}")
        if asked == subnet.gateway:
            raise Conflict(f"address {asked} is the gateway's")
    return addresses.take(where, subnet, container_id, asked, lambda owner: life.is_alive(roots, owner))


def _ranked(connections: tuple[Connection, ...], priorities: list[int]) -> tuple[Connection, ...]:
    """Every network has a default route; the best is the one of the highest priority, then the first."""
    order = sorted(range(len(connections)), key=lambda at: (-priorities[at], at))
    return tuple(
        connection._replace(metric=100 * order.index(at) if not connection.ipv6 else 1024 + 100 * order.index(at))
        for at, connection in enumerate(connections)
    )


def _await_link(attachment: Attachment) -> None:
    """A container that has just ended and starts again: the kernel takes its old cable away in the background."""
    import time

    deadline = time.monotonic() + 2
    for connection in attachment.connections:
        while links.index_of(attachment.host_end(connection).name):
            if time.monotonic() > deadline:
                bridge.remove(attachment.host_end(connection).name)
                break
            time.sleep(0.002)


def _join(roots: Roots, bundle: Bundle, name: str) -> None:
    """Share the network of another container: its namespace, and what its files say about it."""
    other = containers.find(roots, name)
    if other.state not in ("running", "paused"):
        raise Conflict(f"can't join the network of container {other.name}: it is {other.state}")
    for namespace in bundle.spec["linux"]["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = f"/proc/{other.pid}/ns/net"
    ours, theirs = (roots.live(one) for one in (bundle.container.id, other.id))
    for file in ("hosts", "resolv.conf"):
        with contextlib.suppress(OSError), open(f"{theirs}/{file}", "rb") as source, open(f"{ours}/{file}", "wb") as to:
            to.write(source.read(1 << 20))


# --- ports ------------------------------------------------------------------------------------------------------------


def _ports(roots: Roots, bundle: Bundle, attachment: Attachment, networks: list[Network]) -> tuple[Port, ...]:
    options = bundle.asked
    wanted = list(options.publish)
    if options.publish_all:
        wanted += _exposed(options, bundle.exposed)
    if not wanted:
        return ()
    outward = [(c, n) for c, n in zip(attachment.connections, networks, strict=True) if not n.internal]
    if not outward:
        note("published ports are discarded: an internal network can't be reached from outside")
        return ()
    connection, network = outward[0]
    found: list[Port] = []
    for publication in wanted:
        found += _published(publication, connection, network.option(store.HOST_ADDRESS_OPTIONS), found)
    return tuple(found)


def _exposed(options: ContainerOptions, of_image: tuple[str, ...]) -> list[Publication]:
    from pycontainer.oci.grammar import expose

    published = {(p.protocol, port) for p in options.publish for port in range(p.first, p.last + 1)}
    found = [publication for text in dict.fromkeys((*of_image, *options.expose)) for publication in expose(text)]
    return [publication for publication in found if (publication.protocol, publication.first) not in published]


def _published(asked: Publication, to: Connection, default: str, others: list[Port]) -> list[Port]:
    """The ports of one ``-p``, on each address of the host that it means."""
    host = asked.host or default or str(settings.network("publish_address", "0.0.0.0"))
    hosts = [host] if host != "0.0.0.0" or asked.host or not to.ipv6 else ["0.0.0.0", "::"]
    found: list[Port] = []
    for place, port in enumerate(range(asked.first, asked.last + 1)):
        number = 0
        for at in hosts:
            target = (to.ipv6 if ":" in at else to.ipv4).partition("/")[0]
            if not target:
                raise UsageError(f"-p {at}: the container has no such address in network {to.network}")
            number = number or _host_port(asked, place, at, [*others, *found])
            found.append(Port(addresses.unpack(addresses.pack(at)), number, asked.protocol, target, port))
    return found


def _host_port(asked: Publication, place: int, host: str, others: list[Port]) -> int:
    if not asked.host_first:
        return _free(host, asked.protocol, range(1))
    many = asked.host_last - asked.host_first
    if many and asked.first == asked.last:  # any of these for one port
        used = {port.port for port in others if port.protocol == asked.protocol}
        return _free(host, asked.protocol, [n for n in range(asked.host_first, asked.host_last + 1) if n not in used])
    return asked.host_first + place


def _free(host: str, protocol: str, numbers: range | list[int]) -> int:
    """The first of these ports that nobody has now; 0 stands for any, which the kernel chooses."""
    from _socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM, socket

    for number in numbers:
        trying = socket(AF_INET6 if ":" in host else AF_INET, SOCK_DGRAM if protocol == "udp" else SOCK_STREAM)
        try:
            trying.bind((host, number))
            return int(trying.getsockname()[1])
        except OSError:
            continue
        finally:
            trying.close()
    raise Conflict(f"all ports of that range are in use on {host}")


# --- the bridge and the packet filter ---------------------------------------------------------------------------------


def ready(roots: Roots, networks: list[Network], *, publishing: bool = False) -> None:
    """See that what these networks need is there, and make what is not. That takes a tenth of a millisecond."""
    firewall = nftables.look(table_of(roots))
    there = all(links.index_of(network.bridge) for network in networks)
    passing = os.path.exists(directory(roots) + "/passing")
    closed = bool(firewall.drops_input) and not settings.network("publish_past_firewall", False)
    if not (firewall.whole and there and passing and closed == firewall.closed):
        with locked(roots):
            restore(roots, networks, closed=closed)
    if any(not os.path.isdir(directory(roots, network.name)) for network in networks):
        for network in networks:
            make_private(directory(roots, network.name))
    if firewall.drops_forward and any(not network.internal for network in networks):
        note(
            f"the host's firewall (nftables table {', '.join(firewall.drops_forward)}) drops forwarded packets that it "
            "does not know; containers reach, and are reached, only as it allows"
        )
    elif publishing and closed:
        note(
            f"the host's firewall (nftables table {', '.join(firewall.drops_input)}) lets nothing in that it does not "
            "know, so published ports are open to this host and its containers only; "
            "publish_past_firewall = true in config.toml opens them"
        )


def restore(roots: Roots, needed: list[Network], *, closed: bool) -> None:
    """Make everything as it should be; whoever calls has the lock."""
    live = list(attachments(roots))
    used = {connection.network for attachment in live for connection in attachment.connections}
    every = store.listing(roots.root)
    for network in every:
        if network in needed or network.name in used:
            make_private(directory(roots, network.name))
            _restore_bridge(network, live)
    before = [bridge.forward(network) for network in every if not network.internal]
    if any(before):
        _mark(roots, "router")
        note("packets are now forwarded between this host's links (ip_forward), but for those of containers none are")
    members = [element for network in every for element in _elements(network)]
    members += [port.element() for attachment in live for port in attachment.ports]
    guard = os.path.exists(directory(roots) + "/router")
    from pycontainer.network import ruleset  # only to make it

    ruleset.install(table_of(roots), members, guard=guard, closed=closed)
    _mark(roots, "passing")


def _mark(roots: Roots, name: str) -> None:
    with open(f"{directory(roots)}/{name}", "w"):
        pass


def _restore_bridge(network: Network, live: list[Attachment]) -> None:
    if links.index_of(network.bridge):
        return
    index = bridge.make(network)
    for attachment in live:
        for connection in attachment.connections:
            if connection.network == network.name:
                with contextlib.suppress(OSError):  # it has just ended
                    bridge.attach(attachment.host_end(connection).name, index)


def _elements(network: Network) -> list[tuple[nftables.Set, tuple[bytes, bytes]]]:
    return nftables.network_elements(network.bridge, internal=network.internal, masquerade=network.masquerade)


# --- what is written down ---------------------------------------------------------------------------------------------


def _record_path(roots: Roots, container_id: str) -> str:
    return f"{roots.live(container_id)}/{RECORD}"


def write_record(roots: Roots, attachment: Attachment) -> None:
    """Write down what a container has of its networks."""
    path = _record_path(roots, attachment.container)
    with open(path + ".new", "w") as file:
        file.write(json.dumps(attachment.record()))
    os.rename(path + ".new", path)


def attachment_of(roots: Roots, container_id: str) -> Attachment | None:
    """What a container has of its networks now; None without any."""
    try:
        with open(_record_path(roots, container_id)) as file:
            return Attachment.of(json.load(file))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def attachments(roots: Roots) -> Iterator[Attachment]:
    """Of all containers that live."""
    try:
        found = os.listdir(roots.runroot + "/containers")
    except FileNotFoundError:
        return
    for container_id in found:
        attachment = attachment_of(roots, container_id)
        if attachment is not None and life.is_alive(roots, container_id):
            yield attachment


def _describe_in_files(roots: Roots, bundle: Bundle, attachment: Attachment, networks: list[Network]) -> None:
    """Write the container's own addresses, and those of its neighbours, into its files."""
    live = roots.live(attachment.container)
    path = live + "/hosts"
    with open(path) as file:
        text = file.read()
    hostname = bundle.spec.get("hostname", "")
    gateway = next((subnet.gateway for network in networks for subnet in network.subnets), "")
    text = text.replace(f"127.0.1.1\t{hostname}\n", "").replace("host-gateway\t", gateway + "\t")
    with open(path, "w") as file:
        file.write(text)
    internal = all(network.internal for network in networks)
    if not bundle.asked.dns:
        with open(live + "/resolv.conf", "r+") as file:
            kept = resolver.reachable(file.read(), internal=internal)
            file.seek(0)
            file.truncate()
            file.write(kept)
    own = Member(attachment.addresses, (hostname or attachment.container[:12],))
    if all(connection.network == DEFAULT for connection in attachment.connections):
        names.rewrite(path, [own])
    else:
        refresh_names(roots, {connection.network for connection in attachment.connections})


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
                with contextlib.suppress(NotFound, OSError):
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
        with open(roots.live(attachment.container) + "/resolv.conf", "r+") as file:
            file.write(resolver.reachable(text, internal=internal))
            file.truncate()


def refresh_names(roots: Roots, which: set[str]) -> None:
    """Tell the members of networks of each other. Nobody knows anybody in the default network, as in docker."""
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
    theirs = {connection.network for connection in attachment.connections} - {DEFAULT}
    for other in live:
        for connection in other.connections:
            if connection.network in theirs and connection.names:
                members.append(Member(connection.addresses, connection.names))
    names.rewrite(roots.live(attachment.container) + "/hosts", members)


def _hostname(roots: Roots, container_id: str) -> str:
    with contextlib.suppress(OSError), open(roots.live(container_id) + "/hostname") as file:
        return file.read(256).strip() or container_id[:12]
    return container_id[:12]


# --- a container has ended --------------------------------------------------------------------------------------------


def release(roots: Roots, container_id: str) -> None:
    """Give back what a container had that does not live any more; the monitor has done most, if it could."""
    attachment = attachment_of(roots, container_id)
    if attachment is None:
        return
    if not attachment.connections:  # whoever started it was killed meanwhile: see whose the addresses are
        for name in _subdirectories(directory(roots)):
            where = directory(roots, name)
            addresses.release(where, [a for a, owner in addresses.users(where).items() if owner == container_id])
        return
    mine = [path for path in attachment.taken() if os.path.islink(path) and os.readlink(path) == container_id]
    if mine:
        with contextlib.suppress(OSError):  # the table may be gone
            nftables.change(attachment.table, [port.element() for port in attachment.ports], add=False)
        for path in mine:
            addresses.release(os.path.dirname(path), [os.path.basename(path)])
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_record_path(roots, container_id))
    refresh_names(roots, {connection.network for connection in attachment.connections})


def _subdirectories(path: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(path) if entry.is_dir()]
    except FileNotFoundError:
        return []


# --- networks themselves ----------------------------------------------------------------------------------------------


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
        nftables.change(table, _elements(network), add=True)
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
            nftables.change(table_of(roots), _elements(network), add=False)
        store.forget(roots.root, network.name)
        where = directory(roots, network.name)
        with contextlib.suppress(OSError):
            for entry in os.listdir(where):
                os.unlink(f"{where}/{entry}")
            os.rmdir(where)
    return network


BUILT_IN = (DEFAULT, *store.MODES)
"""The networks that are always there."""


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


def wanted_by(roots: Roots, name: str) -> list[str]:
    """The containers, running or not, that were made for a network."""
    found = []
    for container in containers.listing(roots):
        mode, asked = container.options.get("network", "bridge"), container.options.get("endpoints") or [[DEFAULT]]
        if mode == "bridge" and any(endpoint[0] == name for endpoint in asked):
            found.append(container.id)
    return found


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


def reload(roots: Roots) -> None:
    """Make everything as it should be, whatever was done to it."""
    firewall = nftables.look(table_of(roots))
    closed = bool(firewall.drops_input) and not settings.network("publish_past_firewall", False)
    with locked(roots):
        restore(roots, [], closed=closed)
    refresh_names(roots, set(store.names(roots.root)))
    follow_resolver(roots)
