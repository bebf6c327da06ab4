"""``pyc rename``."""

from pycontainer.cli import Session, declare
from pycontainer.engine.rename import rename


@declare.command("rename", help="Give a container another name.")
@declare.argument("container")
@declare.argument("new_name")
@declare.pass_obj
def command(session: Session, /, container: str, new_name: str) -> None:
    """Rename it."""
    rename(session.roots, container, new_name)
