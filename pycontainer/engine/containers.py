"""Containers on disk: what each one is, and what state it is in.

A container is a directory, ``ROOT/containers/<id>``:

    container.json   what was asked for (:class:`Container`)
    config.json      the runtime-spec
    upper, work      what it has written, and overlay's scratch directory
    life             when it began, and how it ended (engine/life.py)
    hosts, ...       what is bound into it (engine/files.py)

``ROOT/names/<name>`` is a symbolic link to the directory, so that two containers can't have one name.
``RUNROOT/containers/<id>`` holds its live state.
"""

from __future__ import annotations

import fcntl
import os
import time

from pycontainer import jsontext
from pycontainer.core.directories import entries, link_new, make_new, replace_file, write_new
from pycontainer.core.failpoint import hit
from pycontainer.engine import life, runroot
from pycontainer.engine.options import Roots
from pycontainer.errors import Conflict, NotFound, StoreError
from pycontainer.light import IdentityCache, contextmanager, suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pycontainer.oci.spec import Spec


UNSEEN = 255
"""The exit code where the monitor was killed or the host went down, as docker has it."""


class Container(Record):
    """One container: what it is, and the state it was in when it was looked at.

    Attributes:
        id: 64 hex digits.
        name: unique on this root.
        image, image_id: the name it was asked for by, and the digest of the image's config.
        command: the program and its arguments.
        created, started, finished: seconds since the epoch, 0.0 where it has not happened.
        state: ``created``, ``running``, ``paused``, ``restarting`` or ``exited``.
        exit_code: as a shell gives it; 128 + n after signal n; UNSEEN if nobody saw how it ended.
        oom_killed: the kernel killed one of its processes for memory.
        pid: of its first process in this pid namespace, while it runs.
        labels, mounts: as docker shows them.
        ports: those that it is said to listen on, as ``80/tcp``.
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

    @property
    def runs(self) -> bool:
        """Whether it has processes, though they may be paused."""
        return self.state in ("running", "paused")

    @property
    def is_up(self) -> bool:
        """Whether it runs, or a policy is about to start it again."""
        return self.runs or self.state == "restarting"


_STORED = Container._fields[: Container._fields.index("state")]


# --- making ---------------------------------------------------------------------------------------------------------


def reserve(roots: Roots, container_id: str, name: str) -> None:
    """Make the container's directory and take its name, or leave nothing behind.

    Raises:
        Conflict: another container has the name.
    """
    make_new(roots.container(container_id))
    hit("create.directory")
    try:
        take_name(roots, container_id, name)
    except Conflict:
        os.rmdir(roots.container(container_id))
        raise


def take_name(roots: Roots, container_id: str, name: str) -> None:
    """Make the link that says whose name it is. Raises Conflict if it is another container's."""
    link, target = f"{roots.root}/names/{name}", f"../containers/{container_id}"
    try:
        return link_new(target, link)
    except FileExistsError:
        pass
    with names_locked(roots):
        owner = owner_of(roots, name)
        if owner and _goes_by(roots, owner, name):
            raise Conflict(
                f"the name {name} is already in use by container {owner[:12]}",
                hint=f"remove it with 'pyc rm {name}', or choose another name",
            )
        os.symlink(target, f"{link}.{container_id}")  # the link is what a killed process has left
        os.rename(f"{link}.{container_id}", link)


def free_name(roots: Roots, container_id: str, name: str, *, into: str = "") -> None:
    """Remove the link, if it is the container's; or move it ``into`` a directory that is to go, if that is there."""
    if owner_of(roots, name) != container_id:
        return
    link = f"{roots.root}/names/{name}"
    with suppress(FileNotFoundError):
        if into:
            with suppress(OSError):
                return os.rename(link, f"{into}/name")
        os.unlink(link)


def owner_of(roots: Roots, name: str) -> str:
    """The ID of the container that has a name, or had it when its process was killed; "" if nobody has."""
    try:
        return os.readlink(f"{roots.root}/names/{name}").rpartition("/")[2]
    except OSError:
        return ""


def _goes_by(roots: Roots, container_id: str, name: str) -> bool:
    """Whether there is such a container, or somebody who is making it."""
    try:
        return load(roots, container_id).name == name
    except NotFound:
        return life.is_alive(roots, container_id)
    except StoreError:
        return True


