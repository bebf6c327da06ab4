"""What the commands for one or several containers have in common."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.engine.keys import DEFAULT, parse
from pycontainer.engine.options import Roots
from pycontainer.errors import UsageError
from pycontainer.oci.grammar.signals import signal_name
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

names = declare.argument("names", metavar="CONTAINER...", nargs=-1, required=True)
name = declare.argument("name", metavar="CONTAINER")


def signal(text: str) -> str:
    """``TERM``, ``SIGTERM`` or ``15``, as a name. Raises UsageError for what is no signal."""
    try:
        return signal_name(text)
    except UsageError as error:
        raise UsageError(f"invalid signal {text!r}: {error.message}") from None


def keys(text: str | bytes) -> bytes:
    """``ctrl-p,ctrl-q``, as the bytes that a terminal sends. Raises UsageError for what is no sequence of keys."""
    return text if isinstance(text, bytes) else parse(text)


detach_keys = declare.option(
    "--detach-keys",
    "keys",
    type=keys,
    default=parse(DEFAULT),
    metavar="KEYS",
    help="What to type to leave it running",
)


def for_several(title: str, help: str, action: Callable[[Roots, str], object]) -> declare.Command:
    """A command that does the same to each container named, and prints its name."""

    @declare.command(title, help=help)
    @names
    @declare.pass_obj
    def command(session: Session, /, names: tuple[str, ...]) -> int:
        def do(name: str) -> None:
            action(session.roots, name)
            echo(name)

        return for_each(names, do)

    return command
