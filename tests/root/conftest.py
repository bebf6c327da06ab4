"""What the tests of a running container share."""

from __future__ import annotations

from typing import Protocol

import pytest

from tests.support.cli import Pyc, Result


class Run(Protocol):
    """``run("--option", ..., command=("true",), stdin="")``: a container of busybox, removed when it has ended."""

    def __call__(self, *options: str, command: tuple[str, ...] = ..., stdin: str | bytes = ...) -> Result: ...


@pytest.fixture
def run(stocked: Pyc, image: str) -> Run:
    def do(*options: str, command: tuple[str, ...] = ("true",), stdin: str | bytes = b"") -> Result:
        return stocked("run", "--rm", *options, image, *command, stdin=stdin)

    return do
