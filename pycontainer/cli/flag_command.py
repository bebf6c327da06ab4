"""A click command made of a table of flags, for its help and for the ways to it that lead through groups."""

from __future__ import annotations

from collections.abc import Callable

import click

from pycontainer.cli import Session, exec
from pycontainer.cli import ps as listed
from pycontainer.cli.flags import Flags
from pycontainer.cli.front import write_flags
from pycontainer.cli.run import HELP, start
from pycontainer.cli.run_flags import FLAGS


class FlagCommand(click.Command):
    """A command whose options are a :class:`Flags` table; it is called with the session and all its arguments."""

    def __init__(self, name: str, flags: Flags, usage: str, help: str, start: Callable[[Session, list[str]], int]):
        """Make the command ``name``; ``usage`` names its arguments."""
        super().__init__(name, callback=start, help=help)
        self.flags, self.usage = flags, usage

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help, if that is asked for; the rest is the command's to parse."""
        if self.flags.parse(args)[0].get("help"):
            click.echo(ctx.get_help())
            ctx.exit()
        ctx.params = {"session": ctx.obj, "args": args}
        return []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what follows the name in ``Usage:``."""
        return ["[OPTIONS]", self.usage]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        write_flags(self.flags, formatter)


run = FlagCommand("run", FLAGS, "IMAGE [COMMAND] [ARG...]", HELP, start)
ps = FlagCommand("ps", listed.FLAGS, "", listed.HELP, listed.start)
enter = FlagCommand("exec", exec.FLAGS, "CONTAINER COMMAND [ARG...]", exec.HELP, exec.start)
