"""Packing: a directory tree becomes a tar stream, by descriptors.

Every file is first opened with O_PATH, which neither follows a link nor acts on a device nor waits for a FIFO, and
looked at; only what then proves to be a regular file is opened for reading, through that very descriptor. So it does
not matter who changes the tree meanwhile: what was looked at is what goes into the archive, and never a file from
outside the tree.

The steps are generators, one behind the other: :func:`walk` finds, something in the middle chooses and translates
(:func:`portable` here, whiteouts in changes.py), :func:`archive` writes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator

from pycontainer.errors import StoreError
from pycontainer.image.tar import BLOCK_DEVICE, CHAR, DIRECTORY, FIFO, FILE, LINK, SYMLINK, Entry
from pycontainer.image.tarfields import PATH_MAX
from pycontainer.image.tarwriter import END, encode, padding
from pycontainer.record import Record

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE = 1 << 20
_HOLES_MIN = 1 << 16
_PIECES_MAX = 10_000
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHAR,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
}


class Item(Record):
    """A file that was found.

    Attributes:
        entry: how it goes into the archive; all of its extended attributes are there.
        fd: an O_PATH descriptor of it, valid until the next one is asked for; -1 if there is no such file.
    """

    entry: Entry
    fd: int


def walk(parent: int, name: bytes, called: bytes, *, not_into: Collection[int] = ()) -> Iterator[Item]:
    """Everything from ``name`` in the directory ``parent`` downwards, directories before what is in them, sorted.

    Args:
        parent: descriptor of a directory.
        name: a single name in it, or b"." for the directory itself.
        called: the name it shall have in the archive; b"" for the root.
        not_into: device numbers of filesystems whose directories are entered as empty ones.

    What vanishes while it is looked for is left out, and so are sockets, which no archive can hold.

    Raises:
        OSError: ``name`` is not there.
        StoreError: directories were moved about meanwhile, or nest deeper than an archive can say.
    """
    seen: dict[tuple[int, int], bytes] = {}
    fd = os.open(name, _LOOK, dir_fd=parent)
    try:
        first = _item(fd, called, seen)
        if first is None:
            return
        yield first
        if first.entry.kind != DIRECTORY or os.fstat(fd).st_dev in not_into:
            return
        here = os.open(b".", _LIST, dir_fd=fd)
    finally:
        os.close(fd)
    try:
        yield from _below(here, called, seen, not_into)
    finally:
        os.close(here)


def _below(here: int, path: bytes, seen: dict[tuple[int, int], bytes], not_into: Collection[int]) -> Iterator[Item]:
    """All below one directory. The descriptor moves through the tree: it may be deeper than we may have descriptors.

    The depth has an end all the same: a path for each level would take memory that grows with its square.
    """
    above: list[tuple[os.stat_result, bytes, list[bytes]]] = []
    names = _names(here)
    while True:
        while names:
            name = names.pop()
            try:
                fd = os.open(name, _LOOK, dir_fd=here)
            except FileNotFoundError:
                continue
            try:
                called = path + b"/" + name if path else name
                if len(called) > PATH_MAX:
                    raise StoreError(f"a path is longer than {PATH_MAX} bytes: {os.fsdecode(called[:60])!r}...")
                item = _item(fd, called, seen)
                if item is None:
                    continue
                yield item
                if item.entry.kind == DIRECTORY and os.fstat(fd).st_dev not in not_into:
                    above.append((os.fstat(here), path, names))
                    _move(here, fd)
                    path, names = item.entry.name, _names(here)
            finally:
                os.close(fd)
        if not above:
            return
        status, path, names = above.pop()
        _move(here, here, b"..")
        if not os.path.samestat(status, os.fstat(here)):
            raise StoreError("directories were moved while they were read", hint="try again, or pause the container")


def _names(directory: int) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(directory)), reverse=True)


def _move(here: int, start: int, name: bytes = b".") -> None:
    there = os.open(name, _LIST, dir_fd=start)
    os.dup2(there, here, inheritable=False)
    os.close(there)


def _item(fd: int, name: bytes, seen: dict[tuple[int, int], bytes]) -> Item | None:
    found = os.fstat(fd)
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    target, size, device = b"", 0, (0, 0)
    if kind == FILE:
        size = found.st_size
        if found.st_nlink > 1:
            target = seen.setdefault((found.st_dev, found.st_ino), name)
            kind, size, target = (FILE, size, b"") if target == name else (LINK, 0, target)
    elif kind == SYMLINK:
        target = os.readlink(b"", dir_fd=fd)
    elif kind in (CHAR, BLOCK_DEVICE):
        device = os.major(found.st_rdev), os.minor(found.st_rdev)
    mode = stat.S_IMODE(found.st_mode)
    attributes = _xattrs(fd) if kind != LINK else None
    entry = Entry(
        kind, name, target, mode, found.st_uid, found.st_gid, found.st_mtime_ns, size, device, attributes, None
    )
    return Item(entry, fd)


def _xattrs(fd: int) -> dict[bytes, bytes] | None:
    path = f"/proc/self/fd/{fd}"  # listxattr(2) refuses an O_PATH descriptor, its name in /proc does not
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
            return None
        raise
    found: dict[bytes, bytes] = {}
    for name in names:
        try:
            found[os.fsencode(name)] = os.getxattr(path, name)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES):
                raise
    return found or None


def portable(items: Iterable[Item]) -> Iterator[Item]:
    """The same, with those extended attributes only that mean the same in every kernel."""
    for item in items:
        yield item._replace(entry=item.entry._replace(xattrs=portable_xattrs(item.entry.xattrs)))


def portable_xattrs(xattrs: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    """File capabilities, ACLs and users' own; no labels of a security module, nothing that overlayfs would obey."""
    kept = {name: value for name, value in (xattrs or {}).items() if _is_portable(name)}
    return kept or None


