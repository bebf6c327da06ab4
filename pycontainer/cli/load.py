"""``pyc load``: bring images from an archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pycontainer.cli import Session, declare, progress
from pycontainer.cli.declare import echo
from pycontainer.engine import events
from pycontainer.errors import NotFound, UsageError
from pycontainer.image.platform import Platform
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.events import Listener


@declare.command("load", help="Bring all images of an archive, made by docker, podman or pyc save.")
@declare.option(
    "-i", "--input", "source", default="", metavar="FILE", help="Read from a file, or a directory, not stdin"
)
@declare.option("--platform", default="", metavar="OS/ARCH", help="Want the image for this os/architecture[/variant]")
@declare.option("-q", "--quiet", is_flag=True, help="Show only the names")
@declare.pass_obj
def command(session: Session, /, source: str, platform: str, quiet: bool) -> None:
    """Bring images from an archive."""
    from pycontainer.engine.image.archives import load  # +80 ms

    wanted = Platform.parse(platform) if platform else None
    bars = progress.for_stream(sys.stdout)
    listener: Listener | None = None if quiet or not sys.stdout.isatty() else bars
    with opened(source) as fd:
        try:
            loaded = load(
                Store(session.roots.root), fd, source or "the archive on stdin", platform=wanted, progress=listener
            )
        finally:
            bars.close()
    for image, names in loaded:
        for name in names or (None,):
            events.tell(session.roots, "image", "load", image.id, name=name.familiar if name else image.id)
    lines = [f"Loaded image: {name.familiar}" for _, names in loaded for name in names]
    lines += [f"Loaded image ID: {image.id}" for image, names in loaded if not names]
    for line in dict.fromkeys(lines):
        echo(line)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor to read from: a file's, or stdin's."""
    if not path or path == "-":
        if os.isatty(0):
            raise UsageError("there is no archive on stdin: it is a terminal", hint="name a file, or redirect")
        yield 0
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"can't open {path}: {(error.strerror or '').lower()}") from None
    try:
        yield fd
    finally:
        os.close(fd)
