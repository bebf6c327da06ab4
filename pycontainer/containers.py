"""Containers from Python: what ``pyc run``, ``exec``, ``stop`` and the others do, without a process of ``pyc``.

>>> import pycontainer
>>> pycontainer.run(NAME, ["echo", "hello"]).stdout
b'hello\\n'
>>> with pycontainer.run(NAME, detach=True) as container:
...     container.exec(["sh", "-c", "echo $0; exit 3"]).code
3

Every function works on the containers of this user, or on those of ``roots``, and may be called from any thread. None
of them takes signals over. What goes wrong is an error of :mod:`pycontainer.errors`, whose message is one line.
Importing this module costs next to nothing.
"""

from __future__ import annotations

from typing import overload

from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Literal

    from pycontainer.engine.containers import Container as Record_
    from pycontainer.engine.options import Roots, RunOptions
    from pycontainer.engine.stats import Sample
    from pycontainer.image.events import Event
    from pycontainer.oci.options import ContainerOptions

    Command = str | Sequence[str]


__all__ = ["Container", "Result", "create", "get", "list", "run"]


class Result(Record):
    """How a program ended, and what it wrote.

    Attributes:
        code: its exit code; 128 + n after signal n.
        stdout, stderr: what it wrote.
        timed_out: it took longer than ``timeout``, and was killed.
    """

    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False

    @property
    def text(self) -> str:
        """Its stdout as text."""
        return self.stdout.decode(errors="replace")

    def check(self) -> Result:
        """This result. Raises CommandFailed if the exit code is not 0."""
        if self.code == 0:
            return self
        from pycontainer.errors import CommandFailed

        lines = self.stderr.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        what = "the command took too long" if self.timed_out else f"the command exited with {self.code}"
        raise CommandFailed(what + (f": {last}" if last else ""), self.code, self.stderr)


# --- making containers ------------------------------------------------------------------------------------------------


@overload
def run(image: str, command: Command = (), *, detach: Literal[True], **options: Any) -> Container: ...
@overload
def run(image: str, command: Command = (), *, detach: Literal[False] = False, **options: Any) -> Result: ...
def run(
    image: str,
    command: Command = (),
    *,
    detach: bool = False,
    input: bytes | str = b"",
    timeout: float | None = None,
    progress: Callable[[Event], None] | None = None,
    roots: Roots | None = None,
    **options: Any,
) -> Result | Container:
    """Run a program in a new container: to its end, or with ``detach`` just begin.

    >>> run(NAME, ["cat"], input="typed").text
    'typed'
    >>> run(NAME, "sleep 100", timeout=0.2).timed_out
    True
    >>> run(NAME, ["sh", "-c", "id -u; pwd"], user="7", workdir="/tmp", memory="64m", network="none").text
    '7\\n/tmp\\n'

    Args:
        image: a name, tag, digest or ID; pulled if it is not here.
        command: instead of the image's; a string is split into words as a shell does it, without a shell.
        detach: return a :class:`Container` that runs, instead of waiting for its end. Without a command its stdin
            stays open, so that an image's shell does not end at once.
        input: what it reads from its stdin.
        timeout: seconds until it is killed.
        progress: is called with what a pull does.
        roots: where the state is.
        options: see :func:`create`. Without ``detach`` the container is removed when it has ended.

    Raises PycError, with nothing left behind: NotFound, CommandNotFound, Conflict, ...
    """
    where = _roots(roots)
    if detach:
        container = create(image, command, progress=progress, roots=where, **{"interactive": not command, **options})
        try:
            return container.start()
        except BaseException:
            container.remove(force=True)
            raise
    asked = _run_options(image, command, {"rm": True, "interactive": bool(input), **options})
    from pycontainer.engine.capture import run_captured

    parts = _Parts()
    stdin = input.encode() if isinstance(input, str) else input
    ended = run_captured(where, asked, parts.add, stdin=stdin, timeout=timeout, progress=progress)
    return parts.result(ended.code, timed_out=ended.late)


