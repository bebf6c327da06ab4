"""``pyc diff``: what a container has changed."""

from __future__ import annotations

import sys

from pycontainer.cli import Session, declare, listing
from pycontainer.cli.declare import echo
from pycontainer.engine.diff import diff


@declare.command("diff", help="Show which files a container has Added, Changed and Deleted.")
@declare.argument("container")
@declare.pass_obj
def command(session: Session, /, container: str) -> None:
    """Show changes."""
    show = listing.printable if sys.stdout.isatty() else str
    for change in diff(session.roots, container):
        echo(f"{change.kind} {show(change.path)}")
