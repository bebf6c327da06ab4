"""``pyc tag``: give an image another name."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.engine import events
from pycontainer.errors import InvalidReference
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store


@declare.command("tag", help="Give the image SOURCE the name TARGET as well.")
@declare.argument("source")
@declare.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@declare.pass_obj
def command(session: Session, /, source: str, targets: tuple[str, ...]) -> None:
    """Give an image other names."""
    names = [Reference.parse(target) for target in targets]
    for name in names:
        if name.digest:
            raise InvalidReference(f"{name.familiar}: a tag can't have a digest")
    for name in names:
        image = Store(session.roots.root).tag(source, name)
        events.tell(session.roots, "image", "tag", image.id, name=name.familiar)
