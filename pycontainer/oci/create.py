"""Create: how a container of an OCI runtime is made, up to where its program would begin (runtime.md, Operations).

Nobody of ours stays with a container. Its first process is the child of whoever called `pyc-oci`, or of the nearest
subreaper above, which is how conmon and containerd's shim want it; between create and start it waits at a socket in
the container's directory.
"""

from __future__ import annotations

import os

from pycontainer import jsontext
from pycontainer.cgroups.request import ScopeRequest
from pycontainer.core import kernel
from pycontainer.core.constants import SIGKILL
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.errors import UsageError
from pycontainer.light import ExitStack, suppress
from pycontainer.oci import bundle, cgroup, executable
from pycontainer.oci.asked import Asked, descriptors, reachable
from pycontainer.oci.caller import caller_of
from pycontainer.oci.failures import RuntimeFailed, failure, is_anothers
from pycontainer.oci.places import settle
from pycontainer.oci.start import knock, later_calls
from pycontainer.oci.state import Home, State, shown, start_time
from pycontainer.oci.variables import complete
from pycontainer.plan import host, mounts, slots
from pycontainer.plan.container import Setting, container
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs.overlay import Directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pycontainer.cgroups import Group
    from pycontainer.core.step import Call, Plan, Slot, Step
    from pycontainer.oci.spec import Spec

MOST_MAPS = 100


def create(home: Home, name: str, asked: Asked, *, console: int = -1, at_once: bool = False) -> tuple[State, Spec, int]:
    """Make the container, up to where its program would begin; `console` is a socket that takes the terminal.

    ``at_once``: :func:`start.begin` follows whatever happens, so where nobody is to see the container before its
    program, that need not wait for us. The last of what is returned is for that function. Raises PycError, with
    everything undone.
    """
    made_from = bundle.read(asked.bundle)
    spec = made_from.spec
    if spec["process"].get("terminal") and console < 0 and not asked.console_socket:
        raise UsageError("a container with a terminal needs --console-socket, unless it runs in the foreground")
    places = settle(spec, made_from.rootfs)
    complete(spec["process"], places, sockets=asked.sockets)
    path = cgroup.cgroup_of(name, spec, systemd=asked.systemd, rootless=asked.rootless)
    with _Creation(home, name, spec) as creation:
        group = cgroup.group_of(path, spec, rootless=asked.rootless)
        cgroup.make_room(group)
        plan = creation.begin(made_from.rootfs, group, asked, console)
        # Processes of the performer's are at work now, and what we do while they are takes no time.
        with open(f"{creation.where}/config.json", "w") as file:
            file.write(made_from.copy())
        state = made_from.state(name, path, group)._replace(calls=later_calls(plan))
        state = creation.prepare(state)
        home.write(state)
        hurried = at_once and not (spec.get("hooks") or asked.pid_file or places.copied)
        if hurried and executable.is_seen_from_outside(spec, made_from.rootfs):
            creation.starter = knock(creation.where)
            creation.wait()
        else:
            creation.wait()
            places.fill(state.pid)
            executable.check_inside(spec["process"], state.pid)
        asked.write_pid(state.pid)
        return state, spec, creation.starter


