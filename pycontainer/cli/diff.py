"""``pyc diff``: what a container has changed."""

from __future__ import annotations

import click

from pycontainer.cli import Session
from pycontainer.engine.diff import diff


@click.command("diff", help="Show which files a container has Added, Changed and Deleted.")
@click.argument("container")
@click.pass_obj
def command(session: Session, /, container: str) -> None:
    """Show changes."""
    for change in diff(session.roots, container):
        click.echo(f"{change.kind} {change.path}")
