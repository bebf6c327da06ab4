"""The compressions a layer may have: none, gzip, zstd, told by the first bytes and not by what the manifest claims.

The diff ID proves afterwards that the right thing came out. Memory stays bounded whatever goes in: output comes
in pieces, and ``limit`` stops a bomb.
"""

from __future__ import annotations

from collections.abc import Iterator

from pycontainer.errors import LayerError

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after one byte 0x50 to 0x5f: RFC 8878, 3.1.2
UNPACKED_MAX = 512 << 30
"""Bytes that no layer may unpack to."""
_PIECE = 1 << 20
_ZSTD_WINDOW_MAX = 1 << 27


def decompress(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The decompressed stream, in pieces of at most 1 MiB or as they came.

    Args:
        chunks: the compressed bytes.
        limit: how many bytes may come out.

    Raises:
        LayerError: damaged, cut, or larger than ``limit``.
    """
    head = b""
    while len(head) < 4 and (chunk := next(chunks, b"")):
        head += chunk
    source = _prepend(head, chunks)
    if head.startswith(_GZIP):
        pieces = _gunzip(source)
    elif head.startswith(_ZSTD) or (head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50):
        pieces = _unzstd(source)
    else:
        pieces = source
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise LayerError(
                f"the layer unpacks to more than {limit >> 20} MiB, which its compressed size can't explain"
            )
        yield piece


def _prepend(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from chunks


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """All members of a gzip stream (RFC 1952, 2.2); zeros may follow the last."""
    from isal import igzip_lib  # twice to three times the speed of zlib

    def member() -> igzip_lib.IgzipDecompressor:
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    engine, between = member(), False
    try:
        for chunk in chunks:
            data = chunk
            while True:
                if between:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    engine, between = member(), False
                if piece := engine.decompress(data, _PIECE):
                    yield piece
                if engine.eof:
                    data, between = engine.unused_data, True
                elif engine.needs_input:
                    break
                else:
                    data = b""
    except (igzip_lib.IsalError, EOFError) as error:  # type: ignore[misc]  # the stub calls the class an instance
        raise LayerError(f"the layer is not valid gzip: {error}") from None
    if not between:
        raise LayerError("the layer's gzip stream ends too early")


class _Reader:
    """A file-like face for an iterator."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int) -> bytes:
        return next(self._chunks, b"")


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """All frames of a zstd stream, skippable ones passed over (zstd:chunked ends with one). No dictionaries."""
    import zstandard  # 9 ms

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
    reader = decompressor.stream_reader(_Reader(chunks), read_across_frames=True)  # type: ignore[arg-type]
    try:
        while piece := reader.read(_PIECE):
            yield piece
    except zstandard.ZstdError as error:
        raise LayerError(f"the layer is not valid zstd: {error}") from None
