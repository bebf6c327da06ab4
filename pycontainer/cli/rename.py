"""``pyc rename``."""

import click

from pycontainer.cli import Session
from pycontainer.engine.rename import rename


@click.command("rename", help="Give a container another name.")
@click.argument("container")
@click.argument("new_name")
@click.pass_obj
def command(session: Session, /, container: str, new_name: str) -> None:
    """Rename it."""
    rename(session.roots, container, new_name)
