"""``pyc tag``: give an image another name."""

from __future__ import annotations

import click

from pycontainer.cli import Session
from pycontainer.errors import InvalidReference
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store


@click.command("tag", help="Give the image SOURCE the name TARGET as well.")
@click.argument("source")
@click.argument("target")
@click.pass_obj
def command(session: Session, /, source: str, target: str) -> None:
    """Give an image another name."""
    name = Reference.parse(target)
    if name.digest:
        raise InvalidReference(f"{target}: a tag can't have a digest")
    Store(session.roots.root).tag(source, name)