def create(
    image: str,
    command: Command = (),
    *,
    progress: Callable[[Event], None] | None = None,
    roots: Roots | None = None,
    **options: Any,
) -> Container:
    """Make a container that does not run yet.

    >>> container = create(NAME, ["true"], name="made", env={"A": "1"}, volumes={"/tmp": "/host:ro"})
    >>> container.status, container.start().wait()
    ('created', 0)
    >>> container.remove()

    Args:
        image, command, progress, roots: as of :func:`run`.
        options: ``name``, ``rm``, ``pull`` (missing, always, never) and ``platform``; or what it is made of:

            - ``env`` (a mapping or NAME=value), ``labels`` (a mapping), ``user``, ``workdir``, ``hostname``, ``tty``;
            - ``volumes`` (a mapping from a source to a target, or what ``-v`` takes), ``mounts`` (``--mount``),
              ``tmpfs``;
            - ``network`` (a name, ``none``, ``host``, ``container:X``), ``publish`` (what ``-p`` takes);
            - ``memory`` (bytes, or "64m"), ``cpus`` (1.5), ``pids_limit``;
            - ``cap_add``, ``cap_drop``, ``read_only``, ``privileged``; and every other field of
              :class:`pycontainer.oci.options.ContainerOptions`, in its own type.

    Raises PycError; TypeError for an option that there is not.
    """
    from pycontainer.engine.again import make

    where = _roots(roots)
    made = make(where, _run_options(image, command, {"detach": True, **options}), progress)
    return Container(made.id, made.name, where)


def get(name_or_id: str, *, roots: Roots | None = None) -> Container:
    """The container of that name, ID, or beginning of an ID.

    >>> get("nobody")
    Traceback (most recent call last):
    pycontainer.errors.NotFound: no such container: nobody

    Raises NotFound, or Conflict if several IDs begin so.
    """
    from pycontainer.engine import containers

    where = _roots(roots)
    found = containers.find(where, name_or_id)
    return Container(found.id, found.name, where)


def list(*, all: bool = False, roots: Roots | None = None) -> builtins.list[Container]:
    """The containers that run, or ``all``, the newest first.

    >>> list()
    []
    """
    from pycontainer.engine import containers

    where = _roots(roots)
    found = containers.listing(where)
    return [Container(each.id, each.name, where) for each in found if all or each.state in ("running", "paused")]


# --- one container ----------------------------------------------------------------------------------------------------


