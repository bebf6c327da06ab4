"""``exec``: one more process in a container that runs, behind the same wall as its first.

container -> process (what its spec says, and what is asked for) -> plan -> a monitor of its own -> exit code

The container's monitor has no part in it, so it does not matter how many there are. The process goes on when its
client is killed, and ends with the container.
"""

from __future__ import annotations

import _signal as signal  # `signal` itself: +2 ms
import errno
import os

from pycontainer import cgroups, jsontext
from pycontainer.core.failpoint import hit
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.engine import containers, events, keys, life
from pycontainer.engine.attachment import Attachment, Interrupted, Signals, connection, require_terminal, terminal_size
from pycontainer.engine.privilege import require_root
from pycontainer.engine.process import opened
from pycontainer.errors import CommandNotFound, Conflict, HostLacks, StoreError, UsageError
from pycontainer.light import ExitStack, contextmanager, suppress
from pycontainer.oci.exec_process import exec_process
from pycontainer.plan import namespaces, program, slots
from pycontainer.plan.enter import Entry, enter
from pycontainer.plan.seccomp import load as load_filter
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycontainer.core.performer import Observer
    from pycontainer.core.step import Plan, Slot
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.errors import PycError
    from pycontainer.oci.spec import Process, Spec
    from pycontainer.oci.user import User


class ExecOptions(Record):
    """One ``pyc exec``; what is left out is as in the container.

    Attributes:
        command: the program and its arguments.
        env: NAME=value, or NAME to remove what the container has.
        user: ``name|uid[:group|gid]``, looked up in the container's files.
        workdir: where it starts.
        tty: give it a terminal.
        interactive: our stdin is for it.
        privileged: give it all capabilities.
        detach: leave it running and return.
        detach_keys: what to type to leave it; "" for ctrl-p,ctrl-q.
        preserve_fds: how many of our descriptors from 3 on it gets.
    """

    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    tty: bool = False
    interactive: bool = False
    privileged: bool = False
    detach: bool = False
    detach_keys: str = ""
    preserve_fds: int = 0


class Target(Record):
    """A container to enter.

    Attributes:
        container: what it is.
        pidfd: of its first process; whoever made this closes it.
        spec: its runtime-spec.
    """

    container: Container
    pidfd: int
    spec: Spec


class Entered(Record):
    """A process whose program runs.

    Attributes:
        performance: its monitor.
        client: the socket that carries its stdio; core/monitor.c has the protocol.
    """

    performance: Performance
    client: int

    def leave(self) -> None:
        """Let go of it: it runs on."""
        os.close(self.client)
        self.performance.leave()


def execute(roots: Roots, name: str, options: ExecOptions, *, observer: Observer | None = None) -> int:
    """Run a command in a container, its stdio ours, and return its exit code; with ``detach`` 0 once it runs.

    ``observer`` is shown each kernel call before and after it is made. Raises PycError.
    """
    require_root()
    require_terminal(tty=options.tty, stdin=options.interactive and not options.detach)
    with Signals(interrupt=observer is not None) as signals, target(roots, name) as found:
        if number := signals.fatal():
            return 128 + number
        try:
            entered = start(roots, found, options, observer, None if observer else signals.await_record)
        except Interrupted as interrupted:
            return 128 + interrupted.number
        if options.detach:
            entered.leave()
            return 0
        return _attend(roots, found.container, entered, options, signals)


def launch(roots: Roots, name: str, options: ExecOptions) -> None:
    """Start a command in a container and leave it. Raises PycError when it can't begin."""
    with target(roots, name) as found:
        start(roots, found, options).leave()


@contextmanager
def target(roots: Roots, name: str) -> Iterator[Target]:
    """The container of that name, opened. Raises NotFound, or Conflict if it does not run."""
    container = containers.find(roots, name)
    check_runs(container)
    with opened(roots, container) as pidfd:
        if pidfd is None:
            raise not_running(container)
        yield Target(container, pidfd, read_spec(roots, container))


def check_runs(container: Container) -> None:
    """Raises Conflict, in docker's words, unless it runs."""
    if container.state == "paused":
        raise Conflict(
            f"container {container.name} is paused, unpause the container before exec",
            hint=f"pyc unpause {container.name}",
        )
    if container.state == "restarting":
        raise Conflict(f"container {container.name} is restarting, wait until the container is running")
    if container.state != "running":
        raise not_running(container)


