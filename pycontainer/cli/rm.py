"""``pyc rm``: remove containers."""

from __future__ import annotations

import click

from pycontainer.cli import Session
from pycontainer.cli.listing import for_each
from pycontainer.engine import rm
from pycontainer.errors import NotFound, Unsupported


@click.command("rm", help="Remove containers, with all that they have written.")
@click.option("-f", "--force", is_flag=True, help="Kill those that run; don't mind those that are not there")
@click.option("-v", "--volumes", is_flag=True, help="Remove its volumes without a name too")
@click.option("-l", "--link", is_flag=True, help="Refused: a link is no thing of its own here")
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True)
@click.pass_obj
def command(session: Session, /, names: tuple[str, ...], force: bool, volumes: bool, link: bool) -> int:
    """Remove containers."""
    if link:
        raise Unsupported(
            "--link is not supported: a link is no thing of its own here; 'pyc network disconnect' ends it"
        )

    def remove(name: str) -> None:
        try:
            rm.remove(session.roots, name, force=force, volumes=volumes)
        except NotFound as error:
            if not force:
                raise
            click.echo(f"pyc: {error.message}", err=True)
            return
        click.echo(name)

    return for_each(names, remove)