class Container:
    """One container. Made by :func:`run`, :func:`create` and :func:`get`; in a ``with`` it is removed at the end.

    Attributes:
        id: 64 hex digits.
        name: what it was called when this object was made.
        roots: where its state is.
    """

    def __init__(self, id: str, name: str, roots: Roots) -> None:
        """Name it; nothing is looked at."""
        self.id, self.name, self.roots = id, name, roots

    def __repr__(self) -> str:
        return f"<Container {self.name} {self.id[:12]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and (self.id, self.roots) == (other.id, other.roots)

    def __hash__(self) -> int:
        return hash(self.id)

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        from pycontainer.errors import NotFound

        with suppress(NotFound):  # it was made to be removed at its end, and has ended
            self.remove(force=True)

    # What it is. Each time it is looked up anew.

    @property
    def status(self) -> str:
        """``created``, ``running``, ``paused``, ``restarting`` or ``exited``."""
        return self._now().state

    @property
    def pid(self) -> int:
        """Of its first process, while it runs; else 0."""
        return self._now().pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None as long as it has not."""
        now = self._now()
        return now.exit_code if now.state == "exited" else None

    def inspect(self) -> dict[str, Any]:
        """All that is known about it, in docker's shape."""
        from pycontainer.engine.inspect import container_document

        return container_document(self.roots, self._now())

    def stats(self) -> Sample:
        """What it uses now; see :class:`pycontainer.engine.stats.Sample`. Of two, ``later.after(earlier)`` has the
        CPU time between them in percent.
        """
        from pycontainer.engine.stats import sample

        return sample(self._now())

    def logs(self, *, tail: int = -1) -> Result:
        """What its first process has written, or the last ``tail`` lines of it; ``code`` is 0."""
        from pycontainer.engine.logs import read

        parts = _Parts()
        for entry in read(self.roots, self._now(), tail=tail):
            parts.add(1 if entry.stream == "stdout" else 2, entry.text)
        return parts.result(0)

    def top(self) -> builtins.list[dict[str, str]]:
        """Its processes, a mapping from the titles of ps(1) each."""
        from pycontainer.engine.top import top

        found = top(self.roots, self.id)
        return [dict(zip(found.titles, row, strict=True)) for row in found.rows]

    # What can be done to it.

    def start(self) -> Container:
        """Begin, or begin once more; nothing happens to one that runs. Raises PycError if it can't begin."""
        from pycontainer.engine.again import begin
        from pycontainer.engine.attach import NoSignals

        begin(self.roots, self.id, signals=NoSignals())
        return self

    def exec(
        self,
        command: Command,
        *,
        input: bytes | str = b"",
        timeout: float | None = None,
        detach: bool = False,
        env: Mapping[str, str] | Sequence[str] = (),
        user: str = "",
        workdir: str = "",
        tty: bool = False,
        privileged: bool = False,
    ) -> Result:
        """Run one more program in it, to its end; with ``detach`` just begin, and its output goes to nobody.

        Args:
            command: its words; a string is split as a shell does it, without a shell.
            input: what it reads from its stdin.
            timeout: seconds until it is killed.
            env: further variables.
            user, workdir: if not the container's own.
            tty: give it a terminal; then all it writes is stdout.
            privileged: give it all capabilities.

        Raises Conflict if the container does not run, CommandNotFound and CommandNotExecutable.
        """
        from pycontainer.engine.capture import capture
        from pycontainer.engine.exec import ExecOptions, launch

        stdin = input.encode() if isinstance(input, str) else input
        options = ExecOptions(_words(command), _env(env), user, workdir, tty, bool(stdin), privileged, detach)
        if detach:
            launch(self.roots, self.id, options)
            return Result(0, b"", b"")
        parts = _Parts()
        ended = capture(self.roots, self.id, options, parts.add, stdin=stdin, timeout=timeout)
        return parts.result(ended.code, timed_out=ended.late)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it does not run, and return its exit code. Raises TimeoutError after ``timeout`` seconds."""
        from pycontainer.engine.visit import wait

        return wait(self.roots, self.id, timeout)

    def stop(self, timeout: float | None = None) -> None:
        """Ask it to end, and kill it if it has not after ``timeout`` seconds: by default its own, or 10."""
        from pycontainer.engine.stop import stop

        stop(self.roots, self.id, timeout=timeout)

    def kill(self, signal: str = "SIGKILL") -> None:
        """Send a signal to its first process: ``TERM``, ``SIGTERM`` or ``15``. Raises Conflict if it does not run."""
        from pycontainer.engine.stop import kill
        from pycontainer.oci.grammar.signals import signal_name

        kill(self.roots, self.id, signal_name(signal))

    def pause(self) -> None:
        """Let all of it stand still."""
        from pycontainer.engine.pause import pause

        pause(self.roots, self.id)

    def unpause(self) -> None:
        """Let it go on."""
        from pycontainer.engine.pause import unpause

        unpause(self.roots, self.id)

    def update(self, **changes: Any) -> None:
        """Change ``memory``, ``cpus``, ``pids_limit``, ``restart`` and the like, now and for its next lives."""
        from pycontainer.engine.update import update

        update(self.roots, self.id, _typed(changes))

    def get_archive(self, path: str) -> Iterator[bytes]:
        """A file or directory of it as the pieces of a tar archive."""
        from pycontainer.engine.copy import get_archive

        return get_archive(self.roots, self.id, path)

    def put_archive(self, path: str, archive: bytes) -> None:
        """Unpack a tar archive into a directory of it."""
        from pycontainer.engine.copy import put_archive

        put_archive(self.roots, self.id, path, iter((archive,)))

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it; with ``force`` kill it first, with ``volumes`` take along those without a name.

        Raises NotFound, or Conflict if it runs.
        """
        from pycontainer.engine.removal import remove

        remove(self.roots, self.id, force=force, volumes=volumes)

    def _now(self) -> Record_:
        from pycontainer.engine import containers

        return containers.find(self.roots, self.id)


