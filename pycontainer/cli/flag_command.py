"""Commands made of a table of flags, as :mod:`pycontainer.cli.declare` has those made of declarations."""

from __future__ import annotations

from pycontainer.cli import Session, exec
from pycontainer.cli import ps as listed
from pycontainer.cli.flags import Flags, with_help
from pycontainer.cli.run import HELP, start
from pycontainer.cli.run_flags import FLAGS
from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import click


class FlagCommand:
    """A command whose options are a :class:`Flags` table; it is called with the session and all its arguments."""

    def __init__(self, name: str, flags: Flags, usage: str, help: str, start: Callable[[Session, list[str]], int]):
        """Keep what the command ``name`` is made of; ``usage`` names its arguments."""
        self.name, self.flags, self.usage, self.help, self.start = name, flags, usage, help, start

    def call(self, session: Session, args: list[str]) -> int | None:
        """Do it, and return the exit code; None if its help is asked for. Raises PycError."""
        try:
            wants_help = self.flags.parse(args)[0].get("help")
        except UsageError as error:
            raise with_help(error, self.name) from None
        return None if wants_help else self.start(session, args)

    def click(self) -> click.Command:
        """The same command as one of click's."""
        from pycontainer.cli.front import FlagHelp

        return FlagHelp(self)


run = FlagCommand("run", FLAGS, "IMAGE [COMMAND] [ARG...]", HELP, start)
ps = FlagCommand("ps", listed.FLAGS, "", listed.HELP, listed.start)
enter = FlagCommand("exec", exec.FLAGS, "CONTAINER COMMAND [ARG...]", exec.HELP, exec.start)
