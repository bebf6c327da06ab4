"""Containers on disk: what each one is, what state it is in, and how its remains are cleared away.

A container is a directory, ``ROOT/containers/<id>``:

    container.json   what was asked for (:class:`Container`)
    config.json      the runtime-spec
    upper, work      what it has written, and overlay's scratch directory
    life             when it began, written by us; then how it ended, written by the monitor

``ROOT/names/<name>`` is a symbolic link to the directory, so that two containers can't have one name.

While it lives, ``RUNROOT/containers/<id>`` holds the files that are bound into it (hosts, ...) and ``lock``, which the
monitor keeps locked: the kernel lets go of it however the monitor ends. So the lock, and no number in a file, says
whether a container runs.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pycontainer.core.directories import make_private
from pycontainer.engine import events
from pycontainer.engine.options import Roots
from pycontainer.errors import Conflict, NotFound, StoreError
from pycontainer.image.tree import remove_tree

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec


class Container(NamedTuple):
    """One container: what it is, and the state it was in when it was looked at.

    Attributes:
        id: 64 hex digits.
        name: unique on this root.
        image, image_id: the name it was asked for by, and the digest of the image's config.
        command: the program and its arguments.
        created, started, finished: seconds since the epoch, 0.0 where it has not happened.
        state: ``created``, ``running``, ``paused``, ``restarting``, ``exited``, or ``dead``: it ran and nobody saw how
            it ended.
        exit_code: as a shell gives it; 128 + n after signal n.
        oom_killed: the kernel killed one of its processes for memory.
        pid: of its first process in this pid namespace, while it runs.
        labels, mounts, ports: as docker shows them.
        rm: it is removed when it ends.
        cgroup: where its cgroup is, or will be.
        options: the options it was made with, for ``inspect``.
    """

    id: str
    name: str
    image: str
    image_id: str
    command: tuple[str, ...]
    created: float
    labels: dict[str, str] = {}  # noqa: RUF012 - never changed
    mounts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    rm: bool = False
    cgroup: str = ""
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    state: str = "created"
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    oom_killed: bool = False
    pid: int = 0


_STORED = Container._fields[: Container._fields.index("state")]


# --- where things are -----------------------------------------------------------------------------------------------


def directory(roots: Roots, container_id: str) -> str:
    """The container's directory, which is its OCI bundle."""
    return f"{roots.root}/containers/{container_id}"


def live_directory(roots: Roots, container_id: str) -> str:
    """Where its live state is."""
    return f"{roots.runroot}/containers/{container_id}"


# --- making ---------------------------------------------------------------------------------------------------------


def reserve(roots: Roots, container_id: str, name: str) -> None:
    """Make the container's directory and take its name, or leave nothing behind.

    Raises:
        Conflict: another container has the name.
    """
    for path in (roots.root, roots.root + "/containers", roots.root + "/names"):
        make_private(path)
    os.mkdir(directory(roots, container_id), 0o700)
    try:
        take_name(roots, container_id, name)
    except Conflict:
        os.rmdir(directory(roots, container_id))
        raise


def take_name(roots: Roots, container_id: str, name: str) -> None:
    """Make the link that says whose name it is. Raises Conflict if it is another container's."""
    link, target = f"{roots.root}/names/{name}", f"../containers/{container_id}"
    try:
        os.symlink(target, link)
    except FileExistsError:
        owner = os.readlink(link).rpartition("/")[2]
        if os.path.isdir(directory(roots, owner)):
            raise Conflict(
                f"the name {name} is already in use by container {owner[:12]}",
                hint=f"remove it with 'pyc rm {name}', or choose another name",
            ) from None
        os.symlink(target, f"{link}.{container_id}")  # its owner is gone: the link is a killed process's remains
        os.rename(f"{link}.{container_id}", link)


def write(roots: Roots, container: Container) -> None:
    """Record what the container is."""
    record = {name: getattr(container, name) for name in _STORED}
    with open(directory(roots, container.id) + "/container.json", "w") as file:
        file.write(json.dumps(record))


