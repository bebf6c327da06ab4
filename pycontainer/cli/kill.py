"""``pyc kill``."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.cli.verbs import names, signal
from pycontainer.engine.stop import kill


@declare.command("kill", help="Send a signal to the first process of containers.")
@declare.option("-s", "--signal", "sign", type=signal, default="SIGKILL", help="Which one (default KILL)")
@names
@declare.pass_obj
def command(session: Session, /, names: tuple[str, ...], sign: str) -> int:
    """Signal them."""

    def do(name: str) -> None:
        kill(session.roots, name, sign)
        echo(name)

    return for_each(names, do)