@contextmanager
def names_locked(roots: Roots) -> Iterator[None]:
    """Be the only one who gives a name to somebody else."""
    lock = os.open(roots.root + "/names", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def write(roots: Roots, container: Container) -> None:
    """Record what the container is."""
    record = {name: getattr(container, name) for name in _STORED}
    path = roots.container(container.id) + "/container.json"
    replace_file(path, jsontext.dump(record), written="record.written")


def write_spec(roots: Roots, container_id: str, spec: Spec) -> None:
    """Write the runtime-spec, which makes the directory an OCI bundle."""
    texts = {name: jsontext.dump(value) for name, value in spec.items() if name != "linux"}
    linux = spec["linux"].items()
    texts["linux"] = jsontext.joined(
        {name: _of_profile(value) if name == "seccomp" else jsontext.dump(value) for name, value in linux}
    )
    write_new(roots.container(container_id) + "/config.json", jsontext.joined(texts))


_of_profile = IdentityCache(jsontext.dump, 16)  # nine tenths of all, and one object for most containers of a process


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


# --- looking --------------------------------------------------------------------------------------------------------


def listing(roots: Roots, *, whole: bool = False, but: str = "") -> list[Container]:
    """Every container, the newest first; without the one whose ID is ``but``.

    One whose record is damaged is among them, as ``dead``; with ``whole``, for those who remove what no container has,
    that raises StoreError.
    """
    found = []
    for container_id in entries(roots.root + "/containers"):
        if container_id == but:
            continue
        try:
            found.append(load(roots, container_id))
        except NotFound:  # it is being made or removed
            pass
        except StoreError:
            if whole:
                raise
            found.append(damaged(roots, container_id))
    return sorted(found, key=lambda container: container.created, reverse=True)


def find(roots: Roots, name_or_id: str) -> Container:
    """The container of that name, ID or unambiguous beginning of an ID.

    Raises NotFound, or Conflict if several IDs begin so, or another runroot keeps track of it.
    """
    runroot.check(roots)
    with suppress(OSError):
        return load(roots, os.readlink(f"{roots.root}/names/{name_or_id.lstrip('/')}").rpartition("/")[2])
    matches = [entry for entry in entries(roots.root + "/containers") if name_or_id and entry.startswith(name_or_id)]
    if len(matches) > 1:
        raise Conflict(f"{name_or_id} is the beginning of {len(matches)} container IDs", hint="give more of it")
    if not matches:
        shown = name_or_id or "''"
        raise NotFound(f"no such container: {shown}", hint="'pyc ps -a' lists them all")
    return load(roots, matches[0])


def load(roots: Roots, container_id: str) -> Container:
    """The container of that ID. Raises NotFound, or StoreError if its record is damaged."""
    try:
        with open(roots.container(container_id) + "/container.json") as file:
            record = jsontext.load(file.read())
        container = Container(**{**record, "command": tuple(record["command"])})
    except FileNotFoundError:
        raise NotFound(f"no such container: {container_id[:12]}") from None
    except (ValueError, TypeError, KeyError):
        raise StoreError(
            f"container {container_id[:12]}: its container.json is damaged",
            hint=f"what it has written is in {roots.container(container_id)}/upper; "
            f"'pyc rm -f {container_id[:12]}' removes it",
        ) from None
    return with_state(roots, container)


def damaged(roots: Roots, container_id: str) -> Container:
    """What can be said of a container whose record can't be read: enough to list and to remove it."""
    names = [name for name in entries(roots.root + "/names") if owner_of(roots, name) == container_id]
    try:
        with open(roots.container(container_id) + "/config.json") as file:
            cgroup = str(jsontext.load(file.read())["linux"]["cgroupsPath"])
    except (OSError, ValueError, TypeError, KeyError):
        cgroup = f"/pyc/{container_id}"
    return Container(
        container_id, (names or [container_id[:12]])[0], "", "", (), 0.0, cgroup=cgroup, state="dead", exit_code=255
    )


def with_state(roots: Roots, container: Container) -> Container:
    """Look at the lock and at the record of its life."""
    record = life.read(roots, container.id)
    if record is None:
        return container
    alive = life.is_alive(roots, container.id)
    if record.status is None and alive:
        pid = life.pid_of(roots, container.id)
        state = "paused" if life.is_marked(roots, container.id, "paused") else "running"
        if not pid:
            state = "restarting" if os.path.exists(roots.container(container.id) + "/restarts") else "created"
        return container._replace(state=state, started=record.started, pid=pid)
    if record.status is None:
        return container._replace(state="exited", exit_code=UNSEEN, started=record.started, finished=record.changed)
    from pycontainer.cgroups import oom_killed
    from pycontainer.engine import policy

    ended = container._replace(
        state="exited",
        exit_code=life.exit_code(record.status),
        oom_killed=oom_killed(record.counters),
        started=record.started,
        finished=record.changed,
    )
    return ended._replace(state="restarting") if alive and policy.restarts(roots, ended) else ended