def write_spec(roots: Roots, container_id: str, spec: Spec) -> None:
    """Write the runtime-spec, which makes the directory an OCI bundle."""
    with open(directory(roots, container_id) + "/config.json", "w") as file:
        file.write(json.dumps(spec))


def take_lock(roots: Roots, container_id: str, *, patience: float = 1) -> int:
    """The descriptor of the locked file that says the container lives; the monitor inherits it.

    It is taken before anything else is made, so that whatever is found without a lock is somebody's remains.
    Raises Conflict if the container is alive already.
    """
    deadline = time.monotonic() + patience
    while True:
        for path in (roots.runroot, roots.runroot + "/containers", live_directory(roots, container_id)):
            make_private(path)
        with contextlib.suppress(FileNotFoundError):  # repaired away by another process, which took it for remains
            if (lock := _try_lock(roots, container_id, os.O_CREAT)) is not None:
                return lock
        if time.monotonic() > deadline:
            raise Conflict(f"container {container_id[:12]} is running already")
        time.sleep(0.001)  # a moment of somebody's who looks, or repairs


def _try_lock(roots: Roots, container_id: str, flags: int = 0) -> int | None:
    """The locked file, or None if somebody else has it, or it is not the container's any more."""
    path = live_directory(roots, container_id) + "/lock"
    lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def open_life(roots: Roots, container_id: str) -> int:
    """Begin the record of a life: a line with the time. The monitor adds the wait status and what memory it lacked."""
    path = directory(roots, container_id) + "/life"
    life = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(life, f"{time.time()}\n".encode())
    return life


def keep(roots: Roots, container_id: str) -> None:
    """Say that the container is to be kept, though it may never run: somebody has made it on purpose."""
    with open(directory(roots, container_id) + "/kept", "w"):
        pass


def is_kept(roots: Roots, container_id: str) -> bool:
    """Whether :func:`keep` said so."""
    return os.path.exists(directory(roots, container_id) + "/kept")


def ask_to_stop(roots: Roots, container_id: str, *, stop: bool = True) -> None:
    """Record that somebody wants it not to run, so that no policy starts it again; or that it is to run."""
    path = directory(roots, container_id) + "/stopped"
    with contextlib.suppress(FileNotFoundError):
        if stop:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        else:
            os.unlink(path)


def is_asked_to_stop(roots: Roots, container_id: str) -> bool:
    """Whether that is so."""
    return os.path.exists(directory(roots, container_id) + "/stopped")


def await_pid(roots: Roots, container_id: str) -> int:
    """The pid of the first process, which the monitor writes a moment after the program runs; 0 if it has ended."""
    while True:
        if pid := _pid(roots, container_id):
            return pid
        if has_run(roots, container_id) or not is_alive(roots, container_id):
            return 0
        time.sleep(0.0002)


def _pid(roots: Roots, container_id: str) -> int:
    try:
        with open(live_directory(roots, container_id) + "/pid") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def mark(roots: Roots, container_id: str, what: str, *, present: bool = True) -> None:
    """Make or remove an empty file of that name among the live state: ``paused``, ``restarting``, ``stopping``."""
    path = f"{live_directory(roots, container_id)}/{what}"
    with contextlib.suppress(FileNotFoundError):
        if present:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        else:
            os.unlink(path)


def is_marked(roots: Roots, container_id: str, what: str) -> bool:
    """Whether that file is there."""
    return os.path.exists(f"{live_directory(roots, container_id)}/{what}")


# --- looking --------------------------------------------------------------------------------------------------------


def listing(roots: Roots) -> list[Container]:
    """Every container, the newest first."""
    found = []
    for container_id in _entries(roots.root + "/containers"):
        with contextlib.suppress(NotFound):
            found.append(_load(roots, container_id))
    return sorted(found, key=lambda container: container.created, reverse=True)


