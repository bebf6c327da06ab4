"""``pyc rm``: remove containers."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.engine import rm
from pycontainer.errors import NotFound, Unsupported


@declare.command("rm", help="Remove containers, with all that they have written.")
@declare.option("-f", "--force", is_flag=True, help="Kill those that run; don't mind those that are not there")
@declare.option("-v", "--volumes", is_flag=True, help="Remove its volumes without a name too")
@declare.option("-l", "--link", is_flag=True, help="Refused: a link is no thing of its own here")
@declare.argument("names", metavar="CONTAINER...", nargs=-1, required=True)
@declare.pass_obj
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
            echo(f"pyc: {error.message}", err=True)
            return
        echo(name)

    return for_each(names, remove)
