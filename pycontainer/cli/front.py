"""The click front: what is asked when there is something to talk about, which is help, completion and mistakes."""

from __future__ import annotations

from importlib import import_module

import click

from pycontainer.cli import GLOBAL, Session, out
from pycontainer.cli.commands import ALIASES, COMMANDS, REFUSED
from pycontainer.cli.flags import Flags, too_few
from pycontainer.errors import PycError, Unsupported, UsageError
from pycontainer.oci.grammar.words import boolean
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.cli import declare
    from pycontainer.cli.flag_command import FlagCommand


class Commands(click.Group):
    """A group that knows its commands by name and summary, and imports one when it is called."""

    def __init__(self, name: str, table: dict[str, tuple[Any, str]], help: str) -> None:
        """Make the group ``name`` of ``table``."""
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import what ``name`` stands for."""
        name = name if name in self.table else ALIASES.get(name, name)
        if name not in self.table:
            return None
        target, summary = self.table[name]
        if isinstance(target, dict):
            return Commands(name, target, summary + ".")
        module, _, attribute = target.partition(":")
        command: declare.Command | FlagCommand
        command = getattr(import_module("pycontainer.cli." + module), attribute or "command")
        return command.click()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with."""
        command = self.get_command(ctx, args[0])
        if command is None:
            raise self._unknown(ctx.command_path, args[0])
        return args[0], command, plain_switches(command, args[1:])

    def _unknown(self, path: str, name: str) -> PycError:
        if name in REFUSED:
            return Unsupported(f"{f'{path} {name}'.removeprefix('pyc ')} is not supported: {REFUSED[name]}")
        from difflib import get_close_matches  # +3 ms, and only after a mistake

        close = get_close_matches(name, self.table, 1)
        hint = f"did you mean {path} {close[0]}?" if close else f"see '{path} --help'"
        return UsageError(f"unknown command: {path} {name}", hint=hint)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options of the group; without any arguments, show the help."""
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])


def plain_switches(command: click.Command, args: list[str]) -> list[str]:
    """``--force=true`` and ``--pause=false``, as docker takes them, in the words that click has for them."""
    plain: dict[str, tuple[str, str]] = {}
    for option in command.params:
        if isinstance(option, click.Option) and option.is_flag:
            plain |= {name: (name, next(iter(option.secondary_opts), "")) for name in option.opts}
    result: list[str] = []
    for number, arg in enumerate(args):
        if arg == "--":
            return result + args[number:]
        name, equals, text = arg.partition("=")
        if equals and name in plain:
            on, off = plain[name]
            arg = on if boolean(text) else off
        if arg or not equals:
            result.append(arg)
    return result


class FlagHelp(click.Command):
    """A command that is made of a table of flags."""

    def __init__(self, command: FlagCommand) -> None:
        """Take its name, its help and what does it."""
        super().__init__(command.name, callback=command.start, help=command.help)
        self.flags, self.usage = command.flags, command.usage

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help, if that is asked for; the rest is the command's to parse."""
        if self.flags.parse(args)[0].get("help"):
            out(ctx.get_help(), now=True)
            ctx.exit()
        ctx.params = {"session": ctx.obj, "args": args}
        return []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what follows the name in ``Usage:``."""
        return ["[OPTIONS]", self.usage]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        write_flags(self.flags, formatter)


class _Pyc(Commands):
    """The whole; its options have been parsed by cli/__init__.py."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the global options and the commands."""
        write_flags(GLOBAL, formatter)
        self.format_commands(ctx, formatter)


pyc = _Pyc("pyc", COMMANDS, "A container engine that explains itself.")


def write_flags(flags: Flags, formatter: click.HelpFormatter) -> None:
    """Write a table of flags, a section after the other, and what is refused at the end."""
    for title, rows in flags.sections.items():
        with formatter.section(title):
            formatter.write_dl([(flag.shown, flag.help) for flag in rows if flag.help])
    reasons: dict[str, list[str]] = {}
    for flag in flags.refused:
        reasons.setdefault(flag.help, []).append(flag.names)
    for reason, names in reasons.items():
        with formatter.section(f"Refused: {reason}") if reason else formatter.indentation():
            formatter.write_text(", ".join(names) if reason else "")


def start(session: Session, args: list[str]) -> int:
    """Call the command that ``args`` begin with. Raises PycError."""
    try:
        with pyc.make_context("pyc", args, obj=session) as ctx:
            status = pyc.invoke(ctx)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        raise _in_our_words(error) from None
    return status if isinstance(status, int) else 0


def _in_our_words(error: click.ClickException) -> UsageError:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx and isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        least = sum(param.required for param in ctx.command.params if isinstance(param, click.Argument))
        usage = " ".join(ctx.command.collect_usage_pieces(ctx))
        return too_few(ctx.command_path.removeprefix("pyc "), least, usage)
    message = error.format_message()
    where = ctx.command_path if ctx else "pyc"
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=f"see '{where} --help'")


def complete() -> None:
    """Answer a shell that asks for completions."""
    pyc.main(prog_name="pyc")
