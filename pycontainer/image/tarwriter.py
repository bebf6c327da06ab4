"""Writing tar headers: ustar where that can say it all, a PAX extended header before it where it can't.

The mirror of tar.py: what it encodes, that reads back as the same :class:`Entry`. The same entry always becomes the
same bytes, so that a layer's digest depends on its files alone. Source: POSIX.1-2017, pax, "ustar Interchange Format".
"""

from __future__ import annotations

from collections.abc import Sequence

from pycontainer.image.tar import DIRECTORY, FILE, Entry
from pycontainer.image.tarfields import BLOCK

END = bytes(2 * BLOCK)
"""What ends an archive."""

_NAME_MAX = 100
_OCTAL_7 = 8**7
_OCTAL_11 = 8**11
_XATTR = b"SCHILY.xattr."


def encode(entry: Entry) -> bytes:
    """The header of an entry, which its content follows, padded by :func:`padding`.

    Of a sparse file the pieces that are stored follow, one directly after the other (GNU tar manual, "PAX Format,
    Version 1.0"). An extended attribute whose name has a ``=`` is left out, as a PAX record can't name it.
    """
    if entry.sparse is not None:
        return _sparse(entry, entry.sparse)
    name = (entry.name or b".") + b"/" if entry.kind == DIRECTORY else entry.name
    return _extended(entry, name) + _ustar(entry, name)


def _sparse(entry: Entry, pieces: list[tuple[int, int]]) -> bytes:
    """The headers of a sparse file, and the map of its pieces, which counts as the beginning of its content."""
    listed = b"".join(b"%d\n" % number for number in (len(pieces), *(number for piece in pieces for number in piece)))
    listed += padding(len(listed))
    stored = entry._replace(
        name=b"GNUSparseFile.0/" + entry.name[:80].replace(b"/", b"_"),
        size=len(listed) + sum(length for _, length in pieces),
        sparse=None,
    )
    real = [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", entry.name),
        (b"GNU.sparse.realsize", b"%d" % entry.size),
    ]
    return _extended(stored, stored.name, real) + _ustar(stored, stored.name) + listed


def padding(size: int) -> bytes:
    """What fills the last block of a content of ``size`` bytes."""
    return bytes(-size % BLOCK)


def _extended(entry: Entry, name: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """The extended header with all that does not fit into the plain one, or nothing."""
    seconds, nanoseconds = divmod(entry.mtime, 10**9)
    records = list(more)
    if len(name) > _NAME_MAX:
        records.append((b"path", name))
    if len(entry.target) > _NAME_MAX:
        records.append((b"linkpath", entry.target))
    if entry.kind == FILE and entry.size >= _OCTAL_11:
        records.append((b"size", b"%d" % entry.size))
    if nanoseconds or not 0 <= seconds < _OCTAL_11:
        records.append((b"mtime", _time(entry.mtime)))
    for key, number in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if number >= _OCTAL_7:
            records.append((key, b"%d" % number))
    for key, value in sorted((entry.xattrs or {}).items()):
        if b"=" not in key:
            records.append((_XATTR + key, value))
    if not records:
        return b""
    data = b"".join(_record(key, value) for key, value in records)
    title = b"PaxHeaders.0/" + name[:80].replace(b"/", b"_")
    own = Entry(b"x", title, b"", 0o644, 0, 0, 0, len(data), (0, 0), None, None)
    return _ustar(own, title) + data + padding(len(data))


def _time(nanoseconds: int) -> bytes:
    sign, rest = (b"-", -nanoseconds) if nanoseconds < 0 else (b"", nanoseconds)
    seconds, fraction = divmod(rest, 10**9)
    return sign + b"%d" % seconds + (b".%09d" % fraction if fraction else b"").rstrip(b"0")


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n``, where LENGTH counts itself too."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def _ustar(entry: Entry, name: bytes) -> bytes:
    size = entry.size if entry.kind in (FILE, b"x") else 0
    block = b"".join(
        (
            name[:_NAME_MAX].ljust(_NAME_MAX, b"\0"),
            _octal(entry.mode, 8),
            _octal(entry.uid if entry.uid < _OCTAL_7 else 0, 8),
            _octal(entry.gid if entry.gid < _OCTAL_7 else 0, 8),
            _octal(size if size < _OCTAL_11 else 0, 12),
            _octal(min(max(entry.mtime // 10**9, 0), _OCTAL_11 - 1), 12),
            b" " * 8,
            entry.kind,
            entry.target[:_NAME_MAX].ljust(_NAME_MAX, b"\0"),
            b"ustar\x0000",
            bytes(64),
            _octal(entry.device[0], 8),
            _octal(entry.device[1], 8),
            bytes(167),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)
