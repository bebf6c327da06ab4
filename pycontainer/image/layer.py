"""Unpacking a layer: a tar stream becomes a directory that overlayfs can use as a lower.

The layer goes into a fresh directory of its own, where nothing lies that its own entries did not put there, and where
no lower layer is visible. A parent directory is resolved once, by openat2(2) that can't leave the root, and kept open;
every file is then made by system calls that take that descriptor and a single name. No path is built and no link
of the archive is followed by the host. (CVE-2014-9357, CVE-2021-32760, CVE-2025-47290 and their kin.)

Deletions are translated from the image-spec's markers (layer.md, "Whiteouts") to overlayfs's (kernel documentation,
filesystems/overlayfs.rst): ``.wh.NAME`` to a 0:0 character device, ``.wh..wh..opq`` to trusted.overlay.opaque.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from pycontainer.core.kernel import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, openat2
from pycontainer.errors import HostLacks, LayerError, PycError, StoreError
from pycontainer.image import disk
from pycontainer.image.model import LayerFacts
from pycontainer.image.tar import BLOCK_DEVICE, CHAR, DIRECTORY, FIFO, FILE, LINK, SYMLINK, Entry, TarReader
from pycontainer.image.tree import directories, remove_tree
from pycontainer.record import Record

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."  # aufs's own bookkeeping: kept while unpacking, as hard links may point into it, then removed

_GONE = b".wh..wh..pyc-gone"  # directories that a later entry replaced; renamed, so that no inode number comes twice

_ENTRIES_MAX = 5_000_000
_DIRECTORIES_MAX = 500_000  # of which we remember the attributes: 250 bytes each
_LATE_LINKS_MAX = 100_000
_LATE_NAMES_MAX = 32 << 20  # bytes
_SETUID_MAX = 10_000
_SETUID_NAMES_MAX = 512 << 10  # bytes; in layer.json one can take six
_OPEN_PARENTS_MAX = 128
_EAGAIN_MAX = 128

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RESOLVE_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
_OF_THE_HOST = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_ELF32 = b"\x7fELF\x01"
_NO_XATTRS: dict[bytes, bytes] = {}

_CAPABILITY = b"security.capability"
_CAPABILITY_LENGTHS = {b"\x02": 20, b"\x03": 24}  # by version, the top byte of a little-endian word: linux/capability.h
_OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")


class _Attributes(Record):
    """What a directory shall look like once everything is in it."""

    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: dict[bytes, bytes]


def unpack_layer(root: int, chunks: Iterator[bytes]) -> LayerFacts:
    """Unpack a tar stream, read to its very end, into an empty directory.

    Args:
        root: descriptor of the directory; stays the caller's.
        chunks: the uncompressed tar.

    Raises:
        LayerError: the archive is malformed or hostile; what was unpacked must be thrown away.
        StoreError: the disk is full, or broken.
        HostLacks: we are not root.
    """
    unpacker = _Unpacker(root, TarReader(chunks))
    try:
        unpacker.run()
    finally:
        unpacker.close()
    return unpacker.facts()


class _Unpacker:
    """One layer on its way to one directory."""

    def __init__(self, root: int, reader: TarReader) -> None:
        self._root = root
        self._reader = reader
        self._parents: dict[bytes, int] = {}  # open directories by the path that led to them
        fresh = os.fstat(root)
        self._owner = fresh.st_uid, fresh.st_gid  # of whatever is made here
        self._masked = _umask()
        self._directories = {fresh.st_ino: _Attributes(0o755, 0, 0, 0, _NO_XATTRS)}
        self._opaque: set[int] = set()  # by inode
        self._late_links: list[Entry] = []
        self._late_names = 0
        self._junk: set[bytes] = set()
        self._gone = -1
        self._gone_count = 0
        self._setuid: list[str] = []
        self._setuid_names = 0
        self._size = self._entries = self._whiteouts = 0
        self._elf32 = False

    def run(self) -> None:
        """Make everything."""
        entry: Entry | None = None
        try:
            for entry in self._reader:
                self._unpack(entry)
            for entry in self._late_links:
                self._link(entry, last_chance=True)
            entry = None
            self._finish()
        except OSError as error:
            raise _explain(error, entry, self._root) from None

    def close(self) -> None:
        """Close every descriptor we opened."""
        self._forget_parents()
        if self._gone >= 0:
            os.close(self._gone)

    def facts(self) -> LayerFacts:
        """What was seen."""
        hides_all = os.fstat(self._root).st_ino in self._opaque
        return LayerFacts(self._size, self._entries, tuple(self._setuid), self._elf32, self._whiteouts, hides_all)

    # ---- one entry

    def _unpack(self, entry: Entry) -> None:
        self._entries += 1
        if self._entries > _ENTRIES_MAX:
            raise LayerError(f"the layer has more than {_ENTRIES_MAX} entries")
        path, kind = entry.name, entry.kind
        if not path:
            return self._root_entry(entry)
        if WHITEOUT in path and self._is_marker(entry):
            return self._marker(entry)
        if kind == LINK:
            return self._link(entry)
        parent_path, _, name = path.rpartition(b"/")
        parent = self._parents.get(parent_path)
        if parent is None:
            parent = self._parent(parent_path, entry)
        if kind == FILE:
            self._file(parent, name, entry)
        elif kind == DIRECTORY:
            self._directory(parent, name, entry)
        elif kind == SYMLINK:
            self._symlink(parent, name, entry)
        else:
            self._special(parent, name, entry)

    def _root_entry(self, entry: Entry) -> None:
        if entry.kind != DIRECTORY:
            raise LayerError(f"the layer would replace its own root by something of type {entry.kind!r}")
        self._remember(self._root, entry)

    def _file(self, parent: int, name: bytes, entry: Entry) -> None:
        """Make a regular file. chown(2) clears setuid and file capabilities, so it comes first.

        Most files have their owner and mode from the beginning: two changes less for the file system's journal.
        """
        plain = (entry.uid, entry.gid) == self._owner and not (entry.mode & (0o7000 | self._masked) or entry.xattrs)
        mode = entry.mode if plain else 0
        try:
            fd = os.open(name, _CREATE, mode, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, name)
            fd = os.open(name, _CREATE, mode, dir_fd=parent)
        try:
            if entry.sparse is not None:
                self._write_sparse(fd, entry)
            elif entry.size:
                self._write(fd)
            if not plain:
                os.fchown(fd, entry.uid, entry.gid)
                if entry.xattrs:
                    self._set_xattrs(fd, entry.xattrs, entry)
                os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)
        self._size += entry.size
        if entry.mode & 0o6000:
            self._note_setuid(entry.name)

    def _write(self, fd: int) -> None:
        first = True
        for piece in self._reader.content():
            if first:
                first = False
                if piece[:5] == _ELF32:
                    self._elf32 = True
            while (written := os.write(fd, piece)) < len(piece):
                piece = piece[written:]

    def _write_sparse(self, fd: int, entry: Entry) -> None:
        """Write the stored pieces to their places and leave holes between them."""
        segments = iter(entry.sparse or ())
        offset = left = 0
        for piece in self._reader.content():
            while piece:
                while not left:
                    offset, left = next(segments)
                if offset == 0 and piece[:5] == _ELF32:
                    self._elf32 = True
                written = os.pwrite(fd, piece[:left], offset)
                piece, offset, left = piece[written:], offset + written, left - written
        os.ftruncate(fd, entry.size)

    def _directory(self, parent: int, name: bytes, entry: Entry) -> None:
        """Make a directory, closed for now: what comes into it would inherit its ACL and change its times."""
        self._remember(self._make_directory(parent, name, entry.name), entry)

    def _symlink(self, parent: int, name: bytes, entry: Entry) -> None:
        try:
            os.symlink(entry.target, name, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, name)
            os.symlink(entry.target, name, dir_fd=parent)
        if (entry.uid, entry.gid) != self._owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _link(self, entry: Entry, *, last_chance: bool = False) -> None:
        """Give a file of this layer one more name; if it comes later in the archive, at the end."""
        parent_path, _, name = entry.name.rpartition(b"/")
        target_path, _, target = entry.target.rpartition(b"/")
        self._parent(parent_path, entry)
        try:
            there = self._open_parent(target_path)
            found = os.stat(target or b".", dir_fd=there, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            if last_chance or len(self._late_links) >= _LATE_LINKS_MAX:
                raise LayerError(
                    f"hard link {_show(entry.name)} to {_show(entry.target)}, which the layer lacks"
                ) from None
            self._late_names += len(entry.name) + len(entry.target)
            if self._late_names > _LATE_NAMES_MAX:
                raise LayerError("the layer has too many hard links to files that come later") from None
            self._late_links.append(entry)
            return
        if stat.S_ISDIR(found.st_mode) or _is_whiteout(found):
            raise LayerError(f"hard link {_show(entry.name)} to {_show(entry.target)}, which is no file")
        if found.st_mode & 0o6000:
            self._note_setuid(entry.name)
        parent = self._open_parent(parent_path)  # again: opening the target's may have closed it, but not the reverse
        try:
            os.link(target, name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            if os.path.samestat(found, os.stat(name, dir_fd=parent, follow_symlinks=False)):
                return
            self._replace(parent, name)
            self._link(entry, last_chance=last_chance)

    def _special(self, parent: int, name: bytes, entry: Entry) -> None:
        """Make a device or FIFO. It is inert in the store, which is 0700, and in a container, whose root is nodev."""
        kind = {CHAR: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}[entry.kind]
        device = _device(entry)
        try:
            os.mknod(name, kind, device, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, name)
            os.mknod(name, kind, device, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{fd}", entry.mode)  # fchmod(2) refuses O_PATH, and opening it would block or act
        finally:
            os.close(fd)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _note_setuid(self, path: bytes) -> None:
        self._setuid_names += len(path)
        if len(self._setuid) >= _SETUID_MAX or self._setuid_names > _SETUID_NAMES_MAX:
            raise LayerError(f"the layer has more than {_SETUID_MAX} files with setuid, setgid or capabilities")
        self._setuid.append(os.fsdecode(path))

    # ---- whiteouts

    def _is_marker(self, entry: Entry) -> bool:
        """True for a whiteout. aufs's own files are unpacked like others, as hard links may need them; removed last."""
        *above, name = entry.name.split(b"/")
        first = above[0] if above else name
        if first.startswith(_AUFS) and first != OPAQUE:
            self._junk.add(first)
            return False
        if any(component.startswith(WHITEOUT) for component in above):
            raise LayerError(f"entry {_show(entry.name)} is inside a whiteout")
        return name.startswith(WHITEOUT)

    def _marker(self, entry: Entry) -> None:
        """Hide a name of the lower layers, or all of a directory."""
        parent_path, _, name = entry.name.rpartition(b"/")
        hidden = name[len(WHITEOUT) :]
        if entry.kind not in (FILE, LINK) or hidden in (b"", b".", b".."):
            raise LayerError(f"whiteout {_show(entry.name)} is malformed")
        if name != OPAQUE and hidden.startswith(WHITEOUT):
            raise LayerError(f"whiteout {_show(entry.name)} is of an unknown kind")
        parent = self._parent(parent_path, entry)
        self._whiteouts += 1
        if name == OPAQUE:
            self._opaque.add(os.fstat(parent).st_ino)
            return
        try:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        except FileExistsError:  # what this layer has under the name stays, but no longer shows what is below it
            found = os.stat(hidden, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                self._opaque.add(found.st_ino)

    # ---- what is in the way

    def _replace(self, parent: int, name: bytes) -> None:
        """Take away what an earlier entry made: the last one wins; other hard links of a file keep their content."""
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode):
            self._forget_parents(parent)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        if self._gone < 0:
            os.mkdir(_GONE, 0o700, dir_fd=self._root)
            self._junk.add(_GONE)
            self._gone = os.open(_GONE, _OPEN_DIRECTORY, dir_fd=self._root)
        self._gone_count += 1
        os.rename(name, b"%d" % self._gone_count, src_dir_fd=parent, dst_dir_fd=self._gone)

    def _make_directory(self, parent: int, name: bytes, path: bytes) -> int:
        """Open the directory of that name, made if it is not there, instead of anything else that is."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                self._replace(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
                if _is_whiteout(found):
                    self._opaque.add(os.stat(name, dir_fd=parent, follow_symlinks=False).st_ino)
            elif path in self._parents:
                return self._parents[path]
        return self._keep(path, os.open(name, _OPEN_DIRECTORY, dir_fd=parent))

    # ---- parents

    def _parent(self, path: bytes, entry: Entry) -> int:
        """The directory of an entry, made with the usual mode if the archive has not mentioned it."""
        missing: list[bytes] = []
        while True:
            try:
                here = self._open_parent(path)
                break
            except (FileNotFoundError, NotADirectoryError):
                path, _, component = path.rpartition(b"/")
                missing.append(component)
        for component in reversed(missing):
            path = path + b"/" + component if path else component
            try:
                found = os.stat(component, dir_fd=here, follow_symlinks=False)
                if not _is_whiteout(found):
                    raise LayerError(f"entry {_show(entry.name)} is below {_show(path)}, which is no directory")
            except FileNotFoundError:
                pass
            here = self._make_directory(here, component, path)
            self._remember(here, entry._replace(mode=0o755, uid=0, gid=0, xattrs=None))
        return here

    def _open_parent(self, path: bytes) -> int:
        """The descriptor of a directory that is there, resolved within the root, symlinks of the layer included."""
        if not path:
            return self._root
        fd = self._parents.get(path)
        if fd is not None:
            return fd
        for _ in range(_EAGAIN_MAX):
            try:
                return self._keep(path, openat2(self._root, path, _RESOLVE_DIRECTORY, 0, _RESOLVE))
            except BlockingIOError:  # somewhere on the host something was renamed while ".." was resolved
                continue
        raise StoreError(f"openat2 {_show(path)}: too many renames at the same time")

    def _keep(self, path: bytes, fd: int) -> int:
        """Hold a directory open for the entries to come; the one held longest goes."""
        if path in self._parents:
            os.close(self._parents.pop(path))
        if len(self._parents) >= _OPEN_PARENTS_MAX:
            os.close(self._parents.pop(next(iter(self._parents))))
        self._parents[path] = fd
        return fd

    def _forget_parents(self, still_needed: int = -1) -> None:
        """Close what is held: some path may no longer mean the directory that it meant."""
        held, self._parents = self._parents, {}
        for fd in held.values():
            if fd == still_needed:
                self._parents[b"\0"] = fd  # no path: only so that it will be closed one day
            else:
                os.close(fd)

    # ---- attributes

    def _remember(self, directory: int, entry: Entry) -> None:
        """Note the attributes of a directory for the end."""
        if len(self._directories) > _DIRECTORIES_MAX:
            raise LayerError(f"the layer has more than {_DIRECTORIES_MAX} directories")
        attributes = _Attributes(entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs or _NO_XATTRS)
        self._directories[os.fstat(directory).st_ino] = attributes

    def _set_xattrs(self, fd: int, xattrs: dict[bytes, bytes], entry: Entry | None = None) -> None:
        """Set those attributes that mean the same in every kernel, and none that overlayfs would obey."""
        for name, value in xattrs.items():
            if name == _CAPABILITY:
                if entry is None or _CAPABILITY_LENGTHS.get(value[3:4]) != len(value):
                    raise LayerError("the layer has file capabilities that are malformed or on a directory")
                self._note_setuid(entry.name)
            elif name.startswith(_OVERLAY_XATTRS):  # as data of an inner overlay: one more "overlay." is taken off
                namespace = name.partition(b".")[0]
                name = namespace + b".overlay." + name[len(namespace) + 1 :]
            elif not name.startswith((b"user.", b"system.posix_acl_")):
                continue
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM) or name == _CAPABILITY:
                    raise

    def _finish(self) -> None:
        """Give every directory its attributes, deepest first, now that nothing more comes into it."""
        for name in self._junk:
            remove_tree(self._root, name)
        for directory in directories(self._root):
            inode = os.fstat(directory).st_ino
            attributes = self._directories[inode]
            if inode in self._opaque:
                _remove_whiteouts(directory)
                os.setxattr(directory, b"trusted.overlay.opaque", b"y")
            os.fchown(directory, attributes.uid, attributes.gid)
            self._set_xattrs(directory, attributes.xattrs)
            os.fchmod(directory, attributes.mode)
            os.utime(directory, ns=(attributes.mtime, attributes.mtime))


def _umask() -> int:
    """What umask(2) takes from the mode of new files; asking that call itself would change it for all threads."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1], 8) for line in file if line.startswith("Umask:")), 0o777)


def _remove_whiteouts(directory: int) -> None:
    """An opaque directory needs no whiteouts, and would list them as files."""
    for name in os.listdir(directory):
        if _is_whiteout(os.stat(name, dir_fd=directory, follow_symlinks=False)):
            os.unlink(name, dir_fd=directory)


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _device(entry: Entry) -> int:
    major, minor = entry.device
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise LayerError(f"device {_show(entry.name)} has an impossible number {major}:{minor}")
    if entry.kind == CHAR and major == minor == 0:
        raise LayerError(f"device {_show(entry.name)} is 0:0, a whiteout in disguise")
    return os.makedev(major, minor)


def _explain(error: OSError, entry: Entry | None, root: int) -> PycError:
    where = _show(entry.name) if entry else "the layer"
    if error.errno in _OF_THE_HOST:
        return disk.trouble(root, f"can't unpack {where}", error)
    if error.errno in (errno.EPERM, errno.EACCES) and os.geteuid() != 0:
        return HostLacks("unpacking a layer needs root: files in it belong to other users", hint="run it with sudo")
    return LayerError(f"can't unpack {where}: {error.strerror}")


def _show(name: bytes) -> str:
    return repr(name[:100].decode("utf-8", "backslashreplace"))
