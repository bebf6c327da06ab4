"""``pyc export``: a container's files as a tar archive."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

from pycontainer.cli import Session, declare
from pycontainer.engine.export import export
from pycontainer.engine.output import whole_file
from pycontainer.errors import StoreError, UsageError


@declare.command("export", help="Write a container's root filesystem as a tar archive, without its volumes.")
@declare.option("-o", "--output", default="", metavar="FILE", help="Write there instead of to stdout")
@declare.argument("container")
@declare.pass_obj
def command(session: Session, /, container: str, output: str) -> None:
    """Write the archive."""
    if not output and sys.stdout.isatty():
        raise UsageError("refusing to write an archive to a terminal", hint="-o FILE, or redirect it")
    pieces = export(session.roots, container)
    first = next(pieces)  # before a file is made: is there such a container?
    try:
        with whole_file(output) if output else nullcontext(1) as fd:
            _write(fd, first)
            for piece in pieces:
                _write(fd, piece)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise StoreError(f"can't write {output or 'to stdout'}: {os.strerror(error.errno or 0).lower()}") from None


def _write(fd: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(fd, view) :]
