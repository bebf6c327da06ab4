"""The files of a container that runs, as it sees them itself: its mounts included.

Everything in there may be hostile and may change while we look: a path is resolved once by openat2(2) with the
container's root as /, no device is opened and no FIFO waited for.
"""

from __future__ import annotations

import errno
import os
import stat

from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs.inside import open_inside

if TYPE_CHECKING:
    from types import TracebackType

_LOOK = os.O_PATH | os.O_CLOEXEC


def root_of(pid: int, pidfd: int) -> int:
    """The root directory of a process, which the caller closes. Raises OSError; ProcessLookupError if it has ended."""
    from _signal import pidfd_send_signal

    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pidfd_send_signal(pidfd, 0)  # or the number might be another's by now
    except OSError:
        os.close(root)
        raise
    return root


class LiveRoot:
    """The root of process ``pid``, which the caller knows to be the container's; close it, or use it in a ``with``.

    What it answers is what rootfs/view.py's MergedView answers for an image. Methods raise OSError.
    """

    def __init__(self, pid: int) -> None:
        """Raise OSError if the process has ended."""
        self._root = os.open(f"/proc/{pid}/root", _LOOK | os.O_DIRECTORY)

    def __enter__(self) -> LiveRoot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._root)

    def read(self, path: str, limit: int) -> bytes:
        """The content of a regular file. EFBIG if it has more than ``limit`` bytes."""
        content = self._begin(path, limit + 1)
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"more than {limit} bytes", path)
        return content

    def head(self, path: str, size: int) -> bytes:
        """The first ``size`` bytes of a regular file, or all of a shorter one."""
        return self._begin(path, size)

    def stat(self, path: str) -> os.stat_result:
        """stat(2)."""
        found = open_inside(self._root, os.fsencode(path), _LOOK)
        try:
            return os.fstat(found)
        finally:
            os.close(found)

    def exists(self, path: str) -> bool:
        """Whether ``path`` leads to something."""
        try:
            self.stat(path)
        except OSError:
            return False
        return True

    def _begin(self, path: str, size: int) -> bytes:
        found = open_inside(self._root, os.fsencode(path), _LOOK)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return _begin(found, size)
        finally:
            os.close(found)


def _begin(found: int, size: int) -> bytes:
    """Nothing is waited for: neither the next message of the kernel's, where a link leads to /proc/kmsg, nor whoever
    has a lease on the file (fcntl(2), F_SETLEASE). The kernel's own files have no size, and are as good as empty.
    """
    size = min(size, os.fstat(found).st_size)
    file = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        parts = []
        while size > 0 and (part := os.read(file, size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
    finally:
        os.close(file)