class _Creation:
    """A container while it is being created: as a context, what undoes it all if it comes to nothing.

    Attributes:
        where: the container's directory.
        group: its cgroup, from when it is being made.
        init: the pid of its first process, 0 before there is one.
        starter: what the first process answers at, from when it has been told to go on.
        shares: what was made for it in resctrl.
        hooked: its state when the first hook was called.
    """

    def __init__(self, home: Home, name: str, spec: Spec) -> None:
        self.home, self.name, self.spec = home, name, spec
        self.where = home.reserve(name)
        self.group: Group | None = None
        self.init, self.starter = 0, -1
        self.shares: tuple[str, ...] = ()
        self.hooked: State | None = None
        self._performance: Performance | None = None
        self._ours = -1  # our end of a socket, whose other end is the first process's

    def __enter__(self) -> _Creation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._undo(error)
        finally:
            if self._ours >= 0:
                os.close(self._ours)
            if self._performance:
                self._performance.close()
        if isinstance(error, PlanFailed):
            raise failure(error, self.spec, self.group) from None
        if isinstance(error, OSError):
            words = f"creating {self.name}: {error.strerror}: {error.filename or ''}"
            raise RuntimeFailed(words.rstrip(": ")) from error

    def begin(self, rootfs: str, group: Group, asked: Asked, console: int) -> Plan:
        """Hand the plan to the performer, and return it."""
        spec = self.spec
        with ExitStack() as opened:
            given = _given(spec, asked, self.where, console, opened)
            setting = Setting(
                container=self.name,
                rootfs=Directory(rootfs),
                mount_point=rootfs,
                group=group,
                kernel=host.kernel_version(),
                kind_of=host.kind_of,
                filter=bundle.filter_of(spec),
                given=frozenset(given),
                held=True,
                preserved=asked.preserve_fds,
                pivot=not asked.no_pivot,
                keyring=not asked.no_new_keyring,
                caller=caller_of(spec),
                own_oom_score=host.oom_score(spec),
                exceeded=host.exceeded(spec),
            )
            plan = container(spec, setting)
            inner, self._ours = kernel.socketpair(kernel.SOCK_STREAM)
            opened.callback(os.close, inner)
            with ScopeRequest(group) as scoped:
                given |= {**scoped.given, slots.INIT_END: inner}
                self.group, self._performance = group, Performance(plan, given, name=self.name)
            scoped.fulfil(self._performance.monitor)
        return plan

    def prepare(self, state: State) -> State:
        """Do what only can be done from outside, when init has come to it; the state with what is known then."""
        spec, linux = self.spec, self.spec["linux"]
        state = state._replace(pid=self._first_process())
        if mounts.has_users(spec):
            from pycontainer.oci.users import write_maps

            write_maps(state.pid, linux.get("uidMappings") or [], linux.get("gidMappings") or [])
        if linux.get("netDevices") or linux.get("intelRdt"):
            from pycontainer.oci import outside

            self.shares = outside.prepare(linux, state)
        os.write(self._ours, b"g")
        if spec.get("hooks"):
            self._wait_for(_says(b"h"))
            self._call_hooks(state)
            os.write(self._ours, b"g")
        return state._replace(began=start_time(state.pid), shares=self.shares)

    def wait(self) -> None:
        """Return when all is made, and only the program is missing. Raises PlanFailed."""
        self._wait_for(_says(b"r"))

    def _first_process(self) -> int:
        self.init = self._wait_for(lambda _, call: call.child is not None)
        return self.init

    def _wait_for(self, wanted: Callable[[Step, Call], bool]) -> int:
        assert self._performance
        return self._performance.wait_for(wanted).value

    def _call_hooks(self, state: State) -> None:
        from pycontainer.oci import hooks, inside

        self.hooked, told = state, jsontext.dump(shown(state, "creating"))
        for kind in ("prestart", "createRuntime"):
            hooks.call(hooks.of(self.spec, kind), kind, state, "creating")
        for hook in hooks.of(self.spec, "createContainer"):
            inside.call_hook("createContainer", hook, self.spec, state, told, confined=False)

    def _undo(self, error: BaseException) -> None:
        if self.starter >= 0:
            os.close(self.starter)
        if self._performance and self.group:
            self._end(self._performance)
            self.group.remove_now(kill=not is_anothers(error))
        self.home.remove(self.name)
        if self.hooked:  # what hooks have done is undone by others, also where it came to nothing (Lifecycle)
            from pycontainer.oci import hooks

            hooks.call_all(hooks.of(self.spec, "poststop"), "poststop", self.hooked, "stopped")

    def _end(self, performance: Performance) -> None:
        """End the processes that have been started, and what they share."""
        if not self.init:
            performance.kill()
            with suppress(PlanFailed, StopIteration):
                self._first_process()
        if self.init:
            with suppress(ProcessLookupError):
                os.kill(self.init, SIGKILL)  # our own child, not waited for: the number is its
            with suppress(ChildProcessError):
                os.waitpid(self.init, 0)
        if self.shares:
            from pycontainer.oci import outside

            outside.undo(self.shares)


def _given(spec: Spec, asked: Asked, where: str, console: int, opened: ExitStack) -> dict[Slot, int]:
    """The descriptors that the performer is started with, beside init's end of the handshake."""
    with reachable(where) as directory:
        waiting = kernel.listen(f"{directory}/start")
    opened.callback(os.close, waiting)
    given = {slots.START: waiting}
    given |= descriptors(spec["process"], asked, console, opened, spec["linux"].get("uidMappings"))
    mapped = [mount for mount in spec.get("mounts") or () if mounts.is_mapped(mount)]
    if len(set(map(mounts.users_of, mapped))) > MOST_MAPS:
        raise UsageError(f"mounts[].uidMappings: more than {MOST_MAPS} different ones")
    for mount in mapped:
        if mounts.users_of(mount) not in given:
            from pycontainer.oci.users import user_namespace  # +1 ms, and a process

            uids = mount.get("uidMappings") or spec["linux"].get("uidMappings") or []
            gids = mount.get("gidMappings") or spec["linux"].get("gidMappings") or []
            given[mounts.users_of(mount)] = opened.enter_context(user_namespace(uids, gids))
    return given


def _says(word: bytes) -> Callable[[Step, Call], bool]:
    return lambda _, call: call.report and call.name == "write" and call.args[1] == word
