"""``network connect`` and ``disconnect``: the same steps as at a start, for a container that runs already."""

from __future__ import annotations

import contextlib
import fcntl
import os

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.failpoint import hit
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.core.step import MONITOR, Plan, Slot, Step
from pycontainer.engine import containers, events
from pycontainer.engine.network import attachments, endpoints, neighbours
from pycontainer.engine.network.networks import network_called
from pycontainer.engine.privilege import require_root
from pycontainer.engine.recall import recalled
from pycontainer.engine.repair import repair
from pycontainer.errors import Conflict, KernelError, NotFound, StoreError, UsageError
from pycontainer.network import addresses, bridge, store
from pycontainer.network.connection import Attachment, host_end
from pycontainer.oci.grammar.networks import Endpoint
from pycontainer.plan import network as steps
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.network.connection import Connection

NAMESPACE = Slot("network namespace")


def connect(roots: Roots, name: str, endpoint: Endpoint) -> None:
    """Connect a container to a network. Raises NotFound, Conflict, KernelError."""
    require_root()
    repair(roots)
    container = containers.find(roots, name)
    network = network_called(roots, endpoint.name)
    endpoint = endpoint._replace(name=network.name)
    asked = _asked(container, "connect")
    if network.name in [one.name for one in asked]:
        raise Conflict(f"container {container.name} is in network {network.name} already")
    if network.name == store.DEFAULT and endpoint.aliases:
        raise UsageError("aliases are for networks that you have made: in the default one nobody knows anybody")
    with _undone_if_it_fails(roots, container):
        if container.runs:
            _plug(roots, container, endpoint, {one.name: one.gw_priority for one in (*asked, endpoint)})
        hit("connect.plugged")
        _remember(roots, container, (*asked, endpoint))
    if container.runs:
        events.connection(roots, "connect", network, container.id)


@contextlib.contextmanager
def _undone_if_it_fails(roots: Roots, container: Container) -> Iterator[None]:
    """Be the only one who changes what a container that runs is connected to.

    The record of its networks and that of the container do not change at once: what is in the file says that they may
    differ, whoever finds it so.
    """
    if not container.runs:
        yield
        return
    with _locked(roots, container.id) as lock:
        _settle(roots, container, lock)
        os.write(lock, b"!")
        try:
            yield
        except BaseException:
            _settle(roots, container, lock)
            raise
        os.ftruncate(lock, 0)


@contextlib.contextmanager
def _locked(roots: Roots, container_id: str, how: int = 0) -> Iterator[int]:
    path = f"{roots.live(container_id)}/{attachments.CONNECTING}"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | how)
        yield lock
    finally:
        os.close(lock)


def mend(roots: Roots, container_id: str) -> None:
    """Put right what somebody has left who was killed while connecting a container, which runs."""
    unsure = contextlib.suppress(BlockingIOError, NotFound, StoreError)  # somebody is at it, or its record is damaged
    with unsure, _locked(roots, container_id, fcntl.LOCK_NB) as lock:
        _settle(roots, containers.load(roots, container_id), lock)


def _settle(roots: Roots, container: Container, lock: int) -> None:
    """If it is not certain that it has been done: let it have what both records agree on, and nothing else."""
    if not os.fstat(lock).st_size:
        return
    attachment = attachments.attachment_of(roots, container.id)
    if attachment is not None:
        container = containers.load(roots, container.id)
        wanted = {endpoint.name for endpoint in _asked(container, "connect")}
        kept = attachment._replace(connections=tuple(c for c in attachment.connections if c.network in wanted))
        kept = kept._replace(ports=tuple(port for port in attachment.ports if port.target in kept.addresses))
        attachments.write_record(roots, _called_as_now(container, kept))
        gone = tuple(connection for connection in attachment.connections if connection not in kept.connections)
        ports = tuple(port for port in attachment.ports if port not in kept.ports)
        _let_go(attachment._replace(connections=gone, ports=ports), container.pid)
        cables = {connection.number for connection in kept.connections}
        for number in set(range(len(cables) + len(gone) + 2)) - cables:  # none has a number higher than that
            bridge.remove(host_end(container.id, number).name)
        endpoints.free_addresses(roots, container.id, keep=kept.addresses)
        neighbours.refresh_names(roots, {*wanted, *(connection.network for connection in gone)})
    os.ftruncate(lock, 0)


def _called_as_now(container: Container, attachment: Attachment) -> Attachment:
    """With the names that follow from what the container is called."""
    asked = {endpoint.name: endpoint for endpoint in _asked(container, "connect")}
    hostname = container.options.get("hostname", "")
    connections = [
        each._replace(names=endpoints.names_of(container, asked[each.network], hostname))
        for each in attachment.connections
    ]
    return attachment._replace(connections=tuple(connections))


