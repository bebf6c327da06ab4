"""``cp``: files into a container and out of it, in whatever state it is.

Both ways are one pipe: a tree is packed into a tar stream (image/pack.py), which is extracted into another tree
(image/extract.py). Nothing in between knows a path of the container as a string of the host: a path is looked up below
the descriptor of the container's root, and no program of the container's takes part. (CVE-2018-15664, CVE-2019-14271,
CVE-2019-10152, CVE-2021-41089, CVE-2026-41567)
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager

from pycontainer.engine import containers, events, filesystem
from pycontainer.errors import Conflict, LayerError, NotFound, StoreError
from pycontainer.image.archive import decompressed, of_archive
from pycontainer.image.extract import IDS, NOBODY, Rules, extract
from pycontainer.image.pack import Item, archive, portable, walk
from pycontainer.record import TYPE_CHECKING, Record
from pycontainer.rootfs.inside import Place, locate, open_inside

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

PSEUDO = frozenset(
    "proc sysfs cgroup cgroup2 devpts mqueue debugfs tracefs securityfs pstore bpf configfs efivarfs".split()
)
"""Filesystems whose files are the kernel's: a copy of a tree has them as empty directories."""

_NO_LIMIT = 1 << 50
_READ_IT = "pyc exec CONTAINER cat PATH shows what it says"


class Copied(Record):
    """What was copied.

    Attributes:
        size: bytes of the archive that went through the pipe.
        left_out: names of device nodes that were not made.
    """

    size: int
    left_out: tuple[str, ...]


def copy_out(
    roots: Roots, name_or_id: str, path: str, target: str, *, keep: bool = False, follow: bool = False
) -> Copied:
    """Copy a file or a tree from a container to the host.

    Args:
        path: in the container; one that ends in ``/.`` is the content of a directory.
        target: on the host, a directory to copy into or the name that the copy shall have.
        keep: the files keep their owners, setuid bits and capabilities, and devices are made; else they are the
            caller's.
        follow: if ``path`` is a symbolic link, copy what it leads to.

    Raises:
        NotFound: no such container or file. Conflict, StoreError: it can't be put there.
    """
    container = containers.find(roots, name_or_id)
    owner = None if keep else (os.geteuid(), os.getegid())
    with _opened("/") as host, _source(roots, container, path, follow=follow) as source:
        where = os.fsencode(os.path.join(os.getcwd(), target))
        with _destination(host, where, source, target) as (base, called):
            pieces = _Counted(archive(portable(_walk(source, called, container))))
            done = extract(base, b".", pieces, Rules(owner, links_lead=False, powers=keep))
    events.write(roots, "archive-path", container, path=path)
    return Copied(pieces.size, done.left_out)


def copy_in(
    roots: Roots, name_or_id: str, source: str, path: str, *, keep: bool = False, follow: bool = False
) -> Copied:
    """Copy a file or a tree from the host into a container.

    Args:
        source: on the host; one that ends in ``/.`` is the content of a directory.
        path: in the container, a directory to copy into or the name that the copy shall have.
        keep: the files keep their owners; else they are root's.
        follow: if ``source`` is a symbolic link, copy what it leads to.

    Raises:
        NotFound: no such container or file. Conflict, StoreError: it can't be put there.
    """
    container = containers.find(roots, name_or_id)
    owner = None if keep else (0, 0)
    with _opened("/") as host:
        where = os.fsencode(os.path.join(os.getcwd(), source))
        with (
            _find(host, where, follow, f"no such file or directory: {source}") as found,
            filesystem.live(roots, container, path, write=True) as (root, inside),
            _target(root, inside, found, path) as (base, called),
        ):
            pieces = _Counted(archive(portable(_walk(found, called))))
            users = filesystem.base_of(container)
            done = extract(root, base, pieces, Rules(owner, links_lead=True, powers=True, base=users))
    events.write(roots, "extract-to-dir", container, path=path)
    return Copied(pieces.size, done.left_out)


def get_archive(roots: Roots, name_or_id: str, path: str, *, follow: bool = False) -> Iterator[bytes]:
    """A file or a tree of a container as a tar stream; its names begin with the last one of ``path``.

    Raises NotFound.
    """
    container = containers.find(roots, name_or_id)
    with _source(roots, container, path, follow=follow) as source:
        yield from archive(portable(_walk(source, source.called, container)))


def put_archive(roots: Roots, name_or_id: str, path: str, chunks: Iterator[bytes]) -> Copied:
    """Extract a tar stream, plain or compressed with gzip, zstd, bzip2 or xz, into a directory of a container.

    Raises:
        NotFound: no such container or directory. Conflict: that is no directory. LayerError: the stream is no archive.
    """
    container = containers.find(roots, name_or_id)
    with filesystem.live(roots, container, path, write=True) as (root, inside):
        _need_directory(root, inside, f"{container.name}:{path}")
        pieces = _Counted(decompressed(chunks, _NO_LIMIT))  # in this process, never by a program of the container's
        try:
            users = filesystem.base_of(container)
            done = extract(root, inside, pieces, Rules(None, links_lead=True, powers=True, base=users))
        except LayerError as error:
            raise LayerError(f"the archive can't be used: {of_archive(error)}") from None
    return Copied(pieces.size, done.left_out)


