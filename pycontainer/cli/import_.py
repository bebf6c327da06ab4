"""``pyc import``: make an image of a root filesystem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.load import opened
from pycontainer.engine import events
from pycontainer.image.platform import Platform
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store


@declare.command("import", help="Make an image of a root filesystem in a tar archive; - reads stdin.")
@declare.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply a Dockerfile instruction"
)
@declare.option("-m", "--message", default="", help="Note this in the image's history")
@declare.option("--platform", default="", metavar="OS/ARCH", help="It is for this os/architecture[/variant]")
@declare.argument("source", metavar="FILE|URL|-")
@declare.argument("name", metavar="[REPOSITORY[:TAG]]", required=False)
@declare.pass_obj
def command(
    session: Session, /, source: str, name: str | None, changes: tuple[str, ...], message: str, platform: str
) -> None:
    """Make an image."""
    from pycontainer.engine.image.import_ import import_root  # +80 ms

    store = Store(session.roots.root)
    reference = Reference.parse(name) if name else None
    wanted = Platform.parse(platform) if platform else None
    with _found(store, source) as fd:
        image = import_root(store, fd, source, reference, changes=changes, message=message, platform=wanted)
    events.tell(session.roots, "image", "import", image.id, name=reference.familiar if reference else image.id)
    echo(image.id)


@contextmanager
def _found(store: Store, source: str) -> Iterator[int]:
    """A descriptor of the archive, wherever it is."""
    if "://" not in source:
        with opened(source) as fd:
            yield fd
        return
    from pycontainer.engine.image.import_ import download

    fd = download(store, source)
    try:
        yield fd
    finally:
        os.close(fd)
