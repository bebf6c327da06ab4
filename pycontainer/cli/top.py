"""``pyc top``: the processes in a container."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import printable, tabulate
from pycontainer.engine.top import top


@declare.command(
    "top",
    help="Show the processes in a container; PS OPTIONS are those of ps(1), -ef by default.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@declare.argument("name", metavar="CONTAINER")
@declare.argument("options", metavar="[PS OPTIONS]", nargs=-1)
@declare.pass_obj
def command(session: Session, /, name: str, options: tuple[str, ...]) -> None:
    """Print a table as docker does."""
    found = top(session.roots, name, options)
    rows = [[printable(cell) for cell in row] for row in found.rows]
    for line in tabulate([list(found.titles), *rows], narrowest=20):
        echo(line.rstrip())
