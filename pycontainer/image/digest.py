"""Digests: what bytes are called by (image-spec, descriptor.md), computed and checked. hashlib costs 4 ms to import."""

from __future__ import annotations

from pycontainer.errors import VerificationError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_PIECE = 1 << 20


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of some bytes."""
    import hashlib

    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def digest_of_file(path: str, algorithm: str = "sha256") -> str:
    """The digest of a file's content. Raises OSError."""
    import hashlib

    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def verified(pieces: Iterable[bytes], digest: str, what: str) -> Generator[bytes, None, None]:
    """The same pieces; they end only if their digest is right.

    Args:
        what: what they are, as in "layer ... unpacks to diff ID", for the error.

    Raises:
        VerificationError: it is another one.
    """
    import hashlib

    hasher = hashlib.new(digest.partition(":")[0])
    for piece in pieces:
        hasher.update(piece)
        yield piece
    found = f"{hasher.name}:{hasher.hexdigest()}"
    if found != digest:
        raise VerificationError(f"{what} {found}, not {digest}")


def pieces_of(path: str) -> Iterator[bytes]:
    """The content of a file, a MiB at a time. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece
