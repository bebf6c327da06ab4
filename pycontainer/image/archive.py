"""An image in files: the parts that oci_archive.py and docker_archive.py share.

::

    TarFiles or DirectoryFiles  ->  what the format says about them  ->  Archive, a source of manifests and blobs

An archive comes from anyone. Its files are never unpacked under their names: a table says where in it each begins, and
whatever is not a regular file is not in that table. What is read is bounded, and checked against its digest as if it
came from a registry. A directory is read through its descriptor, without following links.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Protocol

from pycontainer.errors import ImageError, LayerError, StoreError, VerificationError
from pycontainer.image import events
from pycontainer.image.digest import digest_of
from pycontainer.image.events import Listener
from pycontainer.image.manifest import DOCUMENT_MAX, Descriptor
from pycontainer.image.registry import Document
from pycontainer.image.tar import FILE, LINK, SYMLINK, TarReader
from pycontainer.record import Record

_READ = 1 << 20
_ENTRIES_MAX = 100_000
_NAMES_MAX = 16 << 20  # bytes of the names of all entries
_LZMA_MEMORY_MAX = 256 << 20
_EXPANSION_MAX = 100
_EXPANSION_FREE = 1 << 30


class Files(Protocol):
    """Regular files by name, relative and with slashes.

    Attributes:
        what: their place, for messages.
    """

    what: str

    def has(self, name: str) -> bool:
        """True if there is such a file."""

    def size(self, name: str) -> int:
        """Its length; ImageError if it is not there."""

    def pieces(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """Its bytes, from ``offset``."""

    def close(self) -> None:
        """Forget all descriptors."""


def read(files: Files, name: str, limit: int = DOCUMENT_MAX) -> bytes:
    """A small file.

    Raises:
        ImageError: it is not there, or larger than ``limit``.
    """
    if files.size(name) > limit:
        raise ImageError(f"{files.what}: {name} is larger than {limit >> 20} MiB")
    return b"".join(files.pieces(name))


class TarFiles:
    """The regular files of a tar archive, which is a file that we can seek in."""

    def __init__(self, fd: int, what: str, source: Iterator[bytes] | None = None) -> None:
        """Find out where each file begins.

        Args:
            fd: the archive, uncompressed; becomes ours.
            what: its name, for messages.
            source: yields the archive while it is written to ``fd``, if it is not there yet.

        Raises:
            ImageError: not a tar archive, or one that tries something.
        """
        self.what, self._fd = what, fd
        self._table: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        try:
            self._index(chunks(fd) if source is None else source)
        except LayerError as error:
            self.close()
            why = of_archive(error)
            raise ImageError(f"{what} is not an image archive: {why}") from None
        except BaseException:
            self.close()
            raise

    def _index(self, source: Iterator[bytes]) -> None:
        reader, names = TarReader(source), 0
        for number, entry in enumerate(reader):
            names += len(entry.name) + len(entry.target)
            if number >= _ENTRIES_MAX or names > _NAMES_MAX:
                raise ImageError(f"{self.what} has more than {_ENTRIES_MAX} entries, or too long names")
            if entry.kind not in (FILE, LINK, SYMLINK) or entry.sparse is not None:
                continue
            name = os.fsdecode(entry.name)
            if name in self._table or name in self._links:  # two readers could each take another one
                raise ImageError(f"{self.what} has two files called {name!r}")
            target = os.fsdecode(entry.target)
            if entry.kind == FILE:
                self._table[name] = (reader.position, entry.size)
            elif entry.kind == SYMLINK:
                self._links[name] = target
            elif target in self._table:
                self._table[name] = self._table[target]

    def link(self, name: str) -> str:
        """What a symbolic link of the archive points to, as a name in the archive; the name itself if it is none."""
        if name not in self._links:
            return name
        return os.path.normpath(os.path.join(os.path.dirname(name), self._links[name]))

    def has(self, name: str) -> bool:
        """True if there is such a regular file."""
        return name in self._table

    def size(self, name: str) -> int:
        """Its length."""
        return self._find(name)[1]

    def pieces(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """Its bytes, from ``offset``."""
        start, size = self._find(name)
        return chunks(self._fd, start + offset, start + size)

    def _find(self, name: str) -> tuple[int, int]:
        if name in self._links:
            raise ImageError(f"{self.what}: {name} is a link, which is not followed")
        try:
            return self._table[name]
        except KeyError:
            raise ImageError(f"{self.what} has no {_show(name)}") from None

    def close(self) -> None:
        """Close the archive."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class DirectoryFiles:
    """The regular files below a directory; no link in it is followed."""

    def __init__(self, path: str, what: str) -> None:
        """Open the directory; ``what`` is its name for messages.

        Raises:
            ImageError: it can't be opened.
        """
        self.what = what
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ImageError(f"can't open {what}: {(error.strerror or '').lower()}") from None

    def _open(self, name: str) -> int:
        from pycontainer.core.kernel import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

        resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
        try:
            fd = openat2(self._fd, name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, 0, resolve)
        except FileNotFoundError:
            raise ImageError(f"{self.what} has no {_show(name)}") from None
        except OSError as error:
            raise ImageError(f"{self.what}: can't open {name}: {(error.strerror or '').lower()}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ImageError(f"{self.what}: {name} is not a regular file")
        return fd

    def has(self, name: str) -> bool:
        """True if there is such a regular file."""
        with suppress(ImageError):
            os.close(self._open(name))
            return True
        return False

    def size(self, name: str) -> int:
        """Its length."""
        fd = self._open(name)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def pieces(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """Its bytes, from ``offset``."""
        fd = self._open(name)
        try:
            yield from chunks(fd, offset)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the directory."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def chunks(fd: int, start: int = 0, end: int = 1 << 62) -> Iterator[bytes]:
    """A part of a file, without moving its offset, so that threads may share the descriptor."""
    while start < end and (piece := os.pread(fd, min(_READ, end - start), start)):
        yield piece
        start += len(piece)


class Offer(Record):
    """An image that an archive has.

    Attributes:
        descriptor: its manifest or index.
        names: the names that the archive gives it, as they are written there; anything from nothing to nonsense.
    """

    descriptor: Descriptor
    names: tuple[str, ...]


class Archive:
    """A source of images, which reads like a registry. Threads may share it.

    Attributes:
        what: the place it came from, for messages.
        offers: what is in it.
        listener: not used: there is nothing to tell that the reader does not see himself.
    """

    def __init__(
        self, files: Files, offers: tuple[Offer, ...], documents: Mapping[str, Document], blobs: Mapping[str, str]
    ) -> None:
        """Make a source of files.

        Args:
            files: where everything is; becomes ours.
            offers: the images.
            documents: manifests and configs that are not among the files, by digest.
            blobs: names of the files of blobs, by digest; others are at ``blobs/ALGORITHM/HEX``.
        """
        self.what, self.offers = files.what, offers
        self.listener: Listener = events.nobody
        self._files, self._documents, self._blobs = files, documents, blobs
        self._stopped = False

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._files.close()

    def manifest(self, tag_or_digest: str) -> Document:
        """A manifest or index, by its digest.

        Raises:
            ImageError: it is not here. VerificationError: it is not what its digest says.
        """
        if tag_or_digest in self._documents:
            return self._documents[tag_or_digest]
        data = read(self._files, self._name(tag_or_digest))
        found = digest_of(data, tag_or_digest.partition(":")[0])
        if found != tag_or_digest:
            raise VerificationError(f"{self.what}: manifest {tag_or_digest} has digest {found}")
        promised = next((offer.descriptor for offer in self.offers if offer.descriptor.digest == found), None)
        if promised and promised.size != len(data):
            raise VerificationError(f"{self.what}: manifest {found} has {len(data)} bytes, not {promised.size}")
        return Document(data, promised.media_type if promised else "", found)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob, as many as its descriptor says; the caller checks the digest.

        Raises:
            ImageError: it is not here. VerificationError: it is longer or shorter.
        """
        if document := self._documents.get(descriptor.digest):
            yield document.data[offset:]
            return
        name = self._name(descriptor.digest)
        if self._files.size(name) != descriptor.size:
            raise VerificationError(
                f"{self.what}: {name} has {self._files.size(name)} bytes, not the {descriptor.size} promised"
            )
        left = descriptor.size - offset
        for piece in self._files.pieces(name, offset):
            if self._stopped:
                raise ImageError("reading the archive was given up")
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise VerificationError(f"{self.what}: {name} changed while it was read")

    def _name(self, digest: str) -> str:
        return self._blobs.get(digest) or blob_name(digest)

    def close(self) -> None:
        """Make readers in other threads fail soon; the files are closed when the block ends."""
        self._stopped = True


def of_archive(error: LayerError) -> str:
    """What the reader of layers says, of an archive."""
    return error.message.replace("the layer's", "its", 1).replace("the layer", "it", 1)


def blob_name(digest: str) -> str:
    """Where an image layout has a blob (image-spec, image-layout.md)."""
    return f"blobs/{digest.replace(':', '/')}"


def _show(name: str) -> str:
    return repr(name[:200])


# ---- from what a user gives us to a tar archive that we can seek in


def open_tar(fd: int, what: str, scratch: str) -> TarFiles:
    """The files of a tar archive, whatever it comes through and however it is compressed.

    Args:
        fd: the archive; stays the caller's.
        what: its name, for messages.
        scratch: a directory for what must be copied before we can seek in it: a pipe, or something compressed.

    Raises:
        ImageError: not an archive. StoreError: the disk is full.
    """
    seekable = stat.S_ISREG(os.fstat(fd).st_mode)
    head = os.pread(fd, 8, 0) if seekable else b""
    if seekable and not compression_of(head):
        return TarFiles(os.dup(fd), what)
    copy = spool(scratch)
    source = decompressed(chunks(fd) if seekable else from_pipe(fd), disk_limit(scratch))
    return TarFiles(copy, what, written(copy, source))


def from_pipe(fd: int) -> Iterator[bytes]:
    """Everything that comes through a pipe, which may as well hold more than 64 KiB at a time."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _READ)
    while piece := os.read(fd, _READ):
        yield piece


def spool(scratch: str) -> int:
    """A new file without a name, which vanishes with its last descriptor."""
    try:
        return os.open(scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"can't make a file in {scratch}: {error.strerror}") from None


def written(fd: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Everything, once it has been written to a file."""
    for piece in pieces:
        view = memoryview(piece)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError as error:
            raise StoreError(f"can't write a copy of the archive: {error.strerror}") from None
        yield piece


def write_all(fd: int, pieces: Iterator[bytes], room: int) -> None:
    """Write everything to a file. Raises StoreError if that is more than ``room`` bytes."""
    size = 0
    for piece in written(fd, pieces):
        size += len(piece)
        if size > room:
            raise _no_room(room)


def _no_room(room: int) -> StoreError:
    why = f"the archive holds more than the {room >> 20} MiB that the disk can spare"
    return StoreError(why, hint="'pyc system prune' makes room")


def disk_limit(path: str) -> int:
    """How much may be written there, so that somebody else's next write does not fail."""
    disk = os.statvfs(path)
    return max(0, disk.f_bavail * disk.f_frsize * 9 // 10)


_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}


def compression_of(head: bytes) -> str:
    """How a file is compressed, from its first six bytes: gzip, zstd, bzip2 or xz; "" if it is not."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


def peek(packed: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of a stream, enough to know what it is, and all of it."""
    head = b""
    while len(head) < 8 and (piece := next(packed, b"")):
        head += piece
    return head, chain([head] if head else [], packed)


def decompressed(packed: Iterator[bytes], room: int) -> Iterator[bytes]:
    """The content of an archive that is plain or compressed with gzip, zstd, bzip2 or xz, told by its first bytes.

    Raises:
        LayerError: damaged, cut, or larger than its compressed size can explain. StoreError: larger than ``room``.
    """
    from pycontainer.image.compression import UNPACKED_MAX, decompress

    size = result = 0
    head, packed = peek(packed)

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in packed:
            size += len(piece)
            yield piece

    compression = compression_of(head)
    source = _old_compression(counted(), compression) if compression in ("bzip2", "xz") else counted()
    for piece in decompress(source, UNPACKED_MAX):
        result += len(piece)
        if result > room:
            raise _no_room(room)
        if result > _EXPANSION_MAX * size + _EXPANSION_FREE:
            raise LayerError(f"the layer unpacks to more than {result >> 20} MiB, from {size >> 10} KiB")
        yield piece


def _old_compression(packed: Iterator[bytes], compression: str) -> Iterator[bytes]:
    """All streams of bzip2 or xz, which no layer uses, but people who pack archives by hand do."""
    import bz2
    import lzma

    def fresh() -> bz2.BZ2Decompressor | lzma.LZMADecompressor:
        if compression == "bzip2":
            return bz2.BZ2Decompressor()
        return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_MAX)

    engine = fresh()
    try:
        for chunk in packed:
            data = chunk
            while data or not (engine.eof or engine.needs_input):
                if engine.eof:
                    data = data.lstrip(b"\0")  # xz pads its streams with zeros
                    if not data:
                        break
                    engine = fresh()
                if piece := engine.decompress(data, _READ):
                    yield piece
                data = engine.unused_data if engine.eof else b""
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise LayerError(f"the layer is damaged: {error}") from None
    if not engine.eof:
        raise LayerError("the layer's compressed stream ends too early")
