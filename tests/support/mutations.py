"""Documents that went wrong, made from good ones: wrong types and sizes, huge numbers, doubled keys, torn bytes, ..."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any


class Raw:
    """JSON that the encoder could not write: too deep, or too long a number."""

    def __init__(self, text: bytes) -> None:
        self.text = text


STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63) - 1,
    10**4000, Raw(b"1" * 5000), "", " ", "x", "x" * 100_000, "\0", "a\0b", "a\nb", "\r", "\x1b[2J\x07", "\ud800",
    "é\u202e", "../../../etc/passwd", "/", "linux", "amd64", "2", [], {}, [[]], [None], {"": ""},
    [{}] * 5000, ["x"] * 5000, "sha256:", "sha256:" + "a" * 63, "sha256:" + "a" * 65,
    "sha256:" + "A" * 64,
    "sha256:" + "g" * 64, "md5:" + "a" * 32, "sha512:" + "a" * 64, "sha512:" + "a" * 128, "sha256:" + "a" * 64,
    "sha256:../" + "a" * 61,
    "sha256-" + "a" * 64,
    "application/vnd.docker.distribution.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json", "application/octet-stream",
]  # fmt: skip
BYTES = [
    b"null", b"-1", b'""', b"{}", b"[]", b"1e999", b'"\\u0000"', b"NaN", b"Infinity", b"\xff", b"\0", b'"', b"\\", b",",
    b"[" * 200, b"[" * 100_000, b'{"a":' * 50_000, b"\xef\xbb\xbf", b"\\ud800", b"9" * 5000, b" " * 100_000, b"{", b"}",
]  # fmt: skip


def mutate(good: bytes, rng: random.Random) -> bytes:
    """A document that is wrong in one to three ways, or by chance still right."""
    data = good
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(data) > 50_000:
            break
        data = rng.choice((_shape, _shape, _shape, _bytes, _torn, _doubled))(data, rng)
    return data


def _shape(data: bytes, rng: random.Random) -> bytes:
    """Another structure: one node replaced, lost, repeated, nested or renamed."""
    try:
        document = json.loads(data)
        places = list(_places(document))
    except (ValueError, RecursionError):
        return _bytes(data, rng)
    if not places:
        return rng.choice(BYTES)
    holder, key = rng.choice(places)
    operation: Callable[[Any], Any] = rng.choice(
        [
            lambda value: rng.choice(STRANGE),
            lambda value: rng.choice(STRANGE),
            lambda value: [value] * rng.choice((1, 2, 600, 4097)),
            lambda value: {"x": value},
            lambda value: _deep(value, rng.choice((10, 900, 5000))),
            lambda value: value + "x" if isinstance(value, str) else str(value),
            lambda value: value[:-1] if isinstance(value, str | list) else value,
        ]
    )
    how = rng.random()
    if how < 0.75:
        holder[key] = operation(holder[key])
    elif how < 0.9:
        del holder[key]
    elif isinstance(holder, dict):
        holder[rng.choice((key.upper(), key + "\0", "manifests", "layers", "config", "mediaType"))] = holder.pop(key)
    return dump(document)


def _places(value: Any) -> Any:
    """Every (container, key) of a document."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _deep(value: Any, depth: int) -> Any:
    return Raw(b"[" * depth + dump(value) + b"]" * depth)


def dump(document: Any) -> bytes:
    raws: list[bytes] = []

    def default(value: Raw) -> str:
        raws.append(value.text)
        return f"@raw{len(raws) - 1}@"

    text = json.dumps(document, default=default).encode()
    for number, raw in enumerate(raws):
        text = text.replace(f'"@raw{number}@"'.encode(), raw)
    return text


def _bytes(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice([*BYTES, bytes([rng.randrange(256)])]) + data[at + rng.choice((0, 1, 5)) :]


def _torn(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return rng.choice(
        (data[:at], data[at:], data + data, data[:at] + bytes(len(data) - at), data.decode("latin-1").encode("utf-16"))
    )


def _doubled(data: bytes, rng: random.Random) -> bytes:
    """A key that comes twice in one object."""
    starts = [at for at in range(len(data)) if data[at : at + 2] == b'{"']
    if not starts:
        return data
    at = rng.choice(starts)
    end = data.find(b'"', at + 2) + 1
    return (
        data[: at + 1]
        + data[at + 1 : end]
        + b": "
        + rng.choice((b"null", b"1", b'"x"', b"{}"))
        + b", "
        + data[at + 1 :]
    )
