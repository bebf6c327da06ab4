"""From a bundle to a running container: the plan, the descriptors it needs, and the performer."""

from __future__ import annotations

import errno
import os

from pycontainer import cgroups
from pycontainer.cgroups.request import ScopeRequest
from pycontainer.core.constants import SIGTERM
from pycontainer.core.failpoint import hit
from pycontainer.core.performer import Observer, Performance, PlanFailed
from pycontainer.core.step import Plan, Slot
from pycontainer.engine import callback, containers, events, life, policy, removal, trash, users
from pycontainer.engine.attachment import TOLD, connection
from pycontainer.engine.bundle import Bundle, mount_point
from pycontainer.engine.options import Roots
from pycontainer.engine.planned import Planned
from pycontainer.errors import HostLacks, StoreError
from pycontainer.light import ExitStack, IdentityCache, suppress
from pycontainer.plan import namespaces, slots
from pycontainer.plan.container import NO_NETWORK, Networking, Setting, container
from pycontainer.plan.host import exceeded, kernel_version, kind_of, oom_score
from pycontainer.plan.monitor import Watch
from pycontainer.plan.seccomp import Filter
from pycontainer.plan.seccomp import load as load_filter
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_PLACE = (errno.ENOSYS, errno.EACCES, errno.EBUSY, errno.EOPNOTSUPP, errno.ENODEV)  # clone(2), CLONE_INTO_CGROUP
"""What clone3 says where a process can't be born in a cgroup."""


class Stdio(Record):
    """Which of the three streams the client wants. With a terminal they are one.

    The container writes to the monitor in any case, for the log; without ``stdin`` it reads from /dev/null.
    """

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True


class Attendance(Record):
    """Who is there while a container starts.

    Attributes:
        stdio: the streams that its client wants.
        observer: is shown each kernel call before and after it is made.
        await_record: waits for what the performer reports next, and may give up
            (:meth:`pycontainer.core.performer.Performance.wait_started`).
    """

    stdio: Stdio = Stdio()
    observer: Observer | None = None
    await_record: Callable[[int], None] | None = None


class Started(Record):
    """A container whose program runs.

    Attributes:
        performance: its monitor.
        client: the descriptor of the socket that carries its stdio; core/monitor.c has the protocol.
        group: its cgroup.
    """

    performance: Performance
    client: int
    group: cgroups.Group

    def leave(self) -> None:
        """Let go of it: it runs on, and what is left to do at its end is done by others."""
        os.close(self.client)
        self.performance.leave()


def plan_for(
    roots: Roots,
    bundle: Bundle,
    group: cgroups.Group,
    given: frozenset[Slot],
    network: Networking = NO_NETWORK,
    memory: str = "",
) -> Plan:
    """Every step from here to execve, and to the container's end."""
    return container(bundle.spec, setting(roots, bundle, group, given, network, memory))


def setting(
    roots: Roots,
    bundle: Bundle,
    group: cgroups.Group,
    given: frozenset[Slot],
    network: Networking,
    memory: str,
) -> Setting:
    """What its plan depends on beside the spec."""
    return Setting(
        container=bundle.container.id,
        rootfs=bundle.rootfs,
        mount_point=mount_point(roots, bundle.container.id),
        group=group,
        kernel=kernel_version(),
        kind_of=kind_of,
        filter=filter_for(roots, bundle),
        given=given,
        init=bundle.init,
        watch=watch(roots, bundle),
        network=network,
        memory=memory,
        own_oom_score=oom_score(bundle.spec),
        exceeded=exceeded(bundle.spec),
    )


