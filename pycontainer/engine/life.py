"""The life of a container: whether it lives, since when, and how it ended.

While it lives, ``RUNROOT/containers/<id>`` holds ``lock``, which the monitor keeps locked: the kernel lets go of it
however the monitor ends. So the lock, and no number in a file, says whether a container runs; what is written in it is
whose it is, by device and inode of ROOT. Beside it are ``pid``, and empty files that mark it as ``paused`` or the like.

``ROOT/containers/<id>/life`` is the record: when it began, written by us; then how it ended, written by the monitor.
``kept`` and ``stopped`` beside it say what somebody wants of the container.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from pycontainer.core.directories import make_private
from pycontainer.errors import Conflict
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


# --- the lock -------------------------------------------------------------------------------------------------------


def take_lock(roots: Roots, container_id: str, *, patience: float = 1) -> int:
    """The descriptor of the locked file that says the container lives; the monitor inherits it.

    It is taken before anything else is made, so that whatever is found without a lock is somebody's remains.
    Raises Conflict if the container is alive already.
    """
    deadline = time.monotonic() + patience
    while True:
        make_private(roots.live(container_id))
        with suppress(FileNotFoundError):  # repaired away by another process, which took it for remains
            if (lock := _new_lock(roots, container_id)) is not None:
                os.pwrite(lock, _root_of(roots), 0)
                return lock
        if time.monotonic() > deadline:
            raise Conflict(f"container {container_id[:12]} is running already")
        time.sleep(0.001)  # a moment of somebody's who looks, or repairs


def _new_lock(roots: Roots, container_id: str) -> int | None:
    """The file, locked before it has a name: else a crowd that repairs would lock it, again and again, before us."""
    where = roots.live(container_id)
    try:
        lock = os.open(where, os.O_RDWR | os.O_CLOEXEC | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno == errno.EPERM:  # ext4 says so where the directory has just been removed
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where) from error
        if error.errno != errno.EOPNOTSUPP:
            raise
        return try_lock(roots, container_id, os.O_CREAT)  # a filesystem without files that have no name
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        # With a descriptor of a directory, which an absolute path has no need of, link() is linkat(AT_SYMLINK_FOLLOW).
        os.link(f"/proc/self/fd/{lock}", where + "/lock", src_dir_fd=lock)
        return lock
    except FileExistsError:
        os.close(lock)
        return try_lock(roots, container_id)
    except BaseException:
        os.close(lock)
        raise


def try_lock(roots: Roots, container_id: str, flags: int = 0) -> int | None:
    """The locked file, or None if somebody else has it, or it is not the container's any more."""
    path = roots.live(container_id) + "/lock"
    lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _root_of(roots: Roots) -> bytes:
    """What the root is, whatever its path: device and inode. b"" if it is not there."""
    try:
        found = os.stat(roots.root)
    except FileNotFoundError:
        return b""
    return b"%d:%d" % (found.st_dev, found.st_ino)


def is_of_another_root(roots: Roots, container_id: str) -> bool:
    """Whether the live state belongs to a container of another root: several may share a runroot, or one is unmounted.

    For who finds no container to it. A lock that says nothing sensible is taken for one of this root.
    """
    with suppress(OSError):
        with open(roots.live(container_id) + "/lock", "rb") as file:
            said = file.read(100)
        return said.replace(b":", b"", 1).isdigit() and said != _root_of(roots)
    return False