def not_running(container: Container) -> Conflict:
    """What to say of a container that has ended."""
    return Conflict(f"container {container.name} is not running", hint=f"pyc start {container.name}")


def read_spec(roots: Roots, container: Container) -> Spec:
    """The container's config.json. Raises StoreError."""
    try:
        with open(roots.container(container.id) + "/config.json") as file:
            spec: Spec = jsontext.load(file.read())
        if not ("process" in spec and "linux" in spec):
            raise ValueError("it is no runtime-spec")
    except (OSError, ValueError, TypeError):
        raise StoreError(f"container {container.name}: its config.json is missing or damaged") from None
    return spec


# --- starting -------------------------------------------------------------------------------------------------------


def start(
    roots: Roots,
    found: Target,
    options: ExecOptions,
    observer: Observer | None = None,
    await_record: Callable[[int], None] | None = None,
) -> Entered:
    """Perform the plan up to execve. Raises PycError, and what ``await_record`` does; then no process is left."""
    container = found.container
    spec = spec_of(found, options)
    given: dict[Slot, int] = {}
    with ExitStack() as ours:
        client = _descriptors(found, options, given, ours)
        try:
            plan = plan_for(roots, found, spec, options, frozenset(given))
            hit("exec.planned")
            performance = Performance(plan, given, name=f"{container.name} exec", observer=observer)
        except BaseException as error:
            os.close(client)
            if isinstance(error, OSError):
                reason = os.strerror(error.errno or 0).lower()
                raise HostLacks(f"can't start a process for the container: {reason}") from error
            raise
    try:
        words = " ".join(options.command)
        events.write(roots, f"exec_create: {words}", container)
        hit("exec.spawned")
        performance.wait_started(await_record)
        hit("exec.running")
        events.write(roots, f"exec_start: {words}", container)
    except BaseException as error:
        os.close(client)
        performance.kill_both()
        performance.close()
        if isinstance(error, PlanFailed):
            raise _explained(error, roots, found, spec) from None
        raise
    return Entered(performance, client)


def plan_for(roots: Roots, found: Target, spec: Spec, options: ExecOptions, given: frozenset[Slot]) -> Plan:
    """Every step from here to execve, and to the process's end."""
    profile = spec["linux"].get("seccomp")
    entry = Entry(
        container=found.container.id,
        kinds=tuple(kind for kind in namespaces.FLAGS if namespaces.has(spec, kind)),
        group=cgroups.detect().existing(found.container.cgroup, found.container.pid),
        filter=load_filter(profile, roots.root + "/cache/seccomp") if profile else None,
        given=given,
        preserved=options.preserve_fds,
        watched=True,
    )
    return enter(spec, entry)


def preview(roots: Roots, found: Target, options: ExecOptions) -> Plan:
    """The plan of what is not done."""
    return plan_for(roots, found, spec_of(found, options), options, frozenset(given_slots(options)))


def spec_of(found: Target, options: ExecOptions) -> Spec:
    """The container's spec with the new process in place of the first."""
    privileged: tuple[str, ...] = ()
    if options.privileged:
        from pycontainer.engine.facts import capabilities  # few need it

        privileged = capabilities()
    process = exec_process(
        found.spec["process"],
        command=options.command,
        env=options.env,
        workdir=options.workdir,
        tty=options.tty,
        console=None if options.detach else terminal_size(),
        user=_user(found.container, options.user) if options.user else None,
        sets_home=found.container.options.get("sets_home", False),
        privileged=privileged,
    )
    _check_ids(found, process)
    return {**found.spec, "process": process}


def _check_ids(found: Target, process: Process) -> None:
    maps = found.spec["linux"].get("uidMappings")
    highest = max(process["user"]["uid"], process["user"]["gid"], *process["user"].get("additionalGids", ()))
    if maps and all(highest >= each["containerID"] + each["size"] for each in maps):
        raise UsageError(
            f"id {highest} is not one of container {found.container.name}'s: its user namespace ends before",
            hint="a container that is made with --userns host has all ids",
        )


