"""``pyc start``."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.cli.verbs import detach_keys, names
from pycontainer.engine.revive import begin
from pycontainer.errors import Unsupported, UsageError


@declare.command("start", help="Start containers that don't run.")
@declare.option("-a", "--attach", is_flag=True, help="Show its output, pass signals on and exit with its exit code")
@declare.option("-i", "--interactive", is_flag=True, help="Connect standard input")
@detach_keys
@declare.option("--checkpoint", default="", metavar="NAME", hidden=True)
@declare.option("--checkpoint-dir", default="", metavar="DIR", hidden=True)
@names
@declare.pass_obj
def command(
    session: Session,
    /,
    names: tuple[str, ...],
    attach: bool,
    interactive: bool,
    keys: bytes,
    checkpoint: str,
    checkpoint_dir: str,
) -> int:
    """Start them."""
    if checkpoint or checkpoint_dir:
        raise Unsupported("--checkpoint is not supported: pycontainer makes no checkpoints yet")
    if attach or interactive:
        if len(names) > 1:
            raise UsageError("only one container can be started with its streams connected")
        return begin(session.roots, names[0], attach=True, stdin=interactive, keys=keys)

    def do(name: str) -> None:
        begin(session.roots, name)
        echo(name)

    return for_each(names, do)
