"""Sparse files in tar archives: which pieces of a file are stored, in the four formats that there are.

Source: GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

import struct

from pycontainer.errors import LayerError
from pycontainer.image.tarfields import BLOCK, EXTENDED_MAX, SIZE_MAX, decimal, digits, number, show
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.tar import Stream

_SPARSE_MAX = 1 << 16
_ITEM = struct.Struct("12s12s")


def read(
    stream: Stream,
    block: bytes,
    kind: bytes,
    name: bytes,
    size: int,
    extended: dict[bytes, bytes],
    sparse_map: list[tuple[int, int]] | None,
) -> tuple[bytes, int, list[tuple[int, int]], int]:
    """Name, real size, map and stored size of a sparse file, whichever of the four formats it is in."""
    if kind not in b"S0":
        raise LayerError(f"entry {show(name)} of type {kind!r} can't be sparse")
    if kind == b"S":
        real_size, pairs = number(block[483:495], "size"), _old(stream, block)
    else:
        name = extended.get(b"GNU.sparse.name", name)
        if b"GNU.sparse.major" in extended:
            version = extended[b"GNU.sparse.major"], extended.get(b"GNU.sparse.minor")
            if version != (b"1", b"0"):
                raise LayerError(f"sparse format {version} is unknown")
            real_size = decimal(extended, b"GNU.sparse.realsize", -1)
            pairs, used = _pax_1_0(stream, size)
            size -= used
        else:
            real_size = decimal(extended, b"GNU.sparse.size", -1)
            pairs = sparse_map if sparse_map is not None else _pax_0_1(extended)
    if not 0 <= real_size < SIZE_MAX:
        raise LayerError(f"sparse file {show(name)} has an impossible size: {real_size}")
    end = stored = 0
    for offset, length in pairs:
        if offset < end or length < 0 or offset + length > real_size:
            raise LayerError(f"sparse file {show(name)} has a map that is unordered or reaches beyond its end")
        end, stored = offset + length, stored + length
    if stored != size:
        raise LayerError(f"sparse file {show(name)} stores {size} bytes but its map says {stored}")
    return name, real_size, pairs, size


def _old(stream: Stream, block: bytes) -> list[tuple[int, int]]:
    """Old GNU: four pieces in the header, then blocks of 21 more while a flag says so."""
    pairs, more = _items(block[386:482]), block[482]
    while more:
        block = stream.take(BLOCK)
        if len(block) < BLOCK or len(pairs) > _SPARSE_MAX:
            raise LayerError("a sparse file has a map that is cut or too long")
        pairs += _items(block[:504])
        more = block[504]
    return pairs


def _items(data: bytes) -> list[tuple[int, int]]:
    items = []
    for offset, length in _ITEM.iter_unpack(data):
        if not offset.strip(b" \0"):
            break
        items.append((number(offset, "sparse map"), number(length, "sparse map")))
    return items


def pax_0_0(records: list[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
    """PAX 0.0: the same two keys repeated for every piece."""
    offsets = [digits(value, "sparse map") for key, value in records if key == b"GNU.sparse.offset"]
    lengths = [digits(value, "sparse map") for key, value in records if key == b"GNU.sparse.numbytes"]
    if len(offsets) != len(lengths) or len(offsets) > _SPARSE_MAX:
        raise LayerError("a sparse file has a map that is cut or too long")
    return list(zip(offsets, lengths, strict=True))


def _pax_0_1(extended: dict[bytes, bytes]) -> list[tuple[int, int]]:
    """PAX 0.1: one comma-separated list."""
    text = extended.get(b"GNU.sparse.map", b"")
    numbers = [digits(each, "sparse map") for each in text.split(b",")] if text else []
    if len(numbers) % 2 or len(numbers) > 2 * _SPARSE_MAX:
        raise LayerError("a sparse file has a map that is cut or too long")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _pax_1_0(stream: Stream, size: int) -> tuple[list[tuple[int, int]], int]:
    """PAX 1.0: decimal numbers on lines of their own, before the content, padded to a block."""
    lines: list[bytes] = []
    text, used, wanted = b"", 0, 1
    while len(lines) < wanted:
        if used + BLOCK > size + (-size % BLOCK) or used > 2 * EXTENDED_MAX:
            raise LayerError("a sparse file has a map that is cut or too long")
        text += stream.take(BLOCK)
        used += BLOCK
        *whole, text = text.split(b"\n")
        lines += whole
        if len(text) > BLOCK and len(lines) < wanted:
            raise LayerError("a sparse file has a map with a line too long")
        if lines and wanted == 1:
            count = digits(lines[0], "sparse map")
            if count > _SPARSE_MAX:
                raise LayerError(f"a sparse file has a map of {count} pieces")
            wanted = 1 + 2 * count
    numbers = [digits(line, "sparse map") for line in lines[1:wanted]]
    return list(zip(numbers[::2], numbers[1::2], strict=True)), used
