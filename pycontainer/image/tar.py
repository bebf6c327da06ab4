"""A strict reader of tar streams: what is in the archive, one entry after another, and nothing on disk.

Understood: v7 and ustar headers, PAX extended headers (POSIX.1-2017, pax, "pax Interchange Format"), GNU long names,
base-256 numbers and all four sparse formats (GNU tar manual, "Storing Sparse Files"). A layer comes from anyone, so
whatever two readers could understand differently is an error rather than a guess, every length is bounded before it is
used, and names stay bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pycontainer.errors import LayerError
from pycontainer.record import Record

BLOCK = 512
FILE, LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

NAME_MAX = 255
PATH_MAX = 4095
DEPTH_MAX = 1024
_EXTENDED_MAX = 1 << 20
_SPARSE_MAX = 1 << 16
_XATTRS_MAX = 256
_XATTR_VALUE_MAX = 1 << 16
_SIZE_MAX = 1 << 50
_ID_MAX = (1 << 32) - 2  # the one above it means "leave as it is" to chown(2)
_SECONDS_MAX = 1 << 40
_TRAILING_MAX = 1 << 20

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS = bytes(BLOCK)
_USTAR, _GNU, _V7 = b"ustar\x0000", b"ustar  \0", bytes(8)
_SPARSE_ITEM = struct.Struct("12s12s")
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
            kind, size = fields[7], _number(fields[4], "size")
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
        if size > _EXTENDED_MAX:
            raise LayerError(f"an extended header of {size} bytes is larger than {_EXTENDED_MAX}")
        data = self._stream.take(size)
        if len(data) < size:
            raise LayerError("the layer ends in an extended header")
        self._stream.skip(-size % BLOCK)
        if kind in b"LK":
            key = b"path" if kind == b"L" else b"linkpath"
            if key in before:
                raise LayerError("an entry is given two long names")
            return {key: data.partition(b"\0")[0]}, sparse_map
        records = _pax_records(data)
        if kind == b"g":  # what archive/tar of Go, which wrote and reads nearly every layer, does: nothing
            for key, _ in records:
                if key in (b"path", b"linkpath", b"size") or key.startswith((b"GNU.sparse", b"SCHILY.xattr.")):
                    raise LayerError(f"a global header sets {_show(key)} for all entries")
            return {}, sparse_map
        if before.keys() - {b"path", b"linkpath"}:
            raise LayerError("an entry has two extended headers")
        if any(key == b"GNU.sparse.offset" for key, _ in records):
            sparse_map = _sparse_0_0(records)
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
        raw_name, mode, uid, gid, _, mtime, _, _, target, magic, _, _, major, minor, prefix = fields
        name = raw_name.partition(b"\0")[0]
        if magic == _USTAR and prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
        if kind == b"\0":
            kind = DIRECTORY if name.endswith(b"/") else FILE
        elif kind == b"7":  # "contiguous" file, which no file system asks for any more
            kind = FILE
        target = target.partition(b"\0")[0]
        uid_number, gid_number, nanoseconds = _number(uid, "uid"), _number(gid, "gid"), _number(mtime, "mtime") * 10**9
        xattrs: dict[bytes, bytes] | None = None
        if extended:
            name = extended.get(b"path", name)
            target = extended.get(b"linkpath", target)
            size = _decimal(extended, b"size", size)
            uid_number = _decimal(extended, b"uid", uid_number)
            gid_number = _decimal(extended, b"gid", gid_number)
            if b"mtime" in extended:
                nanoseconds = _time(extended[b"mtime"])
            xattrs = _xattrs(extended)
        if uid_number > _ID_MAX or gid_number > _ID_MAX or uid_number < 0 or gid_number < 0:
            raise LayerError(f"entry {_show(name)} has an owner out of range: {uid_number}:{gid_number}")
        if not -_SECONDS_MAX < nanoseconds // 10**9 < _SECONDS_MAX:
            raise LayerError(f"entry {_show(name)} has a time out of range")
        if not 0 <= size < _SIZE_MAX:
            raise LayerError(f"entry {_show(name)} has an impossible size: {size}")
        real_size, sparse = size, None
        if kind == b"S" or sparse_map or (extended and any(key.startswith(b"GNU.sparse.") for key in extended)):
            name, real_size, sparse, size = self._sparse(block, kind, name, size, extended, sparse_map)
            kind = FILE
        if kind != FILE:
            if kind not in _WITHOUT_DATA:
                raise LayerError(f"entry {_show(name)} is of unknown type {kind!r}")
            if size:
                raise LayerError(f"entry {_show(name)} of type {kind!r} comes with data")
        device = (0, 0)
        if kind in (CHAR, BLOCK_DEVICE):
            device = (_number(major, "device number"), _number(minor, "device number"))
        if kind == LINK:
            target = normalise(target)
        elif kind == SYMLINK:
            if not 0 < len(target) <= PATH_MAX or b"\0" in target:
                raise LayerError(f"symlink {_show(name)} has a target of {len(target)} bytes")
        else:
            target = b""
        self._padding = -size % BLOCK
        self._unread = size + self._padding
        return Entry(
            kind,
            normalise(name),
            target,
            _number(mode, "mode") & 0o7777,
            uid_number,
            gid_number,
            nanoseconds,
            real_size if kind == FILE else 0,
            device,
            xattrs,
            sparse,
        )

    def _sparse(
        self,
        block: bytes,
        kind: bytes,
        name: bytes,
        size: int,
        extended: dict[bytes, bytes],
        sparse_map: list[tuple[int, int]] | None,
    ) -> tuple[bytes, int, list[tuple[int, int]], int]:
        """Name, real size, map and stored size of a sparse file, whichever of the four formats it is in."""
        if kind not in (b"S", FILE):
            raise LayerError(f"entry {_show(name)} of type {kind!r} can't be sparse")
        if kind == b"S":
            real_size, pairs = _number(block[483:495], "size"), self._sparse_old(block)
        else:
            name = extended.get(b"GNU.sparse.name", name)
            if b"GNU.sparse.major" in extended:
                version = extended[b"GNU.sparse.major"], extended.get(b"GNU.sparse.minor")
                if version != (b"1", b"0"):
                    raise LayerError(f"sparse format {version} is unknown")
                real_size = _decimal(extended, b"GNU.sparse.realsize", -1)
                pairs, used = self._sparse_1_0(size)
                size -= used
            else:
                real_size = _decimal(extended, b"GNU.sparse.size", -1)
                pairs = sparse_map if sparse_map is not None else _sparse_0_1(extended)
        if not 0 <= real_size < _SIZE_MAX:
            raise LayerError(f"sparse file {_show(name)} has an impossible size: {real_size}")
        end = stored = 0
        for offset, length in pairs:
            if offset < end or length < 0 or offset + length > real_size:
                raise LayerError(f"sparse file {_show(name)} has a map that is unordered or reaches beyond its end")
            end, stored = offset + length, stored + length
        if stored != size:
            raise LayerError(f"sparse file {_show(name)} stores {size} bytes but its map says {stored}")
        return name, real_size, pairs, size

    def _sparse_old(self, block: bytes) -> list[tuple[int, int]]:
        """Old GNU: four pieces in the header, then blocks of 21 more while a flag says so."""
        pairs, more = _sparse_items(block[386:482]), block[482]
        while more:
            block = self._stream.take(BLOCK)
            if len(block) < BLOCK or len(pairs) > _SPARSE_MAX:
                raise LayerError("a sparse file has a map that is cut or too long")
            pairs += _sparse_items(block[:504])
            more = block[504]
        return pairs

    def _sparse_1_0(self, size: int) -> tuple[list[tuple[int, int]], int]:
        """PAX 1.0: decimal numbers on lines of their own, before the content, padded to a block."""
        lines: list[bytes] = []
        text, used, wanted = b"", 0, 1
        while len(lines) < wanted:
            if used + BLOCK > size + (-size % BLOCK) or used > 2 * _EXTENDED_MAX:
                raise LayerError("a sparse file has a map that is cut or too long")
            text += self._stream.take(BLOCK)
            used += BLOCK
            *whole, text = text.split(b"\n")
            lines += whole
            if len(text) > BLOCK and len(lines) < wanted:
                raise LayerError("a sparse file has a map with a line too long")
            if lines and wanted == 1:
                count = _digits(lines[0], "sparse map")
                if count > _SPARSE_MAX:
                    raise LayerError(f"a sparse file has a map of {count} pieces")
                wanted = 1 + 2 * count
        numbers = [_digits(line, "sparse map") for line in lines[1:wanted]]
        return list(zip(numbers[::2], numbers[1::2], strict=True)), used


def _check_header(block: bytes) -> tuple[bytes, ...]:
    """The fields of a header whose checksum and magic are right."""
    if len(block) < BLOCK:
        raise LayerError("the layer ends in the middle of a header")
    fields: tuple[bytes, ...] = _HEADER.unpack(block)
    if not _is_octal(fields[6], sum(block) - sum(fields[6]) + 8 * 32):
        raise LayerError("the layer is not a tar archive, or a header is damaged: wrong checksum")
    if fields[9] not in (_USTAR, _GNU, _V7):
        raise LayerError(f"the layer is in an unknown tar format: magic {fields[9]!r}")
    return fields


def _number(field: bytes, what: str) -> int:
    """An octal number in ASCII, or big-endian base 256 if the top bit is set (GNU)."""
    text = field.strip(b" \0")
    if text.isdigit():
        try:
            return int(text, 8)
        except ValueError:
            pass
    elif not text:
        return 0
    elif field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & (1 << bits) - 1
        value -= (value >> bits - 1) << bits
        if -(1 << 63) <= value < 1 << 63:
            return value
    raise LayerError(f"the layer has a {what} that is not a number: {field!r}")


def _is_octal(field: bytes, number: int) -> bool:
    text = field.strip(b" \0")
    return text.isdigit() and max(text) < ord("8") and int(text, 8) == number


def _digits(text: bytes, what: str) -> int:
    if not text.isdigit() or len(text) > 19:
        raise LayerError(f"the layer has a {what} that is not a number: {_show(text)}")
    return int(text)


def _decimal(extended: dict[bytes, bytes], key: bytes, default: int) -> int:
    return _digits(extended[key], key.decode()) if key in extended else default


def _time(text: bytes) -> int:
    """PAX time: decimal seconds with any number of fractional digits, as nanoseconds."""
    sign = -1 if text.startswith(b"-") else 1
    seconds, point, fraction = text.removeprefix(b"-").partition(b".")
    if point and fraction and not fraction.isdigit():
        raise LayerError(f"the layer has a time that is not a number: {_show(text)}")
    return sign * (_digits(seconds, "time") * 10**9 + int(fraction[:9].ljust(9, b"0")))


def _pax_records(data: bytes) -> list[tuple[bytes, bytes]]:
    """``LENGTH KEY=VALUE\\n`` again and again, where LENGTH counts the whole record."""
    records, at = [], 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        length = data[at:space]
        end = at + int(length) if space > at and length.isdigit() else 0
        equals = data.find(b"=", space, end)
        if not space + 1 < equals < end <= len(data) or data[end - 1] != 10:
            raise LayerError("the layer has a malformed extended header")
        records.append((data[space + 1 : equals], data[equals + 1 : end - 1]))
        at = end
    return records


def _xattrs(extended: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    """The extended attributes among PAX records: star's raw form, and libarchive's base64 one."""
    found: dict[bytes, bytes] = {}
    for key, value in extended.items():
        if key.startswith(b"SCHILY.xattr."):
            found[key[13:]] = value
        elif key.startswith(b"LIBARCHIVE.xattr."):
            name, decoded = _libarchive_xattr(key[17:], value)
            found.setdefault(name, decoded)
    if len(found) > _XATTRS_MAX or any(len(value) > _XATTR_VALUE_MAX for value in found.values()):
        raise LayerError(
            f"an entry has more than {_XATTRS_MAX} extended attributes, or one over {_XATTR_VALUE_MAX} bytes"
        )
    if any(not 0 < len(name) <= NAME_MAX or b"\0" in name for name in found):
        raise LayerError("an extended attribute has an impossible name")
    return found or None


def _libarchive_xattr(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    import base64  # 3 ms; bsdtar wrote the layer
    from urllib.parse import unquote_to_bytes

    try:
        return unquote_to_bytes(name), base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except ValueError:
        raise LayerError(f"extended attribute {_show(name)} is not base64") from None


def _sparse_items(data: bytes) -> list[tuple[int, int]]:
    items = []
    for offset, length in _SPARSE_ITEM.iter_unpack(data):
        if not offset.strip(b" \0"):
            break
        items.append((_number(offset, "sparse map"), _number(length, "sparse map")))
    return items


def _sparse_0_0(records: list[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
    """PAX 0.0: the same two keys repeated for every piece."""
    offsets = [_digits(value, "sparse map") for key, value in records if key == b"GNU.sparse.offset"]
    lengths = [_digits(value, "sparse map") for key, value in records if key == b"GNU.sparse.numbytes"]
    if len(offsets) != len(lengths) or len(offsets) > _SPARSE_MAX:
        raise LayerError("a sparse file has a map that is cut or too long")
    return list(zip(offsets, lengths, strict=True))


def _sparse_0_1(extended: dict[bytes, bytes]) -> list[tuple[int, int]]:
    """PAX 0.1: one comma-separated list."""
    text = extended.get(b"GNU.sparse.map", b"")
    numbers = [_digits(number, "sparse map") for number in text.split(b",")] if text else []
    if len(numbers) % 2 or len(numbers) > 2 * _SPARSE_MAX:
        raise LayerError("a sparse file has a map that is cut or too long")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def normalise(name: bytes) -> bytes:
    """A name relative to the root, without ``.`` and needless slashes; b"" for the root.

    Raises:
        LayerError: empty, with ``..`` or NUL, or longer than the kernel takes.
    """
    clean = name.rstrip(b"/")
    if clean.startswith(b"./"):
        clean = clean[2:]
    if not clean or clean[0] in b"./" or b"//" in clean or b"/." in clean:
        if not name:
            raise LayerError("an entry has an empty name")
        components = [component for component in clean.split(b"/") if component not in (b"", b".")]
        if b".." in components:
            raise LayerError(f"entry {_show(name)} has a .. in its name")
        clean = b"/".join(components)
    if b"\0" in clean:
        raise LayerError(f"entry {_show(name)} has a NUL in its name")
    if len(clean) > NAME_MAX and (
        len(clean) > PATH_MAX or clean.count(b"/") >= DEPTH_MAX or max(map(len, clean.split(b"/"))) > NAME_MAX
    ):
        raise LayerError(f"entry {_show(name)} has a name that is too long or too deep")
    return clean


def _show(name: bytes) -> str:
    """A name from the archive in a message: short, and without control characters."""
    return repr(name[:100].decode("utf-8", "backslashreplace")) + ("..." if len(name) > 100 else "")
