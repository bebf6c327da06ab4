"""``pyc cp``: copy files into a container and out of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from pycontainer.cli import Session, declare, human
from pycontainer.cli.declare import echo
from pycontainer.engine import copy
from pycontainer.errors import UsageError

_PIECE = 1 << 20


@declare.command(
    "cp", help="Copy files: CONTAINER:PATH to PATH, or the reverse; '-' is a tar archive on stdin or stdout."
)
@declare.option("-a", "--archive", "keep", is_flag=True, help="Keep owners; out of a container also setuid and devices")
@declare.option("-L", "--follow-link", "follow", is_flag=True, help="If the source is a symbolic link, copy its target")
@declare.option("-q", "--quiet", is_flag=True, help="Don't say how much was copied, even on a terminal")
@declare.argument("source")
@declare.argument("target")
@declare.pass_obj
def command(session: Session, /, source: str, target: str, keep: bool, follow: bool, quiet: bool) -> None:
    """Copy files."""
    from_container, from_path = split(source)
    to_container, to_path = split(target)
    if bool(from_container) == bool(to_container):
        raise UsageError(
            "copying between containers is not supported" if from_container else "one of the two must be CONTAINER:PATH"
        )
    roots = session.roots
    if target == "-":
        _refuse_terminal(sys.stdout.fileno(), "write an archive to")
        for piece in copy.get_archive(roots, from_container, from_path, follow=follow):
            _write(piece)
        return
    if source == "-":
        _refuse_terminal(sys.stdin.fileno(), "read an archive from")
        done = copy.put_archive(roots, to_container, to_path, _stdin())
    elif to_container:
        done = copy.copy_in(roots, to_container, from_path, to_path, keep=keep, follow=follow)
    else:
        done = copy.copy_out(roots, from_container, from_path, to_path, keep=keep, follow=follow)
    for name in done.left_out:
        echo(f"pyc: left out the device {name!r}: -a makes devices", err=True)
    if not quiet and sys.stdout.isatty():
        echo(f"Successfully copied {human.size(done.size)} to {target}", err=True)


def split(text: str) -> tuple[str, str]:
    """``CONTAINER:PATH`` as two; a path of the host has no container: one that is absolute or begins with a dot."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith((".", "/")):
        return "", text
    return container, path or "/"


def _refuse_terminal(fd: int, what: str) -> None:
    if os.isatty(fd):
        raise UsageError(f"refusing to {what} a terminal", hint="redirect it")


def _stdin() -> Iterator[bytes]:
    while piece := os.read(0, _PIECE):
        yield piece


def _write(piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(1, view) :]
