"""What the commands for one or several containers have in common."""

from __future__ import annotations

from collections.abc import Callable

import click

from pycontainer.cli import Session
from pycontainer.cli.listing import for_each
from pycontainer.engine.keys import DEFAULT, parse
from pycontainer.engine.options import Roots
from pycontainer.errors import UsageError
from pycontainer.oci.grammar.signals import signal_name

names = click.argument("names", metavar="CONTAINER...", nargs=-1, required=True)
name = click.argument("name", metavar="CONTAINER")


class Signal(click.ParamType):  # type: ignore[type-arg]  # generic in its newest version only
    """``TERM``, ``SIGTERM`` or ``15``, as a name."""

    name = "signal"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raise UsageError for what is no signal."""
        try:
            return signal_name(value)
        except UsageError as error:
            raise UsageError(f"invalid signal {value!r}: {error.message}") from None


class Keys(click.ParamType):  # type: ignore[type-arg]
    """``ctrl-p,ctrl-q``, as the bytes that a terminal sends."""

    name = "keys"

    def convert(self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Raise UsageError for what is no sequence of keys."""
        return value if isinstance(value, bytes) else parse(value)


detach_keys = click.option(
    "--detach-keys",
    "keys",
    type=Keys(),
    default=parse(DEFAULT),
    metavar="KEYS",
    help="What to type to leave it running",
)


def for_several(title: str, help: str, action: Callable[[Roots, str], object]) -> click.Command:
    """A command that does the same to each container named, and prints its name."""

    @click.command(title, help=help)
    @names
    @click.pass_obj
    def command(session: Session, /, names: tuple[str, ...]) -> int:
        def do(name: str) -> None:
            action(session.roots, name)
            click.echo(name)

        return for_each(names, do)

    return command