def is_alive(roots: Roots, container_id: str) -> bool:
    """Whether its monitor holds the lock."""
    try:
        lock = os.open(roots.live(container_id) + "/lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


# --- the record -----------------------------------------------------------------------------------------------------


class Life(Record):
    """What the record says: ``status`` is the wait status, None without an end; times are seconds since the epoch."""

    started: float
    changed: float
    status: int | None
    counters: str


def begin(roots: Roots, container_id: str) -> int:
    """Begin the record of a life: a line with the time. The monitor adds the wait status and what memory it lacked."""
    path = roots.container(container_id) + "/life"
    life = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(life, f"{time.time()}\n".encode())
    return life


def read(roots: Roots, container_id: str) -> Life | None:
    """The record of its life; None before that has begun, or where the record is damaged."""
    try:
        with open(roots.container(container_id) + "/life") as file:
            changed, text = os.fstat(file.fileno()).st_mtime, file.read(1 << 16)
        started, _, rest = text.partition("\n")
        status, ended, counters = rest.partition("\n")
        return Life(float(started), changed, int(status) if ended else None, counters)
    except (FileNotFoundError, ValueError):
        return None


def has_run(roots: Roots, container_id: str) -> bool:
    """Whether the monitor recorded an end."""
    life = read(roots, container_id)
    return life is not None and life.status is not None


def record_error(roots: Roots, container_id: str, message: str, code: int) -> None:
    """Keep why it could not be started, and what a shell would call that."""
    with open(roots.container(container_id) + "/error", "w") as file:
        file.write(f"{code} {message}")


def error(roots: Roots, container_id: str) -> tuple[int, str]:
    """The code and the message of the last attempt to start it; (0, "") if that succeeded."""
    try:
        with open(roots.container(container_id) + "/error") as file:
            code, _, message = file.read().partition(" ")
        return int(code), message
    except (OSError, ValueError):
        return 0, ""


def forget(roots: Roots, container_id: str) -> None:
    """What is known of the last life but its end is nothing to the next one."""
    for name in ("error", "health.json"):
        with suppress(FileNotFoundError):
            os.unlink(f"{roots.container(container_id)}/{name}")


def exit_code(status: int) -> int:
    """A wait status as a shell says it (wait(2))."""
    return 128 + (status & 0x7F) if status & 0x7F else status >> 8 & 0xFF


# --- the first process ----------------------------------------------------------------------------------------------


def pid_of(roots: Roots, container_id: str) -> int:
    """The pid of the first process, as the monitor wrote it; 0 if it did not."""
    try:
        with open(roots.live(container_id) + "/pid") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def await_pid(roots: Roots, container_id: str) -> int:
    """The pid of the first process, which the monitor writes a moment after the program runs; 0 if it has ended."""
    while True:
        if pid := pid_of(roots, container_id):
            return pid
        if has_run(roots, container_id) or not is_alive(roots, container_id):
            return 0
        time.sleep(0.0002)


# --- marks ----------------------------------------------------------------------------------------------------------

HALTED = "halted"
"""The mark that the monitor makes when it is told to end, which the host does before it goes down (core/monitor.c)."""


def mark(roots: Roots, container_id: str, what: str, *, present: bool = True) -> None:
    """Make or remove an empty file of that name among the live state: ``paused``, ``unhealthy``."""
    path = f"{roots.live(container_id)}/{what}"
    with suppress(FileNotFoundError):
        if present:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        else:
            os.unlink(path)


def is_marked(roots: Roots, container_id: str, what: str) -> bool:
    """Whether that file is there."""
    return os.path.exists(f"{roots.live(container_id)}/{what}")


def keep(roots: Roots, container_id: str) -> None:
    """Say that the container is to be kept, though it may never run: somebody has made it on purpose."""
    with open(roots.container(container_id) + "/kept", "w"):
        pass


def is_kept(roots: Roots, container_id: str) -> bool:
    """Whether :func:`keep` said so."""
    return os.path.exists(roots.container(container_id) + "/kept")


def ask_to_stop(roots: Roots, container_id: str, *, stop: bool = True) -> None:
    """Record that somebody wants it not to run, so that no policy starts it again; or that it is to run."""
    path = roots.container(container_id) + "/stopped"
    with suppress(FileNotFoundError):
        if stop:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        else:
            os.unlink(path)


def is_asked_to_stop(roots: Roots, container_id: str) -> bool:
    """Whether that is so."""
    return os.path.exists(roots.container(container_id) + "/stopped")
