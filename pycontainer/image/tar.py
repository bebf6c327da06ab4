"""A strict reader of tar streams: what is in the archive, one entry after another, and nothing on disk.

Understood: v7 and ustar headers, PAX extended headers (POSIX.1-2017, pax, "pax Interchange Format"), GNU long names,
base-256 numbers (tarfields.py) and all four sparse formats (sparse.py). A layer comes from anyone, so whatever two
readers could understand differently is an error rather than a guess, every length is bounded before it is used, and
names stay bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pycontainer.errors import LayerError
from pycontainer.image import sparse
from pycontainer.image.tarfields import (
    BLOCK,
    EXTENDED_MAX,
    PATH_MAX,
    SIZE_MAX,
    decimal,
    is_octal,
    normalise,
    number,
    pax_records,
    show,
    time_of,
    xattrs_of,
)
from pycontainer.record import Record

FILE, LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

_ID_MAX = (1 << 32) - 2  # the one above it means "leave as it is" to chown(2)
_SECONDS_MAX = 1 << 40
_TRAILING_MAX = 1 << 20

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS = bytes(BLOCK)
_USTAR, _GNU, _V7 = b"ustar\x0000", b"ustar  \0", bytes(8)
_WITHOUT_DATA = (LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO)


class Entry(Record):
    """One file of the archive.

    Attributes:
        kind: FILE, LINK (a further name of a file), SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY or FIFO.
        name: relative path without ``.``, ``..`` or doubled slashes; b"" is the root directory itself.
        target: of a SYMLINK verbatim; of a LINK normalised as ``name`` is.
        mode: the twelve permission bits.
        mtime: nanoseconds since 1970.
        size: bytes of content of a FILE, holes included.
        device: (major, minor) of CHAR and BLOCK_DEVICE.
        xattrs: extended attributes, by their full name.
        sparse: (offset, length) of the pieces of content that are stored, or None if all of it is.
    """

    kind: bytes
    name: bytes
    target: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    device: tuple[int, int]
    xattrs: dict[bytes, bytes] | None
    sparse: list[tuple[int, int]] | None


class Stream:
    """Bytes that arrive in chunks of any size, handed out in pieces of the size asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._view = memoryview(b"")
        self._at = self._before = 0

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes, or fewer at the end of the stream."""
        end = self._at + length
        piece = self._chunk[self._at : end]
        self._at = end
        if len(piece) == length:
            return piece
        pieces, missing = [piece], length - len(piece)
        while missing and self._advance():
            pieces.append(self._chunk[:missing])
            self._at = len(pieces[-1])
            missing -= self._at
        return b"".join(pieces)

    def pieces(self, length: int) -> Iterator[memoryview]:
        """The next ``length`` bytes without copying them; the first piece has 16 bytes, if there are as many.

        Raises:
            LayerError: the stream ends first.
        """
        start, end = self._at, self._at + length
        if end <= len(self._chunk):
            self._at = end
            if length:
                yield self._view[start:end]
            return
        if len(self._chunk) - start < 16:  # a file's magic number must not be split
            first = self.take(min(16, length))
            length -= len(first)
            yield memoryview(first)
        while length:
            if self._at >= len(self._chunk) and not self._advance():
                raise LayerError("the layer ends in the middle of a file")
            piece = self._view[self._at : self._at + length]
            self._at += len(piece)
            length -= len(piece)
            yield piece

    def skip(self, length: int) -> None:
        """Pass over ``length`` bytes."""
        for _ in self.pieces(length):
            pass

    def rest(self) -> Iterator[bytes]:
        """Everything that is left."""
        yield self._chunk[self._at :]
        while self._advance():
            yield self._chunk

    @property
    def position(self) -> int:
        """How many bytes have been handed out."""
        return self._before + self._at

    def _advance(self) -> bool:
        self._before += len(self._chunk)
        self._chunk = next(self._chunks, b"")
        self._view, self._at = memoryview(self._chunk), 0
        return bool(self._chunk)


class TarReader:
    """Iterates over the entries of a tar stream. The content of an entry must be read, if at all, before the next."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._stream = Stream(chunks)
        self._unread = 0  # bytes of this entry's content and padding that nobody has taken
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """The entries, in the order of the archive.

        Raises:
            LayerError: not a tar archive, or one that tries something.
        """
        extended: dict[bytes, bytes] = {}
        sparse_map: list[tuple[int, int]] | None = None
        take = self._stream.take
        while True:
            if self._unread:
                for _ in self.content():
                    pass
            block = take(BLOCK)
            if not block or block == _ZEROS:
                if extended:
                    raise LayerError("the layer ends after an extended header")
                return self._end(block)
            fields = _check_header(block)
            kind, size = fields[7], number(fields[4], "size")
            if kind in b"xgLK":
                records, sparse_map = self._extended(kind, size, extended, sparse_map)
                extended.update(records)
                continue
            yield self._entry(block, fields, kind, size, extended, sparse_map)
            extended, sparse_map = {}, None

    @property
    def position(self) -> int:
        """Where in the archive the content of the entry that was just returned begins."""
        return self._stream.position

    def content(self) -> Iterator[memoryview]:
        """The stored bytes of the entry that was just returned; without the holes, if it is sparse."""
        length, self._unread = self._unread - self._padding, 0
        yield from self._stream.pieces(length)
        if self._padding:
            self._stream.take(self._padding)  # at the very end some writers leave it out, umoci for one

    def _end(self, block: bytes) -> None:
        """Two blocks of zeros end an archive; some writers leave them out, others add more."""
        if not block:
            return
        second = self._stream.take(BLOCK)
        if second and second != _ZEROS:
            raise LayerError("the layer has a lone block of zeros between its entries")
        garbage = 0
        for chunk in self._stream.rest():
            if chunk.count(0) != len(chunk):
                garbage += len(chunk)
                if garbage > _TRAILING_MAX:
                    raise LayerError("the layer goes on after its end")

    def _extended(
        self, kind: bytes, size: int, before: dict[bytes, bytes], sparse_map: list[tuple[int, int]] | None
    ) -> tuple[dict[bytes, bytes], list[tuple[int, int]] | None]:
        """A header that says something about the next entry, as PAX records; the data is read and bounded here."""
        if size > EXTENDED_MAX:
            raise LayerError(f"an extended header of {size} bytes is larger than {EXTENDED_MAX}")
        data = self._stream.take(size)
        if len(data) < size:
            raise LayerError("the layer ends in an extended header")
        self._stream.skip(-size % BLOCK)
        if kind in b"LK":
            key = b"path" if kind == b"L" else b"linkpath"
            if key in before:
                raise LayerError("an entry is given two long names")
            return {key: data.partition(b"\0")[0]}, sparse_map
        records = pax_records(data)
        if kind == b"g":  # what archive/tar of Go, which wrote and reads nearly every layer, does: nothing
            for key, _ in records:
                if key in (b"path", b"linkpath", b"size") or key.startswith((b"GNU.sparse", b"SCHILY.xattr.")):
                    raise LayerError(f"a global header sets {show(key)} for all entries")
            return {}, sparse_map
        if before.keys() - {b"path", b"linkpath"}:
            raise LayerError("an entry has two extended headers")
        if any(key == b"GNU.sparse.offset" for key, _ in records):
            sparse_map = sparse.pax_0_0(records)
        return dict(records), sparse_map

    def _entry(
        self,
        block: bytes,
        fields: tuple[bytes, ...],
        kind: bytes,
        size: int,
        extended: dict[bytes, bytes],
        sparse_map: list[tuple[int, int]] | None,
    ) -> Entry:
        """The entry of a header, with what extended headers said before it. What they say counts."""
        _, mode, uid, gid, _, mtime, _, _, target, _, _, _, major, minor, _ = fields
        name, target = _name(fields), target.partition(b"\0")[0]
        if kind == b"\0":
            kind = DIRECTORY if name.endswith(b"/") else FILE
        elif kind == b"7":  # "contiguous" file, which no file system asks for any more
            kind = FILE
        owner, group, nanoseconds = number(uid, "uid"), number(gid, "gid"), number(mtime, "mtime") * 10**9
        xattrs: dict[bytes, bytes] | None = None
        if extended:
            name = extended.get(b"path", name)
            target = extended.get(b"linkpath", target)
            size = decimal(extended, b"size", size)
            owner, group = decimal(extended, b"uid", owner), decimal(extended, b"gid", group)
            if b"mtime" in extended:
                nanoseconds = time_of(extended[b"mtime"])
            xattrs = xattrs_of(extended)
        _check_numbers(name, owner, group, nanoseconds, size)
        whole, pieces = size, None
        if kind == b"S" or sparse_map or (extended and any(key.startswith(b"GNU.sparse.") for key in extended)):
            name, whole, pieces, size = sparse.read(self._stream, block, kind, name, size, extended, sparse_map)
            kind = FILE
        if kind != FILE:
            _check_without_data(name, kind, size)
        is_device = kind in (CHAR, BLOCK_DEVICE)
        self._padding = -size % BLOCK
        self._unread = size + self._padding
        return Entry(
            kind,
            normalise(name),
            _target(name, kind, target),
            number(mode, "mode") & 0o7777,
            owner,
            group,
            nanoseconds,
            whole if kind == FILE else 0,
            (number(major, "device number"), number(minor, "device number")) if is_device else (0, 0),
            xattrs,
            pieces,
        )


