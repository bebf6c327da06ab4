"""A disk that may be full: what its refusals mean, and what is set aside for that time."""

from __future__ import annotations

import errno
import os

from pycontainer.errors import StoreError
from pycontainer.light import suppress

BALLAST = (8, 1 << 15)
"""Files and bytes of each that are set aside, so that on a full disk what frees space can write down what is left."""


def keep_ballast(root: str) -> None:
    """Set the ballast aside, unless it is or there is no room for it."""
    path = f"{root}/ballast"
    if os.path.isdir(path):
        return
    files, size = BALLAST
    try:
        os.mkdir(path, 0o700)
        for number in range(files):
            fd = os.open(f"{path}/{number}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
    except OSError:
        drop_ballast(root)


def drop_ballast(root: str) -> bool:
    """Give it up; whether there was any."""
    path = f"{root}/ballast"
    try:
        for name in os.listdir(path):
            unlink(f"{path}/{name}")
        os.rmdir(path)
    except OSError:
        return False
    return True


def is_full(error: OSError) -> bool:
    """Whether a call failed because the disk has no byte or no inode left for us."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


_FEW = 32  # inodes: more than others, who tidy up after the same failure, give back before we look


def trouble(root: str | int, doing: str, error: OSError) -> StoreError:
    """The error for a call that the host refused; of a full disk, it says which of its two resources is out.

    Args:
        root: a path or descriptor on the disk it is about.
        doing: what failed, as in ``"can't write x"``.
    """
    if not is_full(error):
        hint = _who_may_write(root) if isinstance(error, PermissionError) else ""
        return StoreError(f"{doing}: {error.strerror}", hint=hint)
    disk, why = os.statvfs(root), "No space left on device"
    if error.errno == errno.EDQUOT:
        return StoreError(f"{doing}: {error.strerror}", hint="ask for a larger quota")
    if disk.f_files and disk.f_favail < _FEW:  # some file systems make inodes as they need them, and count none
        return StoreError(
            f"{doing}: {why}: {disk.f_favail} of its {disk.f_files} inodes are free",
            hint="the disk may hold no more files, however many bytes are free; 'pyc system prune' removes some",
        )
    free = f"{disk.f_bavail * disk.f_frsize >> 20} of {disk.f_blocks * disk.f_frsize >> 20} MiB are free"
    return StoreError(f"{doing}: {why}: {free}", hint="'pyc system prune' makes room")


def has_no_room(path: str) -> bool:
    """Whether the disk of a path has no byte or no inode left for us."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    return disk.f_bavail == 0 or (disk.f_files > 0 and disk.f_favail == 0)


def _who_may_write(root: str | int) -> str:
    """Whose the place is where we may not write, or what it would be in."""
    place, found = root, None
    while found is None:
        try:
            found = os.stat(place)
        except OSError:
            place = os.path.dirname(str(place)) or "."
    if found.st_uid == 0:
        return "only root may write to this store"
    if found.st_uid != os.geteuid():
        return f"it belongs to another user, {found.st_uid}"
    return "" if isinstance(place, int) else f"chmod u+wx {place}"


def unlink(path: str) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


_SMALL = 16 << 10


def read_small(path: str, limit: int) -> bytes:
    """A whole file.

    Raises:
        FileNotFoundError: it is not there. StoreError: unreadable, or longer than ``limit``.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(_SMALL)  # most are, and to make room for more costs 30 us
            if len(data) == _SMALL:
                data += file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        hint = "only root may read this store" if isinstance(error, PermissionError) else ""
        raise StoreError(f"can't read {path}: {error.strerror}", hint=hint) from None
    if len(data) > limit:
        raise StoreError(f"{path} is larger than {limit >> 20} MiB")
    return data