def find(roots: Roots, name_or_id: str) -> Container:
    """The container of that name, ID or unambiguous beginning of an ID.

    Raises NotFound, or Conflict if several IDs begin so.
    """
    with contextlib.suppress(OSError):
        return _load(roots, os.readlink(f"{roots.root}/names/{name_or_id.lstrip('/')}").rpartition("/")[2])
    matches = [entry for entry in _entries(roots.root + "/containers") if name_or_id and entry.startswith(name_or_id)]
    if len(matches) > 1:
        raise Conflict(f"{name_or_id} is the beginning of {len(matches)} container IDs", hint="give more of it")
    if not matches:
        raise NotFound(f"no such container: {name_or_id}", hint="'pyc ps -a' lists them all")
    return _load(roots, matches[0])


def _load(roots: Roots, container_id: str) -> Container:
    try:
        with open(directory(roots, container_id) + "/container.json") as file:
            record = json.load(file)
        container = Container(**{**record, "command": tuple(record["command"])})
    except FileNotFoundError:
        raise NotFound(f"no such container: {container_id[:12]}") from None
    except (ValueError, TypeError, KeyError):
        raise StoreError(
            f"container {container_id[:12]}: its container.json is damaged", hint=f"'pyc rm -f {container_id[:12]}'"
        ) from None
    return with_state(roots, container)


def with_state(roots: Roots, container: Container) -> Container:
    """Look at the lock and at the record of its life."""
    life = _life(roots, container.id)
    if life is None:
        return container
    alive = is_alive(roots, container.id)
    if life.status is None and alive:
        pid = _pid(roots, container.id)
        state = "created" if not pid else "paused" if is_marked(roots, container.id, "paused") else "running"
        return container._replace(state=state, started=life.started, pid=pid)
    if life.status is None:
        return container._replace(state="dead", exit_code=255, started=life.started, finished=life.changed)
    from pycontainer.cgroups import oom_killed

    return container._replace(
        state="restarting" if alive and is_marked(roots, container.id, "restarting") else "exited",
        exit_code=exit_code(life.status),
        oom_killed=oom_killed(life.counters),
        started=life.started,
        finished=life.changed,
    )


class _Life(NamedTuple):
    started: float
    changed: float
    status: int | None
    counters: str


def _life(roots: Roots, container_id: str) -> _Life | None:
    """The record of its life; None before that has begun, or where the record is damaged."""
    try:
        with open(directory(roots, container_id) + "/life") as file:
            changed, text = os.fstat(file.fileno()).st_mtime, file.read(1 << 16)
        started, _, rest = text.partition("\n")
        status, ended, counters = rest.partition("\n")
        return _Life(float(started), changed, int(status) if ended else None, counters)
    except (FileNotFoundError, ValueError):
        return None


