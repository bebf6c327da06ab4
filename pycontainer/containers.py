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

from os import fspath
from typing import overload

from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING
from pycontainer.result import Parts, Result

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Any, Literal, Unpack

    from pycontainer.engine.containers import Container as Record_
    from pycontainer.engine.event_reader import Happening
    from pycontainer.engine.logs import Entry
    from pycontainer.engine.options import Roots
    from pycontainer.engine.stats import Sample
    from pycontainer.image.changes import Change
    from pycontainer.image.events import Event
    from pycontainer.image.model import Image
    from pycontainer.options import Command, Limits, Options, Path


__all__ = ["Container", "Result", "create", "events", "get", "list", "run"]


# --- making containers ------------------------------------------------------------------------------------------------


@overload
def run(
    image: str,
    command: Command = (),
    *,
    detach: Literal[True],
    progress: Callable[[Event], None] | None = None,
    roots: Roots | None = None,
    **options: Unpack[Options],
) -> Container: ...
@overload
def run(
    image: str,
    command: Command = (),
    *,
    detach: Literal[False] = False,
    input: bytes | str = b"",
    timeout: float | None = None,
    progress: Callable[[Event], None] | None = None,
    roots: Roots | None = None,
    **options: Unpack[Options],
) -> Result: ...
def run(
    image: str,
    command: Command = (),
    *,
    detach: bool = False,
    input: bytes | str = b"",
    timeout: float | None = None,
    progress: Callable[[Event], None] | None = None,
    roots: Roots | None = None,
    **options: Unpack[Options],
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
    if detach:
        options.setdefault("interactive", not command)
        container = create(image, command, progress=progress, roots=roots, **options)
        try:
            return container.start()
        except BaseException:
            container.remove(force=True)
            raise
    from pycontainer.engine.capture import run_captured
    from pycontainer.options import run_options

    where = _roots(roots)
    asked = run_options(image, command, {"rm": True, "interactive": bool(input), **options}, detach=False)
    parts = Parts()
    stdin = input.encode() if isinstance(input, str) else input
    ended = run_captured(where, asked, parts.add, stdin=stdin, timeout=timeout, progress=progress)
    return parts.result(ended.code, timed_out=ended.late)


def create(
    image: str,
    command: Command = (),
    *,
    progress: Callable[[Event], None] | None = None,
    roots: Roots | None = None,
    **options: Unpack[Options],
) -> Container:
    """Make a container that does not run yet.

    >>> container = create(NAME, ["true"], name="made", env={"A": "1"}, volumes={"/tmp": "/host:ro"})
    >>> container.status, container.start().wait()
    ('created', 0)
    >>> container.remove()

    Args:
        image, command, progress, roots: as of :func:`run`.
        options: those of ``pyc run`` by the names of its flags, in the types that :class:`pycontainer.options.Options`
            lists. What may be given several times is a list, and pairs may be a mapping: ``env``, ``labels``,
            ``volumes`` (from a source to a target), ``publish``. A text is what the flag takes: ``memory="64m"``.

    Raises PycError; TypeError for an option that doesn't exist, or of a type that it doesn't take.
    """
    from pycontainer.engine.revive import make
    from pycontainer.options import run_options

    where = _roots(roots)
    made = make(where, run_options(image, command, options, detach=True), progress)
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
    return [Container(each.id, each.name, where) for each in found if all or each.is_up]


def events(
    *, since: datetime | str = "", until: datetime | str = "", follow: bool = False, roots: Roots | None = None
) -> Iterator[Happening]:
    """What happened to containers, images, networks and volumes since the host booted, the oldest first.

    >>> [event.action for event in events()][:1]
    ['pull']

    Args:
        since, until: as of :meth:`Container.logs`.
        follow: go on with what happens, for ever or ``until`` then.
        roots: where the state is.
    """
    from pycontainer.engine.event_reader import read

    return read(_roots(roots), since=_stamp(since), until=_stamp(until), follow=follow)


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

    def logs(self, *, tail: int = -1, since: datetime | str = "", until: datetime | str = "") -> Result:
        """What its first process has written; ``code`` is 0.

        Args:
            tail: only so many lines at the end.
            since, until: only what was written then; a text is what ``--since`` takes, as ``10m`` for ten minutes ago.
        """
        parts = Parts()
        for entry in self._entries(tail, since, until, follow=False):
            parts.add(1 if entry.stream == "stdout" else 2, entry.text)
        return parts.result(0)

    def follow(self, *, tail: int = -1, since: datetime | str = "") -> Iterator[Entry]:
        """What it writes, piece by piece and until it has ended: when, on which stream, and what.

        >>> with run(NAME, ["echo", "hello"], detach=True) as container:
        ...     [(entry.stream, entry.text) for entry in container.follow()]
        [('stdout', b'hello\\n')]
        """
        return self._entries(tail, since, "", follow=True)

    def _entries(self, tail: int, since: datetime | str, until: datetime | str, *, follow: bool) -> Iterator[Entry]:
        from pycontainer.engine.logs import read

        return read(self.roots, self._now(), tail=tail, since=_stamp(since), until=_stamp(until), follow=follow)

    def top(self) -> builtins.list[dict[str, str]]:
        """Its processes, a mapping from the titles of ps(1) each."""
        from pycontainer.engine.top import top

        found = top(self.roots, self.id)
        return [dict(zip(found.titles, row, strict=True)) for row in found.rows]

    def diff(self) -> builtins.list[Change]:
        """What it has changed since it was made from its image."""
        from pycontainer.engine.diff import diff

        return diff(self.roots, self.id)

    # What can be done to it.

    def start(self) -> Container:
        """Begin, or begin once more; nothing happens to one that runs. Raises PycError if it can't begin."""
        from pycontainer.engine.attachment import NoSignals
        from pycontainer.engine.revive import begin

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
        user: str | int = "",
        workdir: Path = "",
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
        from pycontainer.options import environment, words

        stdin = input.encode() if isinstance(input, str) else input
        options = ExecOptions(
            words(command), environment(env), str(user), fspath(workdir), tty, bool(stdin), privileged, detach
        )
        if detach:
            launch(self.roots, self.id, options)
            return Result(0, b"", b"")
        parts = Parts()
        ended = capture(self.roots, self.id, options, parts.add, stdin=stdin, timeout=timeout)
        return parts.result(ended.code, timed_out=ended.late)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it does not run, and return its exit code. Raises TimeoutError after ``timeout`` seconds."""
        from pycontainer.engine.attach import wait

        return wait(self.roots, self.id, timeout)

    def stop(self, timeout: float | None = None) -> None:
        """Ask it to end, and kill it if it has not after ``timeout`` seconds: by default its own, or 10."""
        from pycontainer.engine.stop import stop

        stop(self.roots, self.id, timeout=timeout)

    def restart(self, timeout: float | None = None) -> Container:
        """Stop it, if it runs, as :meth:`stop` does, and start it. Raises PycError if it can't begin."""
        from pycontainer.engine.attachment import NoSignals
        from pycontainer.engine.restart import restart

        restart(self.roots, self.id, timeout=timeout, signals=NoSignals())
        return self

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send a signal to its first process: ``"TERM"``, ``"SIGTERM"`` or ``15``.

        Raises Conflict if it does not run.
        """
        from pycontainer import options
        from pycontainer.engine.stop import kill

        kill(self.roots, self.id, options.signal(signal))

    def pause(self) -> None:
        """Let all of it stand still."""
        from pycontainer.engine.pause import pause

        pause(self.roots, self.id)

    def unpause(self) -> None:
        """Let it go on."""
        from pycontainer.engine.pause import unpause

        unpause(self.roots, self.id)

    def rename(self, name: str) -> None:
        """Give it another name. Raises Conflict if somebody has that."""
        from pycontainer.engine.rename import rename

        rename(self.roots, self.id, name)
        self.name = name

    def update(self, **changes: Unpack[Limits]) -> None:
        """Change ``memory``, ``cpus``, ``pids_limit``, ``restart`` and the like, now and for its next lives."""
        from pycontainer.engine.update import update
        from pycontainer.options import limits

        update(self.roots, self.id, limits(changes))

    def commit(
        self, name: str = "", *, author: str = "", message: str = "", changes: Sequence[str] = (), pause: bool = True
    ) -> Image:
        """Make an image of it, called ``name``; ``changes`` are lines of a Dockerfile, as ``CMD ["sh"]``."""
        from pycontainer.engine.image.commit import commit
        from pycontainer.image.reference import Reference

        called = Reference.parse(name) if name else None
        return commit(self.roots, self.id, called, author=author, message=message, change=changes, pause=pause)

    def export(self) -> Iterator[bytes]:
        """Its root filesystem, without what is mounted on it, as the pieces of a tar archive."""
        from pycontainer.engine.export import export

        return export(self.roots, self.id)

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
        from pycontainer.engine.rm import remove

        remove(self.roots, self.id, force=force, volumes=volumes)

    def _now(self) -> Record_:
        from pycontainer.engine import containers

        return containers.find(self.roots, self.id)


def _roots(roots: Roots | None) -> Roots:
    from pycontainer.engine.options import Roots as Default

    return Default.of(roots)


def _stamp(moment: datetime | str) -> str:
    from pycontainer.cli.moments import stamp

    return stamp(moment if isinstance(moment, str) else moment.astimezone().isoformat())
