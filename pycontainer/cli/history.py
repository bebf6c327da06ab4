"""``pyc history``: how an image came to be."""

from __future__ import annotations

from pycontainer.cli import Session, declare, human, listing
from pycontainer.cli.images import moment, of_platform
from pycontainer.engine.image.history import Step, history
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
MISSING = "<missing>"


@declare.command("history", help="Show how an image came to be, the last step first.")
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, table TEMPLATE or TEMPLATE")
@declare.option("-H", "--human/--no-human", "readable", default=True, help="Sizes and times for people (default)")
@declare.option("--no-trunc", is_flag=True, help="Don't shorten")
@declare.option("--platform", default="", metavar="OS/ARCH", help="Want the image for this os/architecture[/variant]")
@declare.option("-q", "--quiet", is_flag=True, help="Show IDs only")
@declare.argument("image")
@declare.pass_obj
def command(
    session: Session, /, image: str, form: str, readable: bool, no_trunc: bool, platform: str, quiet: bool
) -> None:
    """Show the steps."""
    found = of_platform(Store(session.roots.root).find(image), (platform,) if platform else (), image)
    rows = [row(step, readable=readable, short=not no_trunc) for step in history(found)]
    created = "{{.CreatedSince}}" if readable else "{{.CreatedAt}}"
    listing.write(
        rows,
        HEADERS,
        f"{{{{.ID}}}}\t{created}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}",
        form or ("{{.ID}}" if quiet else ""),
    )


def row(step: Step, *, readable: bool, short: bool) -> dict[str, Any]:
    """One step as the fields of ``--format``."""
    by, comment = (text.replace("\t", " ").replace("\n", " ") for text in (step.created_by, step.comment))
    image_id = (human.short_id(step.image_id) if short else step.image_id) or MISSING
    return {
        "ID": image_id,
        "CreatedSince": human.ago(moment(step.created)),
        "CreatedAt": step.created or "N/A",
        "CreatedBy": human.ellipsis(by, 45) if short else by,
        "Size": human.size(step.size) if readable else str(step.size),
        "Comment": comment,
    }