def watch(roots: Roots, bundle: Bundle) -> Watch:
    """How its monitor watches over it."""
    container_ = bundle.container
    asked, health = container_.options, container_.options.get("health")
    logs = asked.get("log_opts", {})
    follows = policy.has_policy(container_)
    known = any(endpoint.name != "bridge" for endpoint in bundle.asked.endpoints)  # others are told that it is gone
    decides = follows or known or container_.rm or not namespaces.is_first(bundle.spec)
    return Watch(
        directory="" if asked.get("log_driver") == "none" else roots.container(container_.id),
        live=roots.live(container_.id),
        container=container_.id,
        log_files=int(logs.get("max-file", 3)),
        log_bytes=int(logs.get("max-size", 10_000_000)),
        once=asked.get("stdin_once", False),
        stop_signal=_signal(asked.get("stop_signal", "SIGTERM")),
        **({"stop_timeout": asked["stop_timeout"]} if asked.get("stop_timeout") is not None else {}),
        check=callback.command(roots, "health", container_.id) if health else None,
        interval=health["interval"] if health else 0.0,
        early=health["start_interval" if health["start_period"] else "interval"] if health else 0.0,
        afterwards=callback.command(roots, "ended", container_.id) if decides else None,
        always=follows,
    )


def _signal(name: str) -> int:
    if name == "SIGTERM":
        return SIGTERM
    from pycontainer.oci.grammar.signals import signal_number  # +1 ms

    return signal_number(name)


def group_for(bundle: Bundle, host: cgroups.Cgroups) -> cgroups.Group:
    """The container's cgroup, as its spec says."""
    linux = bundle.spec["linux"]
    return host.group(linux["cgroupsPath"], linux.get("resources", {}), bundle.defaults)


def filter_for(roots: Roots, bundle: Bundle) -> Filter | None:
    """The spec's system call filter, compiled once and kept."""
    profile = bundle.spec["linux"].get("seccomp")
    return _filters(profile, roots.root + "/cache/seccomp") if profile else None


_filters = IdentityCache(load_filter, 16)  # the profiles of ours are one object each for all containers of a process


def given_slots(stdio: Stdio, *, tty: bool) -> frozenset[Slot]:
    """The descriptors that :func:`start` will hand over."""
    return frozenset(
        [slots.MONITOR_END, slots.INIT_END, slots.CLIENT, slots.LIFE, slots.LOCK]
        + ([slots.STDIN, slots.TO_STDIN] if stdio.stdin and not tty else [])
        + ([slots.STDOUT, slots.FROM_STDOUT, slots.STDERR, slots.FROM_STDERR] if not tty else [])
    )


def start(roots: Roots, bundle: Bundle, there: Attendance, owners: users.Map | None = None) -> Started:
    """Perform the plan up to execve. ``owners`` is the map of its ids, to be used or learnt.

    Raises, with everything undone that the plan had done, what ``there.await_record`` does, and:
        KernelError: a call failed.
        HostLacks: no process can be started, or one was killed.
        Conflict: a port is taken, or another's namespace can't be shared.
        StoreError: the disk is full, or we may not write there.
    """
    asked = bundle.asked
    if not any(mode.startswith("container:") for mode in (asked.pid, asked.ipc, asked.network)):
        return _start(roots, bundle, there, owners or users.Map(0))
    from pycontainer.engine import sharing

    with sharing.joined(roots, bundle) as memory:
        return _start(roots, bundle, there, owners or users.Map(0), memory)