# --- where from -------------------------------------------------------------------------------------------------------


class _Found(Record):
    """What is to be copied: where it is, and the name that it has by itself; "" for the content of a directory."""

    place: Place
    called: bytes


@contextmanager
def _source(roots: Roots, container: Container, path: str, *, follow: bool) -> Iterator[_Found]:
    problem = f"could not find the file {path} in container {container.name}"
    with filesystem.live(roots, container, path) as (root, inside), _find(root, inside, follow, problem) as found:
        yield found


@contextmanager
def _find(root: int, path: bytes, follow: bool, problem: str) -> Iterator[_Found]:
    """Look a path up; ``problem`` is what to say if nothing is there."""
    try:
        place = locate(root, path, follow=follow)
    except FileNotFoundError:
        raise NotFound(problem) from None
    except OSError as error:
        raise NotFound(f"{problem}: {_why(error)}") from None
    with closing(place):
        if place.status is None:
            raise NotFound(problem)
        content = path.endswith(b"/.") or path.strip(b"/") in (b"", b".")
        yield _Found(place, b"" if content else os.path.basename(path.rstrip(b"/")))


def _walk(found: _Found, called: bytes, container: Container | None = None) -> Iterator[Item]:
    kernels = _pseudo_devices(container.pid) if container and container.pid else frozenset()
    if (status := found.place.status) and status.st_dev in kernels and stat.S_ISREG(status.st_mode):
        raise Conflict(f"{os.fsdecode(found.called)} is the kernel's, not a file that can be copied", hint=_READ_IT)
    items = walk(found.place.parent, found.place.name, called, not_into=kernels)
    base = filesystem.base_of(container) if container else 0
    return _as_seen_inside(items, base) if base else items


def _as_seen_inside(items: Iterator[Item], base: int) -> Iterator[Item]:
    """With the owners that a user namespace shows; those that it has no id for are nobody there."""
    for item in items:
        uid, gid = (one - base if 0 <= one - base < IDS else NOBODY for one in (item.entry.uid, item.entry.gid))
        yield item._replace(entry=item.entry._replace(uid=uid, gid=gid))


def _pseudo_devices(pid: int) -> frozenset[int]:
    """Device numbers of the kernel's own filesystems among a process's mounts (proc_pid_mountinfo(5))."""
    found = set()
    with open(f"/proc/{pid}/mountinfo", errors="surrogateescape") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if after.split(" ", 1)[0] in PSEUDO:
                major, _, minor = before.split(" ")[2].partition(":")
                found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


# --- where to ---------------------------------------------------------------------------------------------------------


@contextmanager
def _target(root: int, path: bytes, source: _Found, shown: str) -> Iterator[tuple[bytes, bytes]]:
    """The path of the directory to extract into, and the name for what is copied; by the rules of ``docker cp``."""
    with closing(_look_up(root, path, shown)) as place:
        called = _name_there(place, path, source, shown)
        yield place.above + b"/" + place.name if place.is_directory else place.above, called


@contextmanager
def _destination(root: int, path: bytes, source: _Found, shown: str) -> Iterator[tuple[int, bytes]]:
    """The same as a descriptor, which nothing in the archive can lead out of."""
    with closing(_look_up(root, path, shown)) as place:
        called = _name_there(place, path, source, shown)
        if not place.is_directory:
            yield place.parent, called
            return
        fd = os.open(place.name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.parent)
        try:
            yield fd, called
        finally:
            os.close(fd)


def _look_up(root: int, path: bytes, shown: str) -> Place:
    try:
        return locate(root, path.rstrip(b"/") or b"/", follow=True)
    except FileNotFoundError:
        raise NotFound(f"no such directory: {os.path.dirname(shown) or shown}") from None
    except OSError as error:
        raise StoreError(f"can't copy to {shown}: {_why(error)}") from None


def _name_there(place: Place, path: bytes, source: _Found, shown: str) -> bytes:
    """The name of what is copied in the directory it goes to; b"" if only the content of a directory is."""
    if place.is_directory:
        return source.called
    if place.status is not None and source.place.is_directory:
        raise Conflict(f"can't copy a directory over the file {shown}")
    if path.endswith((b"/", b"/.")) and not source.place.is_directory:
        raise NotFound(f"no such directory: {shown}")
    return place.name


def _need_directory(root: int, path: bytes, shown: str) -> None:
    try:
        os.close(open_inside(root, path))
    except FileNotFoundError:
        raise NotFound(f"no such directory: {shown}") from None
    except OSError as error:
        raise Conflict(f"{shown} is no directory to extract into: {_why(error)}") from None


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


# --- the pipe ---------------------------------------------------------------------------------------------------------


class _Counted:
    """The pieces of a stream, and how many bytes they were."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self.size = pieces, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.size += len(piece)
        return piece


def _why(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
