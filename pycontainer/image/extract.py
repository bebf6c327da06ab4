"""Extracting a tar stream into a tree that is in use, for ``cp``: into a container, or out of one onto the host.

Not for layers: layer.py unpacks those into a directory of their own. Here the tree has content already, and somebody
may be changing it. So every parent directory is resolved by openat2(2) below the root's descriptor, everything is made
by calls that take a directory's descriptor and one name, and only a file that was just made here is ever written.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from pycontainer.core.kernel import RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, make_files_as
from pycontainer.errors import Conflict, LayerError, PycError, StoreError
from pycontainer.image.tar import BLOCK_DEVICE, CHAR, DIRECTORY, FIFO, FILE, LINK, SYMLINK, Entry, TarReader
from pycontainer.record import Record
from pycontainer.rootfs.inside import open_inside

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_PARENTS_MAX = 64
_TRIES = 16
_NAMES_MAX = 256 << 20  # bytes of the names of directories, whose times we remember
IDS, NOBODY = 65536, 65534
_NODES = {CHAR: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}


class Rules(Record):
    """How to extract.

    Attributes:
        owner: whose the files shall be, (uid, gid), or None for what the archive says.
        links_lead: symbolic links in the tree are followed on the way to a file, within the root; else they are
            an error.
        powers: make device nodes, and keep setuid, setgid and file capabilities.
        base: the host's id that root is in the tree, where that is another user namespace's; it has IDS of them.
    """

    owner: tuple[int, int] | None
    links_lead: bool
    powers: bool
    base: int = 0


class Extracted(Record):
    """What was done: bytes of content, and the names of what was left out for lack of :attr:`Rules.powers`."""

    size: int
    left_out: tuple[str, ...]


def extract(root: int, base: bytes, chunks: Iterator[bytes], rules: Rules) -> Extracted:
    """Extract a tar stream, read to its end.

    Args:
        root: descriptor of the directory that nothing may lead out of.
        base: path below it of the directory to extract into.
        chunks: the archive, uncompressed.

    Raises:
        LayerError: the archive is malformed. Conflict: a directory where there is a file, or the reverse.
        StoreError: the disk is full, the tree read-only, ...
    """
    extractor = _Extractor(root, base, TarReader(chunks), rules)
    try:
        if not rules.base:
            return extractor.run()
        make_files_as(rules.base)
        try:
            return extractor.run()
        finally:
            make_files_as(0)
    finally:
        extractor.close()


class _Extractor:
    """One archive on its way into one tree."""

    def __init__(self, root: int, base: bytes, reader: TarReader, rules: Rules) -> None:
        self._root, self._base, self._reader, self._rules = root, base, reader, rules
        self._resolve = RESOLVE_IN_ROOT if rules.links_lead else RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        self._parents: dict[bytes, int] = {}
        self._directories: list[tuple[bytes, int]] = []  # names and times
        self._names = 0
        self._left_out: list[str] = []
        self._size = 0

    def run(self) -> Extracted:
        """Make everything; directories get their times at the end, as what comes into them changes those."""
        name = b""
        try:
            for entry in self._reader:
                name = entry.name
                self._extract(entry)
            for name, mtime in reversed(self._directories):
                self._finish_directory(name, mtime)
        except OSError as error:
            raise _explain(error, name) from None
        return Extracted(self._size, tuple(self._left_out))

    def close(self) -> None:
        """Close what is still open."""
        for fd in self._parents.values():
            os.close(fd)
        self._parents.clear()

    def _extract(self, entry: Entry) -> None:
        if not entry.name:
            if entry.kind != DIRECTORY:
                raise LayerError("the archive would replace the directory that it is extracted into")
            return  # what is there stays as it is, as with docker
        above, _, name = entry.name.rpartition(b"/")
        parent = self._parent(above)
        if entry.kind in (CHAR, BLOCK_DEVICE) and not self._rules.powers:
            self._left_out.append(os.fsdecode(entry.name))
        elif entry.kind == DIRECTORY:
            self._directory(parent, name, entry)
        else:
            self._make_room(parent, name, entry)
            for _ in range(_TRIES):
                try:
                    self._make(parent, name, entry)
                    return
                except FileExistsError:  # somebody made it anew
                    self._make_room(parent, name, entry)
            raise StoreError(f"{_show(entry.name)} is made again as often as it is removed")

    def _parent(self, path: bytes) -> int:
        """The directory of an entry; one that the archive has not mentioned is made."""
        if path in self._parents:
            return self._parents[path]
        try:
            fd = open_inside(self._root, self._join(path), resolve=self._resolve)
        except FileNotFoundError:
            if not path:
                raise
            above, _, name = path.rpartition(b"/")
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=self._parent(above))
            fd = open_inside(self._root, self._join(path), resolve=self._resolve)
        if len(self._parents) >= _OPEN_PARENTS_MAX:
            os.close(self._parents.pop(next(iter(self._parents))))
        self._parents[path] = fd
        return fd

    def _join(self, path: bytes) -> bytes:
        return self._base + b"/" + path if path else self._base

    def _make_room(self, parent: int, name: bytes, entry: Entry) -> None:
        """Remove what has the name, unless that is a directory."""
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise Conflict(f"cannot overwrite directory {_show(entry.name)} with non-directory") from None

    def _make(self, parent: int, name: bytes, entry: Entry) -> None:
        if entry.kind == FILE:
            self._file(parent, name, entry)
        elif entry.kind == LINK:
            self._link(parent, name, entry)
        else:
            if entry.kind == SYMLINK:
                os.symlink(entry.target, name, dir_fd=parent)
            else:
                os.mknod(name, _NODES[entry.kind] | 0o600, os.makedev(*entry.device), dir_fd=parent)
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                self._attributes(fd, entry)
            finally:
                os.close(fd)

    def _file(self, parent: int, name: bytes, entry: Entry) -> None:
        fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            self._write(fd, entry)
            self._attributes(fd, entry)
        except BaseException:
            with suppress(OSError):  # half a file is worse than none
                os.unlink(name, dir_fd=parent)
            raise
        finally:
            os.close(fd)
        self._size += entry.size

    def _write(self, fd: int, entry: Entry) -> None:
        """Write the pieces of content that are stored to their places; holes stay between them."""
        segments = iter(entry.sparse if entry.sparse is not None else [(0, entry.size)])
        offset = left = 0
        for piece in self._reader.content():
            while piece:
                while not left:
                    offset, left = next(segments)
                written = os.pwrite(fd, piece[:left], offset)
                piece, offset, left = piece[written:], offset + written, left - written
        os.ftruncate(fd, entry.size)

    def _link(self, parent: int, name: bytes, entry: Entry) -> None:
        above, _, target = entry.target.rpartition(b"/")
        there = open_inside(self._root, self._join(above), resolve=self._resolve)
        try:
            os.link(target or b".", name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(there)

    def _directory(self, parent: int, name: bytes, entry: Entry) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                raise Conflict(f"cannot overwrite non-directory {_show(entry.name)} with directory") from None
        fd = os.open(name, _LIST, dir_fd=parent)
        try:
            self._attributes(fd, entry)
        finally:
            os.close(fd)
        self._names += len(entry.name)
        if self._names > _NAMES_MAX:
            raise LayerError(f"the archive has directories whose names are {_NAMES_MAX >> 20} MiB and more")
        self._directories.append((entry.name, entry.mtime))

    def _finish_directory(self, path: bytes, mtime: int) -> None:
        above, _, name = path.rpartition(b"/")
        with suppress(FileNotFoundError, NotADirectoryError):  # somebody took it away meanwhile
            os.utime(name, ns=(mtime, mtime), dir_fd=self._parent(above), follow_symlinks=False)

    def _attributes(self, fd: int, entry: Entry) -> None:
        """Owner, attributes, mode and time, in this order: chown(2) takes setuid and file capabilities away."""
        path = f"/proc/self/fd/{fd}"  # the calls that take an O_PATH descriptor came late to the kernel, or never
        uid, gid = self._rules.owner or (entry.uid, entry.gid)
        if base := self._rules.base:
            uid, gid = (base + (one if one < IDS else NOBODY) for one in (uid, gid))
        os.chown(fd if entry.kind in (FILE, DIRECTORY) else path, uid, gid)
        for key, value in (entry.xattrs or {}).items():
            if key.startswith((b"user.", b"system.posix_acl_")) or (
                key == b"security.capability" and self._rules.powers
            ):
                with suppress(OSError):  # a filesystem without them, or a kind of file that has none
                    os.setxattr(path, key, value)
        if entry.kind != SYMLINK:
            os.chmod(path, entry.mode if self._rules.powers else entry.mode & 0o1777)
        os.utime(path, ns=(entry.mtime, entry.mtime))


_MEANING = {
    errno.EBUSY: "it is a mount point of the container's",
    errno.EROFS: "that is on a read-only filesystem",
    errno.ELOOP: "a symbolic link is in the way",
    errno.EXDEV: "a symbolic link leads out of it",
}


def _explain(error: OSError, name: bytes) -> PycError:
    meaning = _MEANING.get(error.errno or 0, os.strerror(error.errno or 0).lower())
    return StoreError(f"can't write {_show(name) if name else 'the destination'}: {meaning}")


def _show(name: bytes) -> str:
    return repr(name[:100].decode("utf-8", "backslashreplace"))
