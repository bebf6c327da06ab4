"""Create and start: how a container of an OCI runtime comes to life (runtime.md, Operations).

Nobody of ours stays with a container. Its first process is the child of whoever called `pyc-oci`, or of the nearest
subreaper above, which is how conmon and containerd's shim want it; between create and start it waits at a socket in
the container's directory.
"""

from __future__ import annotations

import errno
import os
import stat

from pycontainer import jsontext
from pycontainer.cgroups.request import ScopeRequest
from pycontainer.core import kernel
from pycontainer.core.constants import SIGKILL
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.core.step import Call, Slot, Step
from pycontainer.core.wire import RECORD_BYTES, outcomes
from pycontainer.errors import Conflict, UsageError
from pycontainer.light import ExitStack, contextmanager, suppress
from pycontainer.oci import cgroup, fields, shape
from pycontainer.oci.caller import caller_of
from pycontainer.oci.failures import RuntimeFailed, by_its_field, exec_failure, failure, is_anothers, sentence, titled
from pycontainer.oci.places import settle
from pycontainer.oci.state import Home, State, now, shown, start_time
from pycontainer.oci.variables import complete
from pycontainer.plan import host, mounts, program, slots, terminal
from pycontainer.plan.container import Setting, container
from pycontainer.plan.seccomp import LISTENER, Filter
from pycontainer.plan.seccomp import load as load_filter
from pycontainer.record import TYPE_CHECKING, Record
from pycontainer.rootfs.overlay import Directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycontainer.cgroups import Group
    from pycontainer.oci.spec import IDMapping, Process, Spec

FILTERS = "/run/pycontainer/seccomp"  # compiled once: the engines pass the same few profiles again and again
FIRST_KEPT, MOST_KEPT, MOST_MAPS = 3, 128, 100


class Asked(Record):
    """The options of create, run and exec.

    Attributes:
        bundle: the directory of config.json.
        pid_file: where the pid is written, or "".
        console_socket: who takes the terminal, or "".
        preserve_fds: how many descriptors from 3 on the program gets.
        sockets: how many of them are a service manager's, as it is told.
        no_pivot, no_new_keyring: as they say.
        systemd: the container's cgroup is a scope of systemd's.
        rootless: do without cgroups where they may not be made.
    """

    bundle: str = "."
    pid_file: str = ""
    console_socket: str = ""
    preserve_fds: int = 0
    sockets: int = 0
    no_pivot: bool = False
    no_new_keyring: bool = False
    systemd: bool = False
    rootless: bool = False


# --- create -----------------------------------------------------------------------------------------------------------


