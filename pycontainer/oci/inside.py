"""Processes that enter a container that is there already: exec, and the hooks that run inside."""

from __future__ import annotations

import os

from pycontainer.core import kernel
from pycontainer.core.constants import SIGKILL
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.core.step import Slot
from pycontainer.errors import Conflict, HostLacks, NotFound, PycError
from pycontainer.light import ExitStack, suppress
from pycontainer.oci import cgroup, hooks
from pycontainer.oci.asked import Asked, descriptors
from pycontainer.oci.bundle import filter_of
from pycontainer.oci.caller import caller_of
from pycontainer.oci.failures import failure
from pycontainer.oci.granted import only_granted
from pycontainer.oci.state import Home, State, is_alive
from pycontainer.oci.variables import complete
from pycontainer.plan import slots
from pycontainer.plan.enter import Entry, enter
from pycontainer.plan.mounts import has_users
from pycontainer.plan.namespaces import FILES
from pycontainer.plan.seccomp import LISTENER
from pycontainer.record import TYPE_CHECKING, Record
from pycontainer.rootfs.live import root_of

if TYPE_CHECKING:
    from pycontainer.core.step import Plan
    from pycontainer.oci.spec import Hook, Process, Spec


class Wanted(Record):
    """What exec adds to the options of create.

    Attributes:
        ignore_paused: let the process wait in a paused container.
    """

    asked: Asked
    ignore_paused: bool = False


class _Files(Record):
    """Those of the container whose first process is ``pid``."""

    pid: int

    def read(self, path: str, limit: int) -> bytes:
        """The content of one. Raises OSError."""
        from pycontainer.rootfs.live import LiveRoot

        with LiveRoot(self.pid) as root:
            return root.read(path, limit)


def execute(home: Home, name: str, process: Process, wanted: Wanted, *, console: int = -1) -> int:
    """Start ``process`` in the container and return its pid; it is our child. Raises PycError when it can't begin."""
    state = home.read(name)
    status = home.status(state)
    if status == "stopped":
        raise NotFound("cannot exec in a stopped container")
    if status == "paused" and not wanted.ignore_paused:
        raise Conflict("cannot exec in a paused container (use --ignore-paused to override)")
    spec = home.spec(name)
    only_granted(process, users=has_users(spec))
    complete(process, _Files(state.pid))
    entered: Spec = {**spec, "process": process}
    group = cgroup.existing(state.cgroup, spec, state.cgroups)
    with ExitStack() as ours:
        given = descriptors(process, wanted.asked, console, ours, spec["linux"].get("uidMappings"))
        given[slots.CONTAINER], given[slots.INSIDE], kinds = _container(state, ours)
        entry = Entry(
            container=name,
            kinds=kinds,
            group=group,
            filter=filter_of(spec),
            given=frozenset(given),
            preserved=wanted.asked.preserve_fds,
            caller=caller_of(spec),
        )
        pid = _perform(enter(entered, entry), given, f"{name} exec", entered, state)
    wanted.asked.write_pid(pid)
    return pid


def call_hook(kind: str, hook: Hook, spec: Spec, state: State, told: str, *, confined: bool) -> None:
    """Call a hook inside: confined where its path leads to a file of the container's, which nobody has to trust."""
    path = hook["path"]
    process: Process = {
        **spec["process"],
        "args": list(hook.get("args") or [path]),
        "env": list(hook.get("env") or []),
        "terminal": False,
        "cwd": spec["process"].get("cwd", "/") if confined else "/",
    }
    output = os.memfd_create("hook output")
    with ExitStack() as ours:
        ours.callback(os.close, output)
        stdin = hooks.stdin_of(told)
        ours.callback(os.close, stdin)
        given = {slots.STDIN: stdin, slots.STDOUT: output, slots.STDERR: output}
        given[slots.CONTAINER], given[slots.INSIDE], kinds = _container(state, ours)
        entry = Entry(
            container=state.id,
            kinds=kinds,
            filter=filter_of(spec),
            given=frozenset(given),
            path=path,
            confined=confined,
            caller=caller_of(spec),
        )
        try:
            entered: Spec = {**spec, "process": process}
            pid = _perform(enter(entered, entry), given, f"{kind} hook", entered, state)
        except PycError as error:
            raise hooks.HookFailed(f"{kind} hook {path}: {error.message}") from None
        hooks.judge(kind, hook, hooks.wait(pid, hook.get("timeout")), os.pread(output, 4096, 0))


def _container(state: State, ours: ExitStack) -> tuple[int, int, tuple[str, ...]]:
    """A pidfd of its first process, its root, and the kinds of namespaces in which that is and we are not."""
    try:
        pidfd = os.pidfd_open(state.pid)
        ours.callback(os.close, pidfd)
        root = root_of(state.pid, pidfd)
        ours.callback(os.close, root)
        kinds = tuple(kind for kind, file in FILES.items() if _is_apart(state.pid, file))
    except PermissionError:
        raise HostLacks("without root nobody may enter while its first process, another user's, waits") from None
    except OSError:
        raise NotFound("container not running") from None
    if state.began and not is_alive(state.pid, state.began):  # or it might be another process of that number
        raise NotFound("container not running")
    return pidfd, root, kinds


def _is_apart(pid: int, file: str) -> bool:
    theirs, own = f"/proc/{pid}/ns/{file}", f"/proc/self/ns/{file}"
    return os.path.exists(own) and os.stat(theirs).st_ino != os.stat(own).st_ino


def _perform(plan: Plan, given: dict[Slot, int], name: str, spec: Spec, state: State) -> int:
    """Perform the plan up to execve, and return the new process's pid."""
    inner, outer = kernel.socketpair(kernel.SOCK_STREAM)
    performance = Performance(plan, {**given, slots.INIT_END: inner}, name=name)
    os.close(inner)
    pid = 0
    try:
        pid = performance.wait_for(lambda _, call: call.child is not None).value
        os.write(outer, b"g")
        if any(call.out is LISTENER for step in plan for call in step.calls):
            from pycontainer.oci.listener import hand_over

            number = performance.wait_for(lambda _, call: call.out is LISTENER).value
            hand_over(spec, state, pid, number)
            os.write(outer, b"t")
        while performance.read_records():
            pass
        return pid
    except BaseException as error:
        if not pid:
            performance.kill()
        else:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        if isinstance(error, PlanFailed):
            raise failure(error, spec) from None
        raise
    finally:
        os.close(outer)
        performance.close()