@contextlib.contextmanager
def renaming(roots: Roots, container: Container) -> Iterator[None]:
    """Tell its neighbours of the new name that a container gets meanwhile; should we be killed, others will."""
    if not container.runs or attachments.attachment_of(roots, container.id) is None:
        yield
        return
    with _locked(roots, container.id) as lock:
        os.write(lock, b"!")
        try:
            yield
        finally:
            _settle(roots, container, lock)


def _plug(roots: Roots, container: Container, endpoint: Endpoint, priorities: Mapping[str, int]) -> None:
    nothing = Attachment(container.id, attachments.table_of(roots), attachments.directory(roots))
    before = attachments.attachment_of(roots, container.id) or nothing
    after = endpoints.extend(roots, container, before, endpoint, priorities)
    pairs = zip(after.connections, before.connections, strict=False)
    moved = [(now, then.metric) for now, then in pairs if now.metric != then.metric]
    perform(_plan(after._replace(connections=after.connections[-1:], ports=()), moved, container.pid))
    hit("connect.performed")
    neighbours.refresh_names(roots, {endpoint.name})


def _plan(added: Attachment, moved: Sequence[tuple[Connection, int]], pid: int) -> Plan:
    """The cable from here, and its other end and the routes from the container's namespace."""
    return (
        *steps.connect(added, pid),
        _enter(pid),
        *steps.trust_nobody(added, MONITOR),
        *steps.give_way(moved),
        *steps.configure(added, MONITOR),
    )


def _enter(pid: int) -> Step:
    return Step(
        "Enter the container's network namespace",
        "Addresses and routes belong to a namespace: who sets them must be in it",
        MONITOR,
        (
            calls.openat(k.AT_FDCWD, f"/proc/{pid}/ns/net", k.O_RDONLY, out=NAMESPACE),
            calls.setns(NAMESPACE, k.CLONE_NEWNET),
        ),
        "setns(2)",
    )


def perform(plan: Plan) -> None:
    """Carry out a plan that makes no container. Raises KernelError."""
    performance = Performance(plan, {}, name="network")
    try:
        while performance.read_records():
            pass
    except PlanFailed as failed:
        from pycontainer.explain.render import render

        raise KernelError(
            render(failed.call), failed.record.error, step=failed.step.title, read=failed.step.man
        ) from None
    finally:
        performance.close()


def disconnect(roots: Roots, name: str, network_name: str) -> None:
    """Take a container out of a network. Raises NotFound where it is not in it."""
    require_root()
    repair(roots)
    container = containers.find(roots, name)
    network = network_called(roots, network_name)
    asked = _asked(container, "disconnect")
    left = tuple(endpoint for endpoint in asked if endpoint.name != network.name)
    if len(left) == len(asked):
        raise NotFound(f"container {container.name} is not connected to network {network.name}")
    with _undone_if_it_fails(roots, container):
        if container.runs:
            _unplug(roots, container, network.name)
        hit("disconnect.named")
        _remember(roots, container, left)
    if container.runs:
        events.connection(roots, "disconnect", network, container.id)


def _unplug(roots: Roots, container: Container, name: str) -> None:
    attachment = attachments.attachment_of(roots, container.id)
    if attachment is None:
        return
    gone = tuple(connection for connection in attachment.connections if connection.network == name)
    kept = tuple(connection for connection in attachment.connections if connection.network != name)
    lost = {address for connection in gone for address in connection.addresses}
    ports = tuple(port for port in attachment.ports if port.target in lost)
    left = tuple(port for port in attachment.ports if port.target not in lost)
    attachments.write_record(roots, attachment._replace(connections=kept, ports=left))
    hit("disconnect.recorded")
    _let_go(attachment._replace(connections=gone, ports=ports), container.pid)
    hit("disconnect.pulled")
    neighbours.refresh_names(roots, {connection.network for connection in attachment.connections})


def _let_go(attachment: Attachment, pid: int) -> None:
    """Pull out the cables, and give the addresses back."""
    from pycontainer.network import nftables

    for connection in attachment.connections:
        if connection.is_bridged:
            with contextlib.suppress(OSError):
                bridge.remove(host_end(attachment.container, connection.number).name)
        else:
            with contextlib.suppress(KernelError):
                perform((_enter(pid), *steps.remove_child(connection)))
    with contextlib.suppress(OSError):
        nftables.change(attachment.table, attachment.elements(), add=False)
    for path in attachment.taken():
        addresses.release(os.path.dirname(path), [os.path.basename(path)])


def _asked(container: Container, verb: str) -> tuple[Endpoint, ...]:
    options = recalled(container.options)
    if container.options.get(_LEFT):
        return ()
    if options.network != "bridge":
        raise Conflict(f"can't {verb}: container {container.name} was made with --network {options.network}")
    return endpoints.wanted(options)


_LEFT = "left all networks"


def _remember(roots: Roots, container: Container, left: tuple[Endpoint, ...]) -> None:
    """What it is connected to when it starts again. No network at all is the mode `none`, but not for ever."""
    options = {**container.options, "endpoints": left, "network": "bridge" if left else "none", _LEFT: not left}
    containers.write(roots, container._replace(options=options))
