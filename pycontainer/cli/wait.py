"""``pyc wait``."""

from __future__ import annotations

import click

from pycontainer.cli import Session
from pycontainer.cli.listing import for_each
from pycontainer.cli.verbs import names
from pycontainer.engine.visit import wait


@click.command("wait", help="Wait until containers have ended, and print their exit codes.")
@names
@click.pass_obj
def command(session: Session, /, names: tuple[str, ...]) -> int:
    """Wait for one after the other."""
    return for_each(names, lambda name: click.echo(wait(session.roots, name)))