# --- from Python's types to ours --------------------------------------------------------------------------------------


class _Parts:
    """What a program writes, piece by piece."""

    def __init__(self) -> None:
        self._pieces: dict[int, builtins.list[bytes]] = {1: [], 2: []}

    def add(self, stream: int, data: bytes) -> None:
        self._pieces[stream].append(data)

    def result(self, code: int, *, timed_out: bool = False) -> Result:
        return Result(code, b"".join(self._pieces[1]), b"".join(self._pieces[2]), timed_out)


def _roots(roots: Roots | None) -> Roots:
    from pycontainer.engine.options import Roots as Default

    return roots or Default.default()


def _words(command: Command) -> tuple[str, ...]:
    if isinstance(command, str):
        import shlex  # +3 ms, for those who want it

        return tuple(shlex.split(command))
    return tuple(command)


def _env(env: Mapping[str, str] | Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in env.items()) if hasattr(env, "items") else tuple(env)


def _run_options(image: str, command: Command, options: dict[str, Any]) -> RunOptions:
    from pycontainer.engine.options import RunOptions
    from pycontainer.errors import UsageError
    from pycontainer.oci.options import check

    around = {name: options.pop(name) for name in ("name", "rm", "pull", "platform", "detach") if name in options}
    container = _container_options(command, options)
    check(container)
    if around.get("rm") and container.restart not in ("", "no"):
        raise UsageError("restart and rm contradict each other: one keeps the container, the other removes it")
    return RunOptions(image, container, **around)


def _container_options(command: Command, options: dict[str, Any]) -> ContainerOptions:
    from pycontainer.oci.options import ContainerOptions

    typed = _typed(options)
    if unknown := typed.keys() - set(ContainerOptions._fields):
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    network = _network(str(typed.pop("network", "")))
    return ContainerOptions(command=_words(command), **{**network, **typed})


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    """The options in the types that :class:`ContainerOptions` has."""
    from pycontainer.oci import security
    from pycontainer.oci.grammar import mounts, numbers, variables

    typed: dict[str, Any] = {
        name: tuple(value) if type(value).__name__ == "list" else value for name, value in options.items()
    }
    if "env" in typed:
        typed["env"] = tuple(variables.environment(entry) for entry in _env(options["env"]))
    mounted = [mounts.volume(text) for text in _pairs(typed.pop("volumes", ()))]
    mounted += [mounts.mount(text) if isinstance(text, str) else text for text in typed.pop("mounts", ())]
    mounted += [mounts.tmpfs(text) for text in typed.pop("tmpfs", ())]
    if mounted:
        typed["mounts"] = tuple(mounted)
    if "publish" in typed:
        typed["publish"] = tuple(one for text in typed["publish"] for one in _publication(text))
    if "cpus" in typed:
        typed["nano_cpus"] = round(float(typed.pop("cpus")) * 1e9)
    for name in ("memory", "memory_reservation", "memory_swap", "shm_size"):
        if isinstance(typed.get(name), str):
            typed[name] = numbers.size_or_unlimited(typed[name])
    for name in ("cap_add", "cap_drop"):
        if name in typed:
            typed[name] = tuple(security.capability(text) for text in typed[name])
    return typed


def _pairs(volumes: Mapping[str, str] | Sequence[str]) -> builtins.list[str]:
    """As ``-v`` takes them."""
    pairs = [f"{source}:{target}" for source, target in volumes.items()] if hasattr(volumes, "items") else [*volumes]
    return pairs


def _publication(text: Any) -> Sequence[Any]:
    from pycontainer.oci.grammar import ports

    return [ports.publish(text)] if isinstance(text, str) else [text]


def _network(name: str) -> dict[str, Any]:
    """The mode, or the network as an endpoint; what the configuration says if nothing is asked for."""
    from pycontainer.oci.grammar.networks import network

    if not name:
        from pycontainer.engine import settings

        name = settings.network("default_network", "bridge")
    endpoint = network(name)
    if endpoint.name in ("none", "host") or endpoint.name.startswith("container:"):
        return {"network": endpoint.name}
    return {"network": "bridge", "endpoints": (endpoint,)}