def _start(roots: Roots, bundle: Bundle, there: Attendance, owners: users.Map, memory: str = "") -> Started:
    tty = bundle.spec["process"].get("terminal", False)
    host = cgroups.detect()
    group = group_for(bundle, host)
    filled = given_slots(there.stdio, tty=tty).union(owners.given)
    depends = setting(roots, bundle, group, filled, _network(roots, bundle), memory)
    planned = Planned(bundle.spec, depends, watched=there.observer is not None)
    hit("start.planned")
    scope = ScopeRequest(group)
    try:
        with ExitStack() as ours:
            given, client = _descriptors(roots, bundle, there.stdio, tty=tty, ours=ours)
            ours.enter_context(scope)
            hit("start.opened")
            given = given | scope.given | owners.given
            performance = perform(planned, given, bundle.container.name, host, there.observer)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _trouble(roots, error) from error
        raise HostLacks(f"can't start a process for the container: {os.strerror(error.errno or 0).lower()}") from error
    try:
        hit("start.spawned")
        scope.fulfil(performance.monitor)
        # All this while the kernel is at work in another process:
        containers.write_spec(roots, bundle.container.id, bundle.spec)
        trash.empty(roots)
        hit("start.prepared")
        performance.wait_started(there.await_record)
        hit("start.running")
        owners.learn(performance.init)
        _tell(roots, bundle, client)
    except BaseException as error:
        os.close(client)
        performance.kill_both()
        performance.close()
        group.remove_now(kill=False)
        if isinstance(error, PlanFailed):
            return _start_again(roots, bundle, there, planned.own(error))
        if isinstance(error, OSError):
            raise _trouble(roots, error) from error
        raise
    return Started(performance, client, group)


def _trouble(roots: Roots, error: OSError) -> StoreError:
    from pycontainer.engine.refusal import trouble  # only for a failure

    return trouble(roots, "can't write what a start needs", error)


def _tell(roots: Roots, bundle: Bundle, client: int) -> None:
    """Add the start to the events, and let the monitor know, which tells the end: that comes later, however quick."""
    for mount in bundle.asked.mounts:
        if mount.type == "volume":
            events.mount(roots, mount, bundle.container.id)
    events.write(roots, "start", bundle.container)
    with suppress(OSError):  # a monitor that was killed
        os.write(client, bytes([TOLD]))


def _start_again(roots: Roots, bundle: Bundle, there: Attendance, failed: PlanFailed) -> Started:
    """Start it in the host's user namespace, if one of its own may be why it failed; else raise what to show."""
    from pycontainer.engine import host_ids  # only for a failure

    reason = host_ids.cause(failed, mount_point(roots, bundle.container.id)) if bundle.users else ""
    if not reason or bundle.asked.userns == "private":
        from pycontainer.engine.diagnose import explain_failure

        raise explain_failure(failed, bundle, roots) from None
    removal.release_networks(roots, bundle.container.id)
    host_ids.mount_again(bundle.rootfs)
    started = start(roots, bundle._replace(spec=host_ids.shared(bundle.spec), users=0), there)
    host_ids.tell(roots, reason)
    return started


def perform(
    planned: Planned, given: dict[Slot, int], name: str, host: cgroups.Cgroups, observer: Observer | None
) -> Performance:
    """Start a monitor in the cgroup of monitors, where there is one. Raises OSError when no process can be made."""
    score = None if observer else planned.score(tuple(given))
    cgroup = host.home_of_monitors()
    if cgroup >= 0:
        try:
            return Performance(planned.plan, given, name=name, observer=observer, cgroup=cgroup, score=score)
        except OSError as error:
            if observer is not None or error.errno not in _NO_PLACE:
                raise
        finally:
            os.close(cgroup)
    return Performance(planned.plan, given, name=name, observer=observer, score=score)


def _network(roots: Roots, bundle: Bundle) -> Networking:
    mode = bundle.asked.network
    if mode in ("none", "host"):
        if bundle.asked.publish:
            from pycontainer.engine.notes import note

            note(f"published ports are discarded with --network {mode}")
        return NO_NETWORK
    from pycontainer.engine.network import endpoints  # +5 ms
    from pycontainer.plan import network

    return network.steps(endpoints.attach(roots, bundle))


def _descriptors(
    roots: Roots, bundle: Bundle, stdio: Stdio, *, tty: bool, ours: ExitStack
) -> tuple[dict[Slot, int], int]:
    """Open what the performer is started with; ``ours`` closes our copies."""
    record = life.begin(roots, bundle.container.id)
    ours.callback(os.close, record)
    given, client = connection(given_slots(stdio, tty=tty), ours)
    return given | {slots.LIFE: record, slots.LOCK: bundle.lock}, client
