"""The one way into a tree that somebody else may be changing: by a descriptor of its root.

A path is resolved by openat2(2) with the root as /, so that neither ``..`` nor a symbolic link leads out of it, and no
link of /proc is followed at all. What comes back is a descriptor, or the descriptor of a directory and one name in it;
the path is not used again. (CVE-2018-15664, CVE-2019-10152, CVE-2026-42306: the same done with strings.)
"""

from __future__ import annotations

import errno
import os
import stat

from pycontainer.core.kernel import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from pycontainer.record import Record
from pycontainer.rootfs.links import LINKS_MAX

_EAGAIN_MAX = 128
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Place(Record):
    """Where a path leads.

    Attributes:
        parent: descriptor of the directory it is in; the place owns it.
        above: the path below the root that led there.
        name: its name there; b"." for a directory that is best named by its own descriptor, as the root.
        status: of what is there, a link itself and not its target; None if nothing is.
    """

    parent: int
    above: bytes
    name: bytes
    status: os.stat_result | None

    @property
    def is_directory(self) -> bool:
        """Whether a directory is there."""
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.parent)


def open_inside(root: int, path: bytes, flags: int = _DIRECTORY, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open a path below a root, by default as a directory to be used with the ``*at`` calls.

    Raises OSError; EAGAIN only if the host renames without pause.
    """
    for attempt in range(_EAGAIN_MAX):
        try:
            return openat2(root, path or b".", flags, 0, resolve | RESOLVE_NO_MAGICLINKS)
        except BlockingIOError:  # something was renamed somewhere while ".." was resolved
            if attempt == _EAGAIN_MAX - 1:
                raise
    raise AssertionError


def locate(root: int, path: bytes, *, follow: bool) -> Place:
    """Find what a path leads to below a root, or would; with ``follow``, through a link at its end.

    The caller closes the place. Raises OSError, if the directory it is in is not there.
    """
    for _ in range(LINKS_MAX + 1):
        above, name = _split(path)
        parent = open_inside(root, above)
        try:
            place = Place(parent, above, name, _status(parent, name))
            if not (follow and place.status and stat.S_ISLNK(place.status.st_mode)):
                return place
            target = os.readlink(name, dir_fd=parent)
        except BaseException:
            os.close(parent)
            raise
        os.close(parent)
        path = target if target.startswith(b"/") else above + b"/" + target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """A path as its directory and a last name; one that ends in ``/``, ``.`` or ``..`` is a directory as a whole."""
    above, _, name = path.rpartition(b"/")
    if name in (b"", b".", b".."):
        return path or b".", b"."
    return above or (b"/" if path.startswith(b"/") else b"."), name


def _status(parent: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
