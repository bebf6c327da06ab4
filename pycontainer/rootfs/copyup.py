"""Fill a volume with what an image has at the place where it is mounted.

Both trees belong to strangers: the image's is data, and into the volume another container may be writing while we do.
So both are walked by descriptors, one name at a time, and no symbolic link is followed in either. Copied are owners,
modes, times, extended attributes (capabilities and ACLs are some), links, holes' content and device nodes.

Sources: openat(2) with O_NOFOLLOW, copy_file_range(2), xattr(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 30


def copy_up(source: int, target: int) -> None:
    """Copy the directory ``source``, with all below it, over the directory ``target``.

    What is there already is replaced, unless it is a directory too: a copy that was interrupted can be made again.

    Raises:
        OSError: as from the calls of file systems; ESTALE if somebody moves directories about meanwhile.
    """
    _Copy(source, target).run()


class _Copy:
    """One copy: two descriptors that move through their trees side by side, however deep these are."""

    def __init__(self, source: int, target: int) -> None:
        self.source = os.open(b".", _DIRECTORY, dir_fd=source)
        self.target = os.open(b".", _DIRECTORY, dir_fd=target)
        self.links: dict[tuple[int, int], bytes] = {}  # files of several names: where the first copy is, from the top
        self.top = target

    def run(self) -> None:
        try:
            self._walk()
        finally:
            os.close(self.source)
            os.close(self.target)

    def _walk(self) -> None:
        above: list[tuple[tuple[int, int], tuple[int, int], list[bytes]]] = []
        path: list[bytes] = []
        to_do = self._enter(path)
        while True:
            while to_do:
                name = to_do.pop()
                above.append((_identity(self.source), _identity(self.target), to_do))
                path.append(name)
                _move(self.source, name)
                _move(self.target, name)
                to_do = self._enter(path)
            self._finish()
            if not above:
                return
            *wanted, to_do = above.pop()
            path.pop()
            for here, identity in zip((self.source, self.target), wanted, strict=True):
                _move(here, b"..")
                if _identity(here) != identity:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def _enter(self, path: list[bytes]) -> list[bytes]:
        """Copy all of a directory but its directories, which are only made; their names are returned."""
        below = []
        for name in map(os.fsencode, os.listdir(self.source)):
            status = os.stat(name, dir_fd=self.source, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                self._make_directory(name)
                below.append(name)
            else:
                self._copy(name, status, path)
        return below

    def _finish(self) -> None:
        """Give a directory the source's owner, mode and times, now that nothing is made in it any more."""
        _dress(self.source, self.target, os.fstat(self.source))

    def _make_directory(self, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=self.target)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=self.target, follow_symlinks=False).st_mode):
                return
            os.unlink(name, dir_fd=self.target)
            os.mkdir(name, 0o700, dir_fd=self.target)

    def _copy(self, name: bytes, status: os.stat_result, path: list[bytes]) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.target)
        file = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and self._link(name, file):
            return
        if stat.S_ISREG(status.st_mode):
            self._copy_file(name, status)
        else:
            self._copy_special(name, status)
        if status.st_nlink > 1:
            self.links[file] = b"/".join([*path, name])

    def _link(self, name: bytes, file: tuple[int, int]) -> bool:
        """Make a second name of a file that has been copied. Its path is walked like any: nothing in it is followed."""
        first = self.links.get(file)
        if first is None:
            return False
        *parents, last = first.split(b"/")
        here = os.open(b".", _DIRECTORY, dir_fd=self.top)
        try:
            for parent in parents:
                _move(here, parent)
            os.link(last, name, src_dir_fd=here, dst_dir_fd=self.target, follow_symlinks=False)
        finally:
            os.close(here)
        return True

    def _copy_file(self, name: bytes, status: os.stat_result) -> None:
        reader = os.open(name, _READ, dir_fd=self.source)
        try:
            writer = os.open(name, _CREATE, 0o600, dir_fd=self.target)
            try:
                _copy_content(reader, writer)
                _dress(reader, writer, status)
            finally:
                os.close(writer)
        finally:
            os.close(reader)

    def _copy_special(self, name: bytes, status: os.stat_result) -> None:
        """A symbolic link, a device, a FIFO or a socket: it is made, and never opened."""
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=self.source), name, dir_fd=self.target)
        else:
            os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=self.target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=self.target, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.target)
            try:
                if not stat.S_ISLNK(os.fstat(made).st_mode):  # somebody may have put one there
                    os.chmod(f"/proc/self/fd/{made}", stat.S_IMODE(status.st_mode))
            finally:
                os.close(made)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=self.target, follow_symlinks=False)


def _move(here: int, name: bytes) -> None:
    """Make a descriptor of a directory one of its neighbour."""
    there = os.open(name, _DIRECTORY, dir_fd=here)
    os.dup2(there, here, inheritable=False)
    os.close(there)


def _identity(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino


def _copy_content(reader: int, writer: int) -> None:
    while True:
        try:
            if not os.copy_file_range(reader, writer, _CHUNK):
                return
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP):
                raise
            break  # two kinds of filesystem that have no way between them
    while os.sendfile(writer, reader, None, _CHUNK):
        pass


def _dress(source: int, target: int, status: os.stat_result) -> None:
    """Owner first, since chown(2) takes setuid bits and capabilities away; times last."""
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):  # the volume's filesystem has no such attributes
                raise
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