def create(home: Home, name: str, asked: Asked, *, console: int = -1, at_once: bool = False) -> tuple[State, Spec, int]:
    """Make the container, up to where its program would begin; `console` is a socket that takes the terminal.

    ``at_once``: :func:`begin` follows whatever happens, so where nobody is to see the container before its program,
    that need not wait for us. The last of what is returned is for that function. Raises PycError, with everything
    undone.
    """
    bundle = os.path.realpath(asked.bundle)
    document, spec = read_bundle(bundle)
    fields.check(spec, bundle)
    if spec["process"].get("terminal") and console < 0 and not asked.console_socket:
        raise UsageError("a container with a terminal needs --console-socket, unless it runs in the foreground")
    rootfs = os.path.realpath(os.path.join(bundle, spec["root"]["path"]))
    places = settle(spec, rootfs)
    complete(spec["process"], places, sockets=asked.sockets)
    path = cgroup.cgroup_of(name, spec, systemd=asked.systemd, rootless=asked.rootless)
    where = home.reserve(name)
    group: Group | None = None
    starting: _Starting | None = None
    starter = -1
    try:
        group = cgroup.group_of(path, spec, rootless=asked.rootless)
        cgroup.make_room(group)
        with ExitStack() as ours:
            given = _given(spec, asked, where, console, ours)
            setting = Setting(
                container=name,
                rootfs=Directory(rootfs),
                mount_point=rootfs,
                group=group,
                kernel=host.kernel_version(),
                kind_of=host.kind_of,
                filter=filter_of(spec),
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
            inner, outer = kernel.socketpair(kernel.SOCK_STREAM)
            ours.callback(os.close, outer)
            with ScopeRequest(group) as scoped:
                given |= {**scoped.given, slots.INIT_END: inner}
                starting = _Starting(Performance(plan, given, name=name), outer)
            os.close(inner)
            scoped.fulfil(starting.performance.monitor)
            # Processes of the performer's are at work now, and what we do while they are takes no time.
            with open(f"{where}/config.json", "w") as file:
                file.write(jsontext.dump(spec) if "null" in document else document)  # once checked, it has no null
            state = State(
                id=name,
                pid=0,
                began=0,
                bundle=bundle,
                rootfs=rootfs,
                created=now(),
                cgroups=group.directories,
                cgroup=path,
                annotations=spec.get("annotations") or {},
                calls=_later_calls(plan),
            )
            state = state._replace(pid=starting.pid())
            starting.prepare(spec, state)
            state = state._replace(began=start_time(state.pid), shares=starting.shares)
            home.write(state)
            hurried = at_once and not (spec.get("hooks") or asked.pid_file or places.copied)
            if hurried and _is_seen_from_outside(spec, rootfs):
                starter = _knock(where)
                starting.wait()
            else:
                starting.wait()
                places.fill(state.pid)
                _check_program(spec["process"], state.pid)
        write_pid_file(asked.pid_file, state.pid)
        return state, spec, starter
    except BaseException as error:
        if starter >= 0:
            os.close(starter)
        if starting:
            starting.give_up()
        if group and starting:
            group.remove_now(kill=not is_anothers(error))
        home.remove(name)
        if starting:
            starting.undo_hooks(spec)
        if isinstance(error, PlanFailed):
            raise failure(error, spec, group) from None
        if isinstance(error, OSError):
            raise RuntimeFailed(f"creating {name}: {error.strerror}: {error.filename or ''}".rstrip(": ")) from error
        raise
    finally:
        if starting:
            starting.performance.close()


def read_bundle(bundle: str) -> tuple[str, Spec]:
    """config.json, as text and as data. Raises UsageError."""
    path = f"{bundle}/config.json"
    try:
        with open(path) as file:
            document = file.read()
        spec: Spec = shape.read(document, shape.SPEC, "")
    except FileNotFoundError:
        raise UsageError(f"JSON specification file {path} not found") from None
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or '').lower()}") from None
    except ValueError as error:
        digits = "Exceeds the limit" in str(error)  # of int(); it is told before there is a field
        raise UsageError(f"{path}: {'a number of more digits than any field takes' if digits else error}") from None
    return document, spec


def filter_of(spec: Spec) -> Filter | None:
    """The compiled system call filter."""
    profile = spec["linux"].get("seccomp")
    with by_its_field():
        return load_filter(profile, FILTERS) if profile else None


def write_pid_file(path: str, pid: int) -> None:
    """By rename, since engines read it as soon as it is there."""
    if path:
        directory, name = os.path.split(path)
        unfinished = os.path.join(directory, f".{name}")
        with open(unfinished, "w") as file:
            file.write(str(pid))
        os.rename(unfinished, path)


def _given(spec: Spec, asked: Asked, where: str, console: int, ours: ExitStack) -> dict[Slot, int]:
    """The descriptors that the performer is started with, beside init's end of the handshake."""
    with _reachable(where) as directory:
        waiting = kernel.listen(f"{directory}/start")
    ours.callback(os.close, waiting)
    given = {slots.START: waiting}
    given |= stdio_of(spec["process"], asked, console, ours, spec["linux"].get("uidMappings"))
    mapped = [mount for mount in spec.get("mounts") or () if mounts.is_mapped(mount)]
    if len(set(map(mounts.users_of, mapped))) > MOST_MAPS:
        raise UsageError(f"mounts[].uidMappings: more than {MOST_MAPS} different ones")
    for mount in mapped:
        if mounts.users_of(mount) not in given:
            from pycontainer.oci.users import user_namespace  # +1 ms, and a process

            uids = mount.get("uidMappings") or spec["linux"].get("uidMappings") or []
            gids = mount.get("gidMappings") or spec["linux"].get("gidMappings") or []
            given[mounts.users_of(mount)] = ours.enter_context(user_namespace(uids, gids))
    return given