def _is_portable(name: bytes) -> bool:
    return name == b"security.capability" or (
        name.startswith((b"user.", b"system.posix_acl_")) and not name.startswith(b"user.overlay.")
    )


def archive(items: Iterable[Item]) -> Iterator[bytes]:
    """The tar stream of what was found, in pieces of at most 1 MiB.

    A file that shrinks while it is read is filled up with zeros; of one that grows, what it had when it was found.
    """
    for item in items:
        entry = item.entry
        if entry.kind != FILE or not entry.size:
            yield encode(entry)
            continue
        file = os.open(f"/proc/self/fd/{item.fd}", _READ)
        try:
            pieces = _pieces(file, entry.size)
            yield encode(entry._replace(sparse=pieces))
            for offset, length in pieces if pieces is not None else [(0, entry.size)]:
                yield from _content(file, offset, length)
            if rest := padding(sum(length for _, length in pieces) if pieces is not None else entry.size):
                yield rest  # an empty piece would mean the end
        finally:
            os.close(file)
    yield END


def _pieces(file: int, size: int) -> list[tuple[int, int]] | None:
    """The pieces of a file between its holes (lseek(2), SEEK_DATA); None if leaving those out is hardly worth it."""
    if size - os.fstat(file).st_blocks * 512 < _HOLES_MIN:
        return None
    pieces: list[tuple[int, int]] = []
    end = 0
    try:
        while end < size and len(pieces) < _PIECES_MAX:
            start = os.lseek(file, end, os.SEEK_DATA)
            end = min(os.lseek(file, start, os.SEEK_HOLE), size)
            if start >= size:
                return pieces
            pieces.append((start, end - start))
    except OSError as error:
        if error.errno != errno.ENXIO:  # that is: there are no more data
            return None
        return pieces
    return pieces if end >= size else None


def _content(file: int, offset: int, length: int) -> Iterator[bytes]:
    end = offset + length
    while offset < end:
        piece = os.pread(file, min(end - offset, _PIECE), offset) or bytes(min(end - offset, _PIECE))
        offset += len(piece)
        yield piece
