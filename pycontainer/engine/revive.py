"""Containers that exist before they run: ``create`` makes one, ``start`` begins its life, now or once more."""

from __future__ import annotations

import os
import time

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events, life, policy, removal, users
from pycontainer.engine.attachment import Signals, require_terminal
from pycontainer.engine.bundle import Bundle
from pycontainer.engine.create import create, describe, make_sources, write_files
from pycontainer.engine.foreground import View, live
from pycontainer.engine.identity import hostname_of
from pycontainer.engine.image.obtain import obtained
from pycontainer.engine.options import RunOptions
from pycontainer.engine.privilege import require_root
from pycontainer.engine.recall import recalled
from pycontainer.engine.repair import repair
from pycontainer.engine.start import Stdio
from pycontainer.errors import Conflict, PycError
from pycontainer.image.store import Store
from pycontainer.light import contextmanager, suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycontainer.engine.containers import Container
    from pycontainer.engine.image.pull import Event
    from pycontainer.engine.options import Roots

PATIENCE = 10.0  # seconds


def make(roots: Roots, options: RunOptions, progress: Callable[[Event], None] | None = None) -> Container:
    """Make a container that does not run yet. Raises PycError, with nothing left behind."""
    require_root()
    repair(roots)
    with obtained(roots, options, progress) as image:
        bundle = create(roots, image, options, starts=False)
    container = bundle.container
    containers.write_spec(roots, container.id, bundle.spec)
    hit("make.described")
    life.keep(roots, container.id)
    hit("make.kept")
    removal.forget_live(roots, container.id)
    hit("make.forgotten")
    os.close(bundle.lock)
    events.write(roots, "create", container)
    return container


def begin(
    roots: Roots,
    name: str,
    *,
    attach: bool = False,
    stdin: bool = False,
    sig_proxy: bool = True,
    keys: bytes = b"",
    signals: Signals | None = None,
) -> int:
    """Start a container that does not run; with ``attach`` stay with it and return its exit code, else 0."""
    require_root()
    repair(roots)
    if attach and stdin:
        options = containers.find(roots, name).options
        require_terminal(tty=options.get("tty", False), stdin=options.get("interactive", False))
    container, lock = _taken(roots, name)
    if lock is None:
        if not attach:
            return 0
        from pycontainer.engine.attach import attach as stay

        return stay(roots, container, stdin=stdin, sig_proxy=sig_proxy, keys=keys)
    with signals or Signals() as signals, its_error_kept(roots, container):
        life.ask_to_stop(roots, container.id, stop=False)
        policy.reset(roots, container.id)
        bundle = revived(roots, container, lock, once=attach and stdin)
        tty, interactive = container.options.get("tty", False), container.options.get("interactive", False)
        view = View(Stdio(interactive), tty, not attach, sig_proxy, keys, reads=stdin)
        return kept_if_it_fails(roots, bundle, view, signals)


def _taken(roots: Roots, name: str) -> tuple[Container, int | None]:
    """The container and its lock; None if it runs. What follows its last end may be still at it, or another start."""
    deadline = time.monotonic() + PATIENCE
    while True:
        container = containers.find(roots, name)
        if container.state == "paused":
            raise Conflict(f"container {container.name} is paused", hint=f"pyc unpause {container.name}")
        if container.state in ("running", "restarting"):
            return container, None
        try:
            return container, life.take_lock(roots, container.id, patience=0.05)
        except Conflict:
            if time.monotonic() > deadline:
                raise


@contextmanager
def its_error_kept(roots: Roots, container: Container) -> Iterator[None]:
    """Keep why it could not be started, for ``inspect``."""
    try:
        yield
    except PycError as error:
        with suppress(OSError):  # on a full disk the error itself is more important
            life.record_error(roots, container.id, error.message, error.exit_code)
        raise


def kept_if_it_fails(roots: Roots, bundle: Bundle, view: View, signals: Signals) -> int:
    """Start it; what failed to start is what it was before."""
    record = roots.container(bundle.container.id) + "/life"
    before = _read(record)
    try:
        return live(roots, bundle, view, signals)
    except BaseException:
        if not life.is_alive(roots, bundle.container.id) and not life.has_run(roots, bundle.container.id):
            with suppress(OSError):  # where the disk is full, or nothing is to be removed
                if before:
                    with open(record, "wb") as file:
                        file.write(before)
                else:
                    os.unlink(record)
        raise


def revived(roots: Roots, container: Container, lock: int, *, once: bool = False) -> Bundle:
    """The bundle of a container that exists, made anew from what it was made with. Takes over the lock."""
    try:
        hit("again.locked")
        life.keep(roots, container.id)
        removal.remove_expected(roots, container.id)
        for left in ("pid", "paused", "unhealthy", life.HALTED):
            life.mark(roots, container.id, left, present=False)
        life.forget(roots, container.id)
        hit("again.cleared")
        options = RunOptions(container.image, recalled(container.options), container.name, rm=container.rm)
        hostname = hostname_of(roots, container.id, options)
        make_sources(options.container)
        bundle = describe(
            roots,
            Store(roots.root).find(container.image_id),
            options,
            container.id,
            container.name,
            file_binds=write_files(roots, container.id, hostname, options.container),
            users_of=lambda asked: users.take(roots, container.id, asked),
        )
    except BaseException:
        removal.forget_live(roots, container.id)
        os.close(lock)
        raise
    asked = container.options | {"stdin_once": once}
    return bundle._replace(container=container._replace(options=asked, cgroup=bundle.container.cgroup), lock=lock)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