@contextmanager
def _reachable(directory: str) -> Iterator[str]:
    """A short name of the directory: the address of a socket has 108 bytes (unix(7))."""
    fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def stdio_of(
    process: Process,
    asked: Asked,
    console: int,
    ours: ExitStack,
    users: list[IDMapping] | None = None,
) -> dict[Slot, int]:
    """The caller's streams as they are, or the socket for the terminal; and the descriptors to be kept."""
    given = {}
    if process.get("terminal"):
        if console < 0:
            try:
                with _reachable(os.path.dirname(asked.console_socket) or ".") as directory:
                    console = kernel.connect(f"{directory}/{os.path.basename(asked.console_socket)}")
            except OSError as error:
                raise UsageError(f"--console-socket {asked.console_socket}: {error.strerror}") from None
            ours.callback(os.close, console)
        given[slots.CONSOLE] = console
    else:
        uid = process["user"].get("uid", 0)
        for number, slot in enumerate((slots.STDIN, slots.STDOUT, slots.STDERR)):
            given[slot] = number
            # The program may open its streams again by name. A device is left alone: it is everybody's.
            if not stat.S_ISCHR(os.fstat(number).st_mode) and (uid or users):
                with suppress(OSError):
                    os.fchown(number, terminal.host_id(uid, users) if users else uid, -1)
    if asked.preserve_fds > MOST_KEPT:
        raise UsageError(f"--preserve-fds {asked.preserve_fds}: at most {MOST_KEPT}")
    for number in range(FIRST_KEPT, FIRST_KEPT + asked.preserve_fds):
        if not _is_the_caller_s(number):
            raise UsageError(f"--preserve-fds {asked.preserve_fds}: descriptor {number} is not open")
        given[program.preserved(number)] = number
    return given


def _is_the_caller_s(number: int) -> bool:
    """Whether this descriptor has come to us by execve: those that we have opened would be closed by one."""
    with suppress(OSError):
        return os.get_inheritable(number)
    return False


class _Starting:
    """The container while it is being created."""

    def __init__(self, performance: Performance, outer: int) -> None:
        self.performance, self.outer, self.init = performance, outer, 0
        self.hooked: State | None = None  # its state when the first hook was called
        self.shares: tuple[str, ...] = ()  # what was made for it in resctrl

    def pid(self) -> int:
        """The first process, which waits for us."""
        self.init = self.performance.wait_for(lambda _, call: call.child is not None).value
        return self.init

    def prepare(self, spec: Spec, state: State) -> None:
        """Do what only can be done from outside, when init has come to it."""
        linux = spec["linux"]
        if mounts.has_users(spec):
            from pycontainer.oci.users import write_maps

            write_maps(state.pid, linux.get("uidMappings") or [], linux.get("gidMappings") or [])
        if linux.get("netDevices") or linux.get("intelRdt"):
            from pycontainer.oci import outside

            self.shares = outside.prepare(linux, state)
        os.write(self.outer, b"g")
        if spec.get("hooks"):
            self.performance.wait_for(_says(b"h"))
            self._hooks(spec, state)
            os.write(self.outer, b"g")

    def wait(self) -> None:
        """Return when all is made, and only the program is missing. Raises PlanFailed."""
        self.performance.wait_for(_says(b"r"))

    def _hooks(self, spec: Spec, state: State) -> None:
        from pycontainer.oci import hooks, inside

        self.hooked, told = state, jsontext.dump(shown(state, "creating"))
        for kind in ("prestart", "createRuntime"):
            hooks.call(hooks.of(spec, kind), kind, state, "creating")
        for hook in hooks.of(spec, "createContainer"):
            inside.call_hook("createContainer", hook, spec, state, told, confined=False)

    def give_up(self) -> None:
        """End what has been started."""
        if not self.init:
            self.performance.kill()
            with suppress(PlanFailed, StopIteration):
                self.pid()
        if self.init:
            with suppress(ProcessLookupError):
                os.kill(self.init, SIGKILL)  # our own child, not waited for: the number is its
            with suppress(ChildProcessError):
                os.waitpid(self.init, 0)
        if self.shares:
            from pycontainer.oci import outside

            outside.undo(self.shares)

    def undo_hooks(self, spec: Spec) -> None:
        """What hooks have done is undone by others, also where it came to nothing (runtime.md, Lifecycle)."""
        if self.hooked:
            from pycontainer.oci import hooks

            hooks.call_all(hooks.of(spec, "poststop"), "poststop", self.hooked, "stopped")


def _says(word: bytes) -> Callable[[Step, Call], bool]:
    return lambda _, call: call.report and call.name == "write" and call.args[1] == word


def _check_program(process: Process, pid: int) -> None:
    """Look for the program where execve will, inside, so that an engine hears of a mistake at create.

    Raises RuntimeFailed.
    """
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    except PermissionError:
        return  # only root may look into a process that hides; others hear of it at the start
    try:
        _find_program(process, root)
    finally:
        os.close(root)