def is_alive(roots: Roots, container_id: str) -> bool:
    """Whether its monitor holds the lock."""
    try:
        lock = os.open(live_directory(roots, container_id) + "/lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def exit_code(status: int) -> int:
    """A wait status as a shell says it (wait(2))."""
    return 128 + (status & 0x7F) if status & 0x7F else status >> 8 & 0xFF


def _entries(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


# --- unmaking -------------------------------------------------------------------------------------------------------


def remove(roots: Roots, name_or_id: str, *, force: bool = False, volumes: bool = False) -> Container:
    """Remove a container; with ``force`` kill it first, with ``volumes`` take along those without a name.

    Raises NotFound, or Conflict if it runs.
    """
    container = find(roots, name_or_id)
    if container.state in ("running", "paused", "restarting"):
        if not force:
            raise Conflict(
                f"container {container.name} is {container.state}",
                hint="stop it before, or 'pyc rm -f' to kill and remove it",
            )
        from pycontainer.engine.stop import stop  # the others need no signals

        stop(roots, container.id, sign="SIGKILL")
    try:
        _remove(roots, container, keep_volumes=not volumes and not container.rm)
    except OSError as error:
        from pycontainer.image import staging

        if not staging.is_full(error) or not staging.drop_ballast(roots.root):
            raise
        _remove(roots, container, keep_volumes=not volumes and not container.rm)
    empty_trash(roots)
    events.write(roots, "destroy", container)
    return container


def _remove(roots: Roots, container: Container, *, keep_volumes: bool) -> None:
    ask_to_stop(roots, container.id)
    lock = take_lock(roots, container.id, patience=10)
    try:
        clear_remains(container)
        discard(roots, container.id, container.name, keep_volumes=keep_volumes)
    finally:
        os.close(lock)


def discard(roots: Roots, container_id: str, name: str = "", *, keep_volumes: bool = False) -> None:
    """Delete what belongs to a container that does not run. It is no error if parts of it are missing.

    Without a ``name``, of a container that was killed before it was recorded, its name is looked for. Its volumes
    without a name go too, unless ``keep_volumes``.
    """
    for link in [name] if name else _entries(roots.root + "/names"):
        with contextlib.suppress(OSError):
            if os.readlink(f"{roots.root}/names/{link}").endswith("/" + container_id):
                os.unlink(f"{roots.root}/names/{link}")
    trash, where = roots.root + "/trash", directory(roots, container_id)
    wrote = bool(_entries(where + "/upper"))
    try:
        make_private(trash)
        os.rename(where, f"{trash}/{container_id}")
    except FileNotFoundError:
        pass  # somebody else is at it
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        trash, wrote = roots.root + "/containers", True  # not even room for a name in another directory
    if wrote:
        _delete(trash, container_id)
    if not keep_volumes and os.path.isdir(roots.root + "/volumes"):
        from pycontainer.engine import volumes

        volumes.drop(roots, container_id)
    forget_live(roots, container_id)


def empty_trash(roots: Roots) -> None:
    """Delete what discarded containers have left.

    One that wrote nothing leaves some empty directories. Deleting them takes a millisecond, so :func:`discard` leaves
    that to the next start, which does it while it waits for the kernel.
    """
    trash = roots.root + "/trash"
    for container_id in _entries(trash):
        with contextlib.suppress(OSError):  # somebody else may be at it
            _delete(trash, container_id)


def _delete(trash: str, container_id: str) -> None:
    parent = os.open(trash, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            remove_tree(parent, container_id.encode())
    finally:
        os.close(parent)


def forget_live(roots: Roots, container_id: str) -> None:
    """Delete the live state of a container that has ended, and give back what it had of networks."""
    live = live_directory(roots, container_id)
    if os.path.exists(live + "/network.json"):
        from pycontainer.engine import networks

        networks.release(roots, container_id)
    for name in _entries(live):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{live}/{name}")
    with contextlib.suppress(OSError):
        os.rmdir(live)


def has_run(roots: Roots, container_id: str) -> bool:
    """Whether the monitor recorded an end."""
    life = _life(roots, container_id)
    return life is not None and life.status is not None


def repair(roots: Roots) -> None:
    """Clear away what killed processes of ours have left: live state whose lock nobody holds.

    The lock is held meanwhile, so that nobody takes what is just being made for remains.
    """
    for container_id in _entries(roots.runroot + "/containers"):
        try:
            lock = _try_lock(roots, container_id)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                os.rmdir(live_directory(roots, container_id))  # its maker was killed, or makes the lock right now
            continue
        if lock is not None:
            try:
                _repair(roots, container_id)
            finally:
                os.close(lock)


def _repair(roots: Roots, container_id: str) -> None:
    try:
        container = _load(roots, container_id)
    except (NotFound, StoreError):
        discard(roots, container_id)  # its maker was killed
        return
    clear_remains(container)
    ran = has_run(roots, container_id) or _pid(roots, container_id) or is_kept(roots, container_id)
    if container.rm or not ran:
        discard(roots, container_id, container.name)
    else:
        forget_live(roots, container_id)


def clear_remains(container: Container) -> None:
    """Remove the cgroup of a container that has no monitor any more, and whatever still runs in it."""
    from pycontainer import cgroups

    cgroups.detect().remove_now(container.cgroup)


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