def _name(fields: tuple[bytes, ...]) -> bytes:
    """The name in a header; ustar has the beginning of a long one in a field of its own."""
    name, magic, prefix = fields[0].partition(b"\0")[0], fields[9], fields[14]
    return prefix.partition(b"\0")[0] + b"/" + name if magic == _USTAR and prefix[0] else name


def _check_numbers(name: bytes, owner: int, group: int, nanoseconds: int, size: int) -> None:
    if owner > _ID_MAX or group > _ID_MAX or owner < 0 or group < 0:
        raise LayerError(f"entry {show(name)} has an owner out of range: {owner}:{group}")
    if not -_SECONDS_MAX < nanoseconds // 10**9 < _SECONDS_MAX:
        raise LayerError(f"entry {show(name)} has a time out of range")
    if not 0 <= size < SIZE_MAX:
        raise LayerError(f"entry {show(name)} has an impossible size: {size}")


def _check_without_data(name: bytes, kind: bytes, size: int) -> None:
    if kind not in _WITHOUT_DATA:
        raise LayerError(f"entry {show(name)} is of unknown type {kind!r}")
    if size:
        raise LayerError(f"entry {show(name)} of type {kind!r} comes with data")


def _target(name: bytes, kind: bytes, target: bytes) -> bytes:
    """What a link leads to; the field means nothing to other kinds."""
    if kind == LINK:
        return normalise(target)
    if kind != SYMLINK:
        return b""
    if not 0 < len(target) <= PATH_MAX or b"\0" in target:
        raise LayerError(f"symlink {show(name)} has a target of {len(target)} bytes")
    return target


def _check_header(block: bytes) -> tuple[bytes, ...]:
    """The fields of a header whose checksum and magic are right."""
    if len(block) < BLOCK:
        raise LayerError("the layer ends in the middle of a header")
    fields: tuple[bytes, ...] = _HEADER.unpack(block)
    if not is_octal(fields[6], sum(block) - sum(fields[6]) + 8 * 32):
        raise LayerError("the layer is not a tar archive, or a header is damaged: wrong checksum")
    if fields[9] not in (_USTAR, _GNU, _V7):
        raise LayerError(f"the layer is in an unknown tar format: magic {fields[9]!r}")
    return fields
