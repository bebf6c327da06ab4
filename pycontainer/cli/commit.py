"""``pyc commit``: make an image of a container."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.image.reference import Reference


@declare.command("commit", help="Make an image of a container: its image, and what it has changed.")
@declare.option("-a", "--author", default="", metavar="NAME", help="Who made it, as 'Ada <ada@example.com>'")
@declare.option("-c", "--change", multiple=True, metavar="LINE", help="""A line of a Dockerfile, as 'CMD ["sh"]'""")
@declare.option("-m", "--message", default="", metavar="TEXT", help="Why, for its history")
@declare.option("-p", "--pause/--no-pause", default=True, help="Let the container stand still meanwhile (default)")
@declare.argument("container")
@declare.argument("name", metavar="[REPOSITORY[:TAG]]", required=False)
@declare.pass_obj
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
    echo(made.id)
