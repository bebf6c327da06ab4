"""The page: every step that makes a container, in order.

The order is the knowledge, and all container runtimes agree on it. Propagation is turned off before the first mount.
All mounts are made before the pivot, while the host's paths still exist; /proc is masked after it. Ids come before
capabilities, no_new_privs after both, the system call filter as late as possible, and a pipe stays open until execve
to tell the monitor that it happened.
"""

from __future__ import annotations

from pycontainer.core.step import MONITOR, Plan, Slot, Step
from pycontainer.core.wire import REPORTS
from pycontainer.plan import (
    devices,
    identity,
    labels,
    limits,
    masks,
    monitor,
    mounts,
    namespaces,
    program,
    root,
    scheduling,
    seccomp,
    shared_memory,
    sysctls,
    terminal,
)
from pycontainer.plan.seccomp import Filter
from pycontainer.plan.slots import ROOT, USERS
from pycontainer.record import TYPE_CHECKING, Record
from pycontainer.rootfs.overlay import RootFS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycontainer.cgroups import Group
    from pycontainer.oci.spec import Spec


class Networking(Record):
    """The steps of plan/network.py, which a container without a network need not load.

    Attributes:
        connect: by the monitor, before init goes on.
        trust_nobody, configure: by init.
        give_back: by the monitor, at the end.
    """

    connect: tuple[Step, ...] = ()
    trust_nobody: tuple[Step, ...] = ()
    configure: tuple[Step, ...] = ()
    give_back: tuple[Step, ...] = ()


NO_NETWORK = Networking()


class Setting(Record):
    """What a plan depends on beside the spec.

    Attributes:
        container: the container's ID.
        rootfs: what the root filesystem is made of.
        mount_point: the directory of the host where it is attached, seen by nobody else.
        group: the container's cgroup.
        kernel: (major, minor) of the running kernel.
        kind_of: what a path of the host is: "directory", "file" for anything else, "" for nothing.
        filter: the compiled system call filter, or None.
        given: the descriptors that the performer is started with.
        init: keep a small init as PID 1.
        watch: how the monitor watches over it; None for a monitor that only waits for its end.
        held: another engine's container: nobody of ours stays with it, and it waits for `start` before execve.
        preserved: how many descriptors of the caller's from 3 on the program gets; only if held.
        pivot: change the root by pivot_root; if not, by covering it.
        keyring: give it a session keyring of its own.
        network: how it gets into its networks.
        caller: who makes it.
        memory: the mount namespace of the container whose /dev/shm it shares, or "".
        own_oom_score: the monitor's own oom_score_adj.
        exceeded: the rlimits that are to be higher than the monitor's: name, its soft limit, their hard limit.
    """

    container: str
    rootfs: RootFS
    mount_point: str
    group: Group
    kernel: tuple[int, int]
    kind_of: Callable[[str], str]
    filter: Filter | None = None
    given: frozenset[Slot] = frozenset()
    init: bool = False
    watch: monitor.Watch | None = None
    held: bool = False
    preserved: int = 0
    pivot: bool = True
    keyring: bool = True
    network: Networking = NO_NETWORK
    caller: identity.Caller = identity.ROOT
    memory: str = ""
    own_oom_score: int = 0
    exceeded: tuple[tuple[str, int, int], ...] = ()


def container(spec: Spec, setting: Setting) -> Plan:
    """The plan that makes the container of ``spec``, from its cgroup to its end.

    Raises UsageError where the spec asks for something that can't be done.
    """
    return tuple(_steps(spec, setting))


def _taken(spec: Spec, setting: Setting) -> Iterator[Slot]:
    """What the monitor has opened for init alone."""
    yield from setting.group.entrances
    if outside := _outside(spec, setting):
        yield from (USERS, ROOT)
    yield from mounts.taken(spec, users=outside)


def _outside(spec: Spec, setting: Setting) -> bool:
    """Whether the monitor makes what a process in the container's user namespace may not."""
    return mounts.has_users(spec) and not setting.caller.unprivileged


def _filter(spec: Spec, setting: Setting) -> Iterator[Step]:
    """The system call filter, and before it what it might forbid."""
    yield from program.close_descriptors()
    yield from program.keep_descriptors(setting.preserved)
    yield from identity.no_new_privs(spec)
    yield from seccomp.install(setting.filter, taken=REPORTS if setting.held else None)


