"""What is known of a container between two commands of ``pyc-oci``: a directory below ``--root``.

state.json   :class:`State`
config.json  the spec, as it was at create
start        the socket at which the first process waits; it is there as long as the container is only created
"""

from __future__ import annotations

import os

from pycontainer import jsontext
from pycontainer.core.directories import make_private, replace_file
from pycontainer.errors import Conflict, NotFound, StoreError, UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.spec import Spec

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")


def now() -> str:
    """RFC 3339, UTC."""
    import time

    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"


class State(Record):
    """A container.

    Attributes:
        id: its name.
        pid: of its first process, as this pid namespace numbers it; 0 before there is one.
        began: the start time of that process in ticks since boot, so that another one with its number is told apart.
        bundle: the directory that ``config.json`` came from.
        rootfs: the root directory.
        created: RFC 3339, UTC.
        cgroups: its directories.
        cgroup: its path in each hierarchy.
        calls: index -> "step: call", for what the first process does after it has been started.
        shares: the directories of resctrl's that were made for it, from the top down.
    """

    id: str
    pid: int
    began: int
    bundle: str
    rootfs: str
    created: str
    cgroups: tuple[str, ...]
    cgroup: str
    annotations: dict[str, str]
    calls: dict[str, str]
    shares: tuple[str, ...] = ()


class Home(Record):
    """Where states are kept (``--root``)."""

    root: str

    def directory(self, container: str) -> str:
        """The container's directory. Raises UsageError for a name that is none."""
        if not container or len(container) > 1024 or container in (".", "..") or not set(container) <= _NAME_CHARACTERS:
            raise UsageError(f"invalid container ID {container!r}: want letters, digits, '_', '+', '-', '.'")
        return f"{self.root}/{container}"

    def reserve(self, container: str) -> str:
        """Make the directory. Raises Conflict."""
        where = self.directory(container)
        try:
            make_private(self.root)
            os.mkdir(where, 0o700)
            _hold(where)
        except FileExistsError:
            raise Conflict(f"container with id {container} exists already in {self.root}") from None
        except OSError as error:
            raise StoreError(f"can't make {where}: {os.strerror(error.errno or 0).lower()}") from error
        return where

    def write(self, state: State) -> None:
        """Replace the state, whole or not at all."""
        replace_file(f"{self.directory(state.id)}/state.json", jsontext.dump(state._asdict()))

    def read(self, container: str) -> State:
        """Raises NotFound; a container whose creation was cut short has no first process."""
        where = self.directory(container)
        try:
            with open(f"{where}/state.json") as file:
                known = jsontext.load(file.read())
            return State(**{**known, "cgroups": tuple(known["cgroups"])})
        except FileNotFoundError:
            if not os.path.isdir(where):
                raise NotFound(f"container {container!r} does not exist") from None
            return State(container, 0, 0, "", "", now() if _is_held(where) else "", (), "", {}, {})
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{where}/state.json is damaged", hint=f"pyc-oci delete --force {container}") from None

    def spec(self, container: str) -> Spec:
        """The spec as it was at create."""
        try:
            with open(f"{self.directory(container)}/config.json") as file:
                spec: Spec = jsontext.load(file.read())
                return spec
        except FileNotFoundError:
            raise NotFound(f"container {container!r} does not exist") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"the copy of {container}'s config.json can't be read: {error}") from None

    def write_spec(self, container: str, spec: Spec) -> None:
        """Replace it, after an update of its limits."""
        replace_file(f"{self.directory(container)}/config.json", jsontext.dump(spec))

    def names(self) -> list[str]:
        """Every container there is."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def status(self, state: State) -> str:
        """``creating``, ``created``, ``running``, ``paused`` or ``stopped``."""
        if not state.pid:
            return "stopped" if not state.created else "creating"
        if not is_alive(state.pid, state.began):
            return "stopped"
        if is_frozen(state.cgroups):
            return "paused"
        return "created" if os.path.exists(f"{self.directory(state.id)}/start") else "running"

    def remove(self, container: str) -> None:
        """Forget it."""
        where = self.directory(container)
        try:
            for name in os.listdir(where):
                os.unlink(f"{where}/{name}")
            os.rmdir(where)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(f"can't remove {where}: {os.strerror(error.errno or 0).lower()}") from error


def _hold(directory: str) -> None:
    """Until this process ends, others can see that it is at work on that; the kernel lets go of it then: flock(2)."""
    from fcntl import LOCK_EX, flock

    flock(os.open(directory, os.O_RDONLY | os.O_CLOEXEC), LOCK_EX)


def _is_held(directory: str) -> bool:
    from fcntl import LOCK_NB, LOCK_SH, flock

    try:
        fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flock(fd, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def shown(state: State, status: str) -> dict[str, Any]:
    """The state as the runtime-spec defines it (runtime.md, State)."""
    known: dict[str, Any] = {"ociVersion": VERSION, "id": state.id, "status": status}
    if status != "stopped":
        known["pid"] = state.pid
    known["bundle"] = state.bundle
    return known | ({"annotations": state.annotations} if state.annotations else {})


VERSION = "1.3.0"


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat; 0 for a process that has ended (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(pid: int, began: int) -> bool:
    """Whether the process with that number is still the same one."""
    return bool(pid) and start_time(pid) == began != 0


def is_frozen(cgroups: tuple[str, ...]) -> bool:
    """Whether its processes stand still."""
    for directory in cgroups:
        for name, frozen in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
            try:
                with open(f"{directory}/{name}") as file:
                    return file.read().strip() == frozen
            except OSError:
                continue
    return False