def _user(container: Container, asked: str) -> User:
    """Looked up in the files as they are in the container now."""
    from pycontainer.oci.user import resolve_user  # few ask for another user
    from pycontainer.rootfs.live import LiveRoot

    try:
        with LiveRoot(container.pid) as files:
            return resolve_user(asked, container.options.get("group_add", ()), files)
    except FileNotFoundError:
        raise not_running(container) from None


def given_slots(options: ExecOptions) -> tuple[Slot, ...]:
    """The descriptors that :func:`start` hands over, beside those of the caller's."""
    every = (slots.CONTAINER, slots.INSIDE, slots.CALLER, slots.MONITOR_END, slots.INIT_END, slots.CLIENT)
    if options.tty:
        return every
    reads = options.interactive and not options.detach
    stdin = (slots.STDIN, slots.TO_STDIN) if reads else (slots.STDIN,)
    return (*every, *stdin, slots.STDOUT, slots.FROM_STDOUT, slots.STDERR, slots.FROM_STDERR)


def _descriptors(found: Target, options: ExecOptions, given: dict[Slot, int], ours: ExitStack) -> int:
    """Open what the performer is started with; ``ours`` closes our copies. Returns our end of the client's socket."""
    caller = os.pidfd_open(os.getpid())
    ours.callback(os.close, caller)
    opened, client = connection(given_slots(options), ours)
    given |= opened | {slots.CONTAINER: found.pidfd, slots.INSIDE: _root(found, ours), slots.CALLER: caller}
    given |= {program.preserved(number): number for number in range(3, 3 + options.preserve_fds)}
    return client


def _root(found: Target, ours: ExitStack) -> int:
    from pycontainer.rootfs.live import root_of

    try:
        root = root_of(found.container.pid, found.pidfd)
    except OSError:
        raise not_running(found.container) from None
    ours.callback(os.close, root)
    return root


# --- being with it --------------------------------------------------------------------------------------------------


def _attend(roots: Roots, container: Container, entered: Entered, options: ExecOptions, signals: Signals) -> int:
    """Be its client until it ends, and return its exit code; 0 if the detach keys were pressed."""
    attachment = Attachment(
        entered.client,
        entered.performance,
        signals,
        stdin=0 if options.interactive else None,
        tty=options.tty,
        proxy=True,
        keys=keys.parse(options.detach_keys or keys.DEFAULT),
        parting=(signal.SIGHUP,),
    )
    attachment.run()
    if attachment.detached:
        entered.leave()
        return attachment.code
    code = finished(entered, attachment.status)
    events.write(roots, "exec_die", container, exitCode=str(code))
    return code


def finished(entered: Entered, status: int | None) -> int:
    """Let go of a process that has ended, and return its exit code; ``status`` is what its monitor said."""
    performance = entered.performance
    os.close(entered.client)
    while performance.read_records():
        pass
    performance.close()
    if status is None:
        status = performance.wait_status()
    return life.exit_code(signal.SIGKILL if status is None else status)


def _has_ended(pidfd: int, *, within: float) -> bool:
    """Whether the process is no more, though that may not be recorded yet, or will not be ``within`` some seconds."""
    from select import POLLIN, poll  # only for a failure

    looking = poll()
    looking.register(pidfd, POLLIN)
    return bool(looking.poll(within * 1000))


def _explained(failed: PlanFailed, roots: Roots, found: Target, spec: Spec) -> PycError:
    """The error to show for a plan that failed."""
    from pycontainer.engine.diagnose import exec_failure, kernel_error  # only for a failure
    from pycontainer.rootfs.live import LiveRoot

    ending = failed.call.name == "setns" and failed.record.error == errno.ESRCH
    # A PID namespace ends from its last process to its first: ours was killed, and so will be the container's.
    killed = failed.call.name == "read" and failed.record.error == errno.ECONNRESET
    ended = ending or _has_ended(found.pidfd, within=1 if killed else 0)
    if ended or not containers.with_state(roots, found.container).pid:
        return not_running(found.container)
    if failed.call.name == "execve":
        with suppress(OSError), LiveRoot(found.container.pid) as files:
            return exec_failure(failed, spec["process"]["args"][0], files)
    error = kernel_error(failed)
    if failed.step.title == "Go to the working directory":
        why = os.strerror(failed.record.error).lower()
        missing = CommandNotFound(failed.call.name, failed.record.error)
        missing.message = f"working directory {spec['process']['cwd']} of the container: {why}"
        return missing
    return error
