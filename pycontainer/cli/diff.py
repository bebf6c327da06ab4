"""``pyc diff``: what a container has changed."""

from __future__ import annotations

import sys

import click

from pycontainer.cli import Session, listing
from pycontainer.engine.diff import diff


@click.command("diff", help="Show which files a container has Added, Changed and Deleted.")
@click.argument("container")
@click.pass_obj
def command(session: Session, /, container: str) -> None:
    """Show changes."""
    show = listing.printable if sys.stdout.isatty() else str
    for change in diff(session.roots, container):
        click.echo(f"{change.kind} {show(change.path)}")
