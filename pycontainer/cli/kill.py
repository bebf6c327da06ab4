"""``pyc kill``."""

from __future__ import annotations

import click

from pycontainer.cli import Session
from pycontainer.cli.listing import for_each
from pycontainer.cli.verbs import Signal, names
from pycontainer.engine.stop import kill


@click.command("kill", help="Send a signal to the first process of containers.")
@click.option("-s", "--signal", "sign", type=Signal(), default="SIGKILL", help="Which one (default KILL)")
@names
@click.pass_obj
def command(session: Session, /, names: tuple[str, ...], sign: str) -> int:
    """Signal them."""

    def do(name: str) -> None:
        kill(session.roots, name, sign)
        click.echo(name)

    return for_each(names, do)
