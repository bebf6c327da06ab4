"""A read-only look into stacked layers, without mounting them: what overlayfs would show.

The engine needs a few files of an image before there is a container: /etc/passwd and /etc/group to
resolve a user, the command to explain why it can't be executed. Content of an image is data from a
stranger, so every step opens exactly one name relative to a descriptor and follows nothing: links
are read and walked here, and can't leave the root.

Sources: Documentation/filesystems/overlayfs.rst (whiteouts and opaque directories),
path_resolution(7), open(2) on O_PATH.
"""

from __future__ import annotations

import errno
import os
import stat

from pycontainer.record import TYPE_CHECKING, Record
from pycontainer.rootfs.links import LINKS_MAX, led

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC  # opens no device, waits for no FIFO, follows no link


class _Node(Record):
    """A place in the merged view.

    Attributes:
        path: from the root, without links, ``.`` and ``..``; "" is the root itself.
        status: of the topmost entry.
        parts: what it is made of, topmost first: one descriptor, or several for a merged directory, or
            the layers' own paths for the root.
    """

    path: str
    status: os.stat_result
    parts: Sequence[str | int]

    def is_kind(self, kind: int) -> bool:
        return stat.S_IFMT(self.status.st_mode) == kind


class MergedView:
    """The merged content of layer directories, topmost first; close it, or use it in a ``with``.

    Args:
        layer_dirs: paths of the layers' directories. They are trusted; what is in them is not.
        userxattr: opaque directories are marked ``user.overlay.opaque`` (an overlay mounted without
            privileges) instead of ``trusted.overlay.opaque``.

    Methods raise OSError as the kernel would: ENOENT, ENOTDIR, ELOOP, EISDIR, ...
    """

    def __init__(self, layer_dirs: Sequence[str], *, userxattr: bool = False) -> None:
        self._opaque = ("user" if userxattr else "trusted") + ".overlay.opaque"
        self._root = _Node("", os.stat(layer_dirs[0]), tuple(layer_dirs))
        self._directories: dict[str, _Node] = {}  # kept open until close(): passwd and group share /etc

    def __enter__(self) -> MergedView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every directory that was opened on the way. The view can still be used."""
        for node in self._directories.values():
            _close(node.parts)
        self._directories.clear()

    def open(self, path: str) -> int:
        """A descriptor for reading a *regular* file. EISDIR for a directory, EINVAL for anything else."""
        node = self._walk(path, follow=True)
        if node.is_kind(stat.S_IFDIR):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        try:
            if not node.is_kind(stat.S_IFREG):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return os.open(f"/proc/self/fd/{node.parts[0]}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _close(node.parts)

    def read(self, path: str, limit: int) -> bytes:
        """The content of a regular file. EFBIG if it has more than ``limit`` bytes."""
        fd = self.open(path)
        try:
            size = os.fstat(fd).st_size
            if size > limit:
                raise OSError(errno.EFBIG, f"more than {limit} bytes", path)
            return os.read(fd, size)  # a regular file gives all of up to 2 GiB at once, read(2)
        finally:
            os.close(fd)

    def head(self, path: str, size: int) -> bytes:
        """The first ``size`` bytes of a regular file, or all of a shorter one."""
        fd = self.open(path)
        try:
            return os.read(fd, size)
        finally:
            os.close(fd)

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """stat(2), or lstat(2) if not ``follow``."""
        return self._look(path, follow).status

    def exists(self, path: str) -> bool:
        """Whether ``path`` leads to something."""
        try:
            self._look(path, follow=True)
        except OSError:
            return False
        return True

    def resolve(self, path: str) -> str:
        """realpath(3) inside the view: absolute, without links."""
        return self._look(path, follow=True).path or "/"

    def led(self, path: str) -> str:
        """Where ``path`` leads, whether something is there or not."""
        return led(path, self._link)

    def _link(self, path: str) -> str:
        try:
            node = self._walk(path, follow=False)
        except OSError:
            return ""
        if node.is_kind(stat.S_IFLNK):
            return _read_link(node)
        if not node.is_kind(stat.S_IFDIR):
            _close(node.parts)
        return ""

    def _look(self, path: str, follow: bool) -> _Node:
        node = self._walk(path, follow)
        if not node.is_kind(stat.S_IFDIR):
            _close(node.parts)
        return node

    def _walk(self, path: str, follow: bool) -> _Node:
        """Find ``path``, name by name. The caller closes what it gets, unless it is a directory."""
        trail = [self._root]  # the directories from the root to here, for ".."
        todo = [name for name in path.split("/") if name not in ("", ".")][::-1]
        must_be_directory = path.endswith(("/", "/."))
        links = 0
        while todo:
            name = todo.pop()
            if name == "..":
                trail = trail[:-1] or trail  # the root is its own parent
                continue
            node = self._lookup(trail[-1], name, path)
            if node.is_kind(stat.S_IFDIR):
                trail.append(node)
            elif node.is_kind(stat.S_IFLNK) and (follow or todo or must_be_directory):
                target = _read_link(node)
                links += 1
                if links > LINKS_MAX:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                trail = trail[:1] if target.startswith("/") else trail
                must_be_directory |= not todo and target.endswith(("/", "/."))
                todo += [part for part in target.split("/") if part not in ("", ".")][::-1]
            elif todo or must_be_directory:
                _close(node.parts)
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            else:
                return node
        return trail[-1]

    def _lookup(self, directory: _Node, name: str, path: str) -> _Node:
        """One name in one merged directory: the topmost entry hides what is below, unless all are directories."""
        full = f"{directory.path}/{name}"
        if full in self._directories:
            return self._directories[full]
        parts: list[int] = []
        status: os.stat_result | None = None
        try:
            for below in directory.parts:
                fd = _open_in(below, name)
                if fd is None:
                    continue
                parts.append(fd)
                found = os.fstat(fd)
                is_directory = stat.S_ISDIR(found.st_mode)
                whiteout = stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
                if whiteout or (status and not is_directory):
                    os.close(parts.pop())  # it only says where the merge ends
                    break
                status = status or found
                if not is_directory or self._is_opaque(fd):
                    break
        except BaseException:
            _close(parts)
            raise
        if status is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        node = _Node(full, status, parts)
        if stat.S_ISDIR(status.st_mode):
            self._directories[full] = node
        return node

    def _is_opaque(self, fd: int) -> bool:
        try:  # fgetxattr(2) refuses an O_PATH descriptor, its name in /proc does not
            return os.getxattr(f"/proc/self/fd/{fd}", self._opaque) == b"y"
        except OSError:
            return False


def _open_in(directory: str | int, name: str) -> int | None:
    """openat(2) of a single name, in a layer's root or in an open directory; None if it is not there."""
    try:
        if isinstance(directory, str):
            return os.open(f"{directory}/{name}", _LOOK)
        return os.open(name, _LOOK, dir_fd=directory)
    except FileNotFoundError:
        return None
    except ValueError:  # a NUL byte
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name) from None


def _read_link(node: _Node) -> str:
    try:
        return os.readlink("", dir_fd=int(node.parts[0]))
    finally:
        _close(node.parts)


def _close(parts: Sequence[str | int]) -> None:
    for fd in parts:
        os.close(int(fd))
