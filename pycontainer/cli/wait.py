"""``pyc wait``."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.cli.verbs import names
from pycontainer.engine.attach import wait


@declare.command("wait", help="Wait until containers have ended, and print their exit codes.")
@names
@declare.pass_obj
def command(session: Session, /, names: tuple[str, ...]) -> int:
    """Wait for one after the other."""
    return for_each(names, lambda name: echo(wait(session.roots, name)))
