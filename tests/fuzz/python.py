"""What reads a layer's bytes and a registry's words, fed by atheris: ``python -m tests.fuzz.python TARGET [OPTIONS]``.

Whatever the input, the answer is a value or one error of ours, in a line that a terminal shows as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["pycontainer.image", "pycontainer.jsontext"]):
    from pycontainer.errors import LayerError, PycError
    from pycontainer.image import auth, failures, manifest, registry
    from pycontainer.image.compression import decompress
    from pycontainer.image.manifest import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
    from pycontainer.image.reference import Reference
    from pycontainer.image.tar import TarReader
    from pycontainer.image.tarfields import BLOCK, NAME_MAX, PATH_MAX
    from pycontainer.image.transport import web_address

UNPACKED = 1 << 20
LONGEST = 3000  # characters of an error


def check_error(error: PycError) -> None:
    for text in (error.message, error.hint):
        assert len(text) <= LONGEST and text.isprintable(), repr(text[: LONGEST + 100])


# --- layers -----------------------------------------------------------------------------------------------------------


def layer(data: bytes) -> None:
    """The first byte says how the rest is cut into chunks: both ways of cutting it must read the same."""
    if not data:
        return
    size = data[0] % 64 * 16 + 1
    unpacked = b""
    try:
        for piece in decompress(_cut(data[1:], size), UNPACKED):
            unpacked += piece
    except LayerError as error:
        check_error(error)  # and what came before that is read all the same
    assert len(unpacked) <= UNPACKED
    archive = _with_checksums(unpacked)
    assert _read(iter([archive])) == _read(_cut(archive, size))


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _with_checksums(archive: bytes) -> bytes:
    """What the fuzzer tries would end at the first checksum, and reach nothing behind it."""
    blocks = bytearray(archive)
    for at in range(0, len(blocks) - BLOCK + 1, BLOCK):
        if blocks[at + 257 : at + 262] == b"ustar":
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % sum(blocks[at : at + BLOCK])
    return bytes(blocks)


def _read(chunks: Iterator[bytes]) -> list[object]:
    """Everything that is in it, up to the error that ends it."""
    found: list[object] = []
    try:
        reader = TarReader(chunks)
        for entry in reader:
            _check_name(entry.name)
            assert 0 <= entry.mode <= 0o7777 and entry.size >= 0 and 0 <= entry.uid < 2**32 - 1
            stored = sum(map(len, reader.content()))
            assert stored == (entry.size if entry.sparse is None else sum(length for _, length in entry.sparse))
            found.append((entry, stored))
    except LayerError as error:
        check_error(error)
        found.append(error.message)
    return found


def _check_name(name: bytes) -> None:
    assert len(name) <= PATH_MAX and not name.startswith(b"/") and b"\0" not in name
    parts = name.split(b"/") if name else []
    assert all(0 < len(part) <= NAME_MAX and part not in (b".", b"..") for part in parts)


# --- what a registry says ---------------------------------------------------------------------------------------------


class Response:
    """As much of an answer as its headers take."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers, self.url, self.status_code, self.reason = headers, "https://registry.example/v2/x", 200, "OK"


BLOB = Descriptor("application/vnd.oci.image.layer.v1.tar", "sha256:" + "a" * 64, 1000)


def _headers(text: str) -> None:
    answer: registry.Response = Response(dict.fromkeys(
        ("Retry-After", "Content-Range", "Content-Length", "Link", "WWW-Authenticate"), text
    ))  # type: ignore[assignment]  # fmt: skip
    waits = failures.retry_after(answer)
    assert waits is None or isinstance(waits, float)
    for judge in (registry._check_range, registry._check_length):  # type: ignore[attr-defined]
        with suppress(PycError):
            judge(answer, *((BLOB, 100) if judge is registry._check_range else (BLOB,)))
    web_address(registry._next_page(text), answer.url)


def _challenge(text: str) -> None:
    scheme, fields = auth.parse_challenge(text)
    assert scheme in ("", "basic", "bearer")
    web_address(fields.get("realm", ""))


READERS: list[Callable[[bytes], object]] = [
    lambda data: manifest.parse_document(data, ""),
    lambda data: manifest.parse_document(data, OCI_MANIFEST),
    lambda data: manifest.parse_document(data, DOCKER_MANIFEST),
    lambda data: manifest.parse_document(data, OCI_INDEX),
    lambda data: manifest.parse_document(data, DOCKER_INDEX),
    manifest.parse_config,
    lambda data: auth.read_token(data, "registry.example"),
    lambda data: _challenge(data.decode("latin-1")),
    lambda data: _headers(data.decode("latin-1")),
    lambda data: Reference.parse(data.decode("utf-8", "replace")),
]


def words(data: bytes) -> None:
    """The first byte says who reads the rest."""
    if not data:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except PycError as error:
        check_error(error)


TARGETS = {"layer": layer, "registry": words}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
