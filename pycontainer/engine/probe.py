"""A command in a container that runs: put there, the beginning of its output read, killed when it takes too long."""

from __future__ import annotations

from pycontainer.engine.capture import capture
from pycontainer.engine.exec import ExecOptions
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

KEPT = 4096  # bytes of the output, as docker keeps


class Outcome(Record):
    """How the command ended.

    Attributes:
        code: its exit code, 128 + n after signal n, or -1 if it took too long.
        output: the beginning of what it wrote to stdout and stderr.
    """

    code: int
    output: bytes


def probe(roots: Roots, container: Container, argv: tuple[str, ...], timeout: float) -> Outcome:
    """Run ``argv`` in the container as its own program runs. Raises PycError when it can't begin."""
    output = bytearray()

    def keep(_: int, data: bytes) -> None:
        output.extend(data[: KEPT - len(output)])

    ended = capture(roots, container.id, ExecOptions(argv), keep, timeout=timeout)
    return Outcome(-1 if ended.late else ended.code, bytes(output))