def _steps(spec: Spec, setting: Setting) -> Iterator[Step]:
    tty, given, held = terminal.wanted(spec), setting.given, setting.held
    outside, bound = _outside(spec, setting), setting.caller.in_users or mounts.has_users(spec)
    pty = tty and not setting.caller.unprivileged

    if not held:
        from pycontainer.plan import users  # who holds it maps its ids as well (oci/users.py)

    # The monitor, in the host's namespaces
    yield from setting.group.create()
    if pty:
        yield from terminal.open_pty(spec, given)
        yield from terminal.hand_over(spec, given)
    yield from terminal.own_pipes(spec, given, inherited=held)
    if not held:
        yield from users.for_mounts(spec, given)
    if outside:
        owner = terminal.host_id(0, spec["linux"].get("uidMappings") or [])
        yield from root.take(setting.rootfs, setting.mount_point, setting.kernel, owner=owner)
    yield from mounts.take_outside(spec, users=outside)
    yield from shared_memory.take(setting.memory)
    yield from limits.raise_hard(setting.exceeded)
    yield from limits.oom_score(spec, MONITOR)
    yield from namespaces.clone(spec, setting.group.clone_into, sibling=held)

    # Two processes now: init, in new namespaces, waits until the monitor has done its part
    yield from limits.own_oom_score(spec, setting.own_oom_score)
    if outside:
        yield from root.leave_layers(setting.rootfs, setting.kernel)
    yield from setting.network.connect
    if outside and not held:
        yield from users.show_itself(spec)
        yield from users.map_init(spec)
    yield from namespaces.held_handshake() if held else namespaces.handshake()
    if outside and not held:
        yield from users.hide_itself(spec)
    yield from program.let_go(given, *(() if held else _taken(spec, setting)))
    yield from monitor.settle(setting.watch)
    if outside:
        yield from root.let_go_of_layers(setting.rootfs, setting.kernel)
    yield from setting.group.let_go()
    yield from setting.group.enter()
    yield from namespaces.join(spec)
    yield from namespaces.hide_cgroup(spec)
    yield from labels.open_attributes(spec)
    if outside or not mounts.has_users(spec):  # else only its own container may look, and its user
        yield from identity.hide()  # its own files of /proc are root's from here on

    # The root filesystem, and everything mounted in it
    yield from root.leave_propagation()
    yield from root.assemble(setting.rootfs, setting.mount_point, setting.kernel, taken=outside)
    yield from identity.root_of_the_namespace(spec, tied=not held)
    yield from mounts.mount_all(spec, kind_of=setting.kind_of, cgroups=setting.group.views, pty=pty, users=outside)
    yield from shared_memory.attach(setting.memory)
    yield from devices.nodes(spec, bound=bound)
    yield from sysctls.write_all(spec)
    yield from setting.network.trust_nobody
    yield from terminal.session(spec, given, inherited=held, pty=pty)
    if held and spec.get("hooks"):
        yield from program.wait_for_hooks()
    yield from root.pivot() if setting.pivot else root.move()
    yield from root.propagation(spec["linux"].get("rootfsPropagation", ""))
    yield from program.working_directory(spec)
    yield from masks.mask(spec, kind_of=setting.kind_of)
    yield from masks.protect(spec)
    if spec["root"].get("readonly"):
        yield from root.read_only()

    # What the process is called, may use, and may do
    if setting.init:
        yield program.be_called_init()
    yield from namespaces.name(spec)
    yield from namespaces.loopback(spec)
    yield from setting.network.configure
    yield from scheduling.steps(spec)
    yield from limits.rlimits(spec)
    if setting.keyring:
        yield from identity.keyring(setting.container)
    gains_nothing = spec["process"].get("noNewPrivileges", False)
    if held and not gains_nothing:
        yield from program.wait_for_start(count=setting.preserved, labels=labels.slots(spec))
    yield from identity.bound(spec)
    if not gains_nothing:  # without that bit, installing a filter takes the power that is about to go
        yield from _filter(spec, setting)
    yield from identity.become(spec, tied=not held, caller=setting.caller)
    if held and gains_nothing:  # in both cases just before the filter, which need not know of our waiting
        yield from program.wait_for_start(count=setting.preserved, labels=labels.slots(spec))
    yield from labels.apply(spec)
    if gains_nothing:
        yield from _filter(spec, setting)
    yield from program.execute(spec, under_init=setting.init)

    # The monitor again
    if not held:
        yield from program.supervise(tty=tty, given=given, counters=setting.group.counters, watch=setting.watch)
        yield from setting.network.give_back
        yield from setting.group.remove()
        yield from monitor.follow(setting.watch)
