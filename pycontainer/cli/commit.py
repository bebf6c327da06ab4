"""``pyc commit``: make an image of a container."""

from __future__ import annotations

import click

from pycontainer.cli import Session
from pycontainer.image.reference import Reference


@click.command("commit", help="Make an image of a container: its image, and what it has changed.")
@click.option("-a", "--author", default="", metavar="NAME", help="Who made it, as 'Ada <ada@example.com>'")
@click.option("-c", "--change", multiple=True, metavar="LINE", help="""A line of a Dockerfile, as 'CMD ["sh"]'""")
@click.option("-m", "--message", default="", metavar="TEXT", help="Why, for its history")
@click.option("-p", "--pause/--no-pause", default=True, help="Let the container stand still meanwhile (default)")
@click.argument("container")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False)
@click.pass_obj
def command(
    session: Session,
    /,
    container: str,
    name: str | None,
    author: str,
    change: tuple[str, ...],
    message: str,
    pause: bool,
) -> None:
    """Make an image."""
    from pycontainer.engine.image.commit import commit

    reference = Reference.parse(name) if name else None
    made = commit(session.roots, container, reference, author=author, message=message, change=change, pause=pause)
    click.echo(made.id)