def _is_seen_from_outside(spec: Spec, rootfs: str) -> bool:
    """Whether the program is in the root directory, with no mount in the way: then it will be there inside."""
    try:
        root = os.open(rootfs, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False  # as the performer will find, too
    try:
        name, real = _find_program(spec["process"], root)
    except RuntimeFailed:
        return False
    finally:
        os.close(root)
    covered = tuple(mount["destination"].rstrip("/") + "/" for mount in spec.get("mounts") or ())
    return not name.startswith(covered) and not real.removeprefix(rootfs).startswith(covered)


def _find_program(process: Process, root: int) -> tuple[str, str]:
    """What execve will be asked for below ``root``, and where that is, as we see it.

    Raises RuntimeFailed, in the words that engines look for.
    """
    args = process.get("args") or []
    if not args:
        raise UsageError("process.args must not be empty")
    found = errno.ENOENT
    for path in program.candidates(args[0], tuple(process.get("env") or ())):
        full = path if path.startswith("/") else f"{process.get('cwd', '/')}/{path}"
        try:
            fd = kernel.openat2(root, full, os.O_PATH, 0, kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            found = (error.errno or found) if "/" in args[0] else found
            continue
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISREG(mode) and mode & 0o111:
                return full, os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        found = errno.EACCES
    raise RuntimeFailed(exec_failure(args[0], found))


def _later_calls(plan: tuple[Step, ...]) -> dict[str, str]:
    """What may still fail when the container has been started, for whoever starts it."""
    later: dict[str, str] = {}
    waited = False
    for index, (step, call) in enumerate((each, call) for each in plan for call in each.calls):
        if waited:
            later[str(index)] = LISTENS if call.out is LISTENER else f"{titled(step, call)}: {_named(call)}"
        waited = waited or call.name == "accept4"
    return later


LISTENS = "seccomp listener"


def _named(call: Call) -> str:
    tolerated = ",".join(map(str, call.tolerate))
    return f"{call.name}:{tolerated}" if tolerated else call.name


# --- start ------------------------------------------------------------------------------------------------------------


def start(home: Home, name: str) -> State:
    """Let the program begin. Raises PycError when it can't."""
    state = home.read(name)
    status = home.status(state)
    if status != "created":
        words = {"stopped": "cannot start a container that has stopped"}
        raise Conflict(words.get(status, f"cannot start an already {status} container"))
    begin(home, state, home.spec(name))
    return state


def begin(home: Home, state: State, spec: Spec, starter: int = -1) -> None:
    """The same for one that is known to be created, with what :func:`create` has returned."""
    if not spec.get("hooks"):
        _go_on(home, spec, state, starter)
        return
    from pycontainer.oci import control, hooks, inside

    try:
        told = jsontext.dump(shown(state, "created"))
        for hook in hooks.of(spec, "startContainer"):
            inside.call_hook("startContainer", hook, spec, state, told, confined=True)
        _go_on(home, spec, state)
        hooks.call(hooks.of(spec, "poststart"), "poststart", state, "running")
    except hooks.HookFailed:  # the container is stopped, and waits to be deleted (runtime.md, Lifecycle)
        control.kill(home, state.id, SIGKILL, everybody=True)
        raise


def _go_on(home: Home, spec: Spec, state: State, starter: int = -1) -> None:
    """Tell the first process to, unless it has been told, and see it become the program."""
    if starter < 0:
        starter = _knock(home.directory(state.id))
    try:
        _until_execve(starter, spec, state)
    finally:
        os.close(starter)


def _knock(where: str) -> int:
    """Tell the first process of the container in this directory to go on; the socket at which it says how it went."""
    with _reachable(where) as directory:
        starter = kernel.connect(f"{directory}/start")
    os.unlink(f"{where}/start")
    return starter


def _until_execve(starter: int, spec: Spec, state: State) -> None:
    """Read what the first process says of its last steps; at a successful execve the socket closes."""
    execs: list[int] = []
    while data := os.read(starter, RECORD_BYTES * 128):
        for record in outcomes(data):
            what = state.calls.get(str(record.index), "")
            if what == LISTENS and not record.error:
                from pycontainer.oci.listener import hand_over

                hand_over(spec, state, state.pid, record.value)
                os.write(starter, b"t")
                continue
            title, _, call = what.rpartition(": ")
            call_name, _, tolerated = call.partition(":")
            if call_name == "execve" and record.error:
                execs.append(record.error)
            if record.error > 0 and str(record.error) not in tolerated.split(","):
                if call_name == "execve":
                    number = errno.EACCES if errno.EACCES in execs else record.error
                    name, found = (spec["process"].get("args") or [""])[0], os.geteuid() == 0  # _check_program
                    raise RuntimeFailed(exec_failure(name, number, found=found))
                raise RuntimeFailed(sentence(title, call_name, record.error))
