"""The ``pyc`` command: a table of commands, the global options, and the border where errors become messages.

Importing a command costs time, so ``--help`` imports none of them and ``run`` imports only itself.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from pycontainer import __version__
from pycontainer.engine.options import Roots
from pycontainer.errors import PycError, UsageError

COMMANDS: dict[str, tuple[Any, str]] = {
    "run": ("run", "Create a container from an image and run it"),
    "ps": ("ps", "List containers"),
    "rm": ("rm", "Remove containers"),
    "pull": ("pull", "Download an image from a registry"),
    "images": ("images", "List images"),
    "rmi": ("rmi", "Remove images"),
    "tag": ("tag", "Give an image another name"),
    "inspect": ("inspect", "Show all that is known about containers and images"),
    "info": ("info", "Show what pycontainer makes of this host"),
    "version": ("version", "Show the version"),
}
"""name -> (module of this package, with ":attribute" when it is not ``command``; summary)"""

COMMANDS |= {
    "container": (
        {
            "run": COMMANDS["run"],
            "ls": COMMANDS["ps"],
            "rm": COMMANDS["rm"],
            "inspect": ("inspect:of_containers", "Show all that is known about containers"),
        },
        "The commands about containers",
    ),
    "image": (
        {
            "ls": COMMANDS["images"],
            "pull": COMMANDS["pull"],
            "rm": COMMANDS["rmi"],
            "tag": COMMANDS["tag"],
            "inspect": ("inspect:of_images", "Show all that is known about images"),
        },
        "The commands about images",
    ),
    "system": ({"info": COMMANDS["info"]}, "The commands about this host"),
}

ALIASES = {"list": "ls", "ps": "ls", "remove": "rm"}


class Session(NamedTuple):
    """What the global options say, for every command."""

    roots: Roots
    debug: bool


class Commands(click.Group):
    """A group that knows its commands by name and summary, and imports one when it is called."""

    def __init__(self, name: str, table: dict[str, tuple[Any, str]], **attrs: Any) -> None:
        """Make the group ``name`` of ``table``."""
        super().__init__(name, **attrs)
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
            return Commands(name, target, help=summary + ".")
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(import_module("pycontainer.cli." + module), attribute or "command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with."""
        command = self.get_command(ctx, args[0])
        if command is None:
            raise UsageError(f"unknown command: {ctx.command_path} {args[0]}", hint=f"see '{ctx.command_path} --help'")
        return args[0], command, args[1:]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options of the group; without any arguments, show the help."""
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])


def _start(ctx: click.Context, root: str | None, runroot: str | None, debug: bool) -> None:
    default = Roots.default()
    ctx.obj = Session(Roots(root or default.root, runroot or default.runroot), debug)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"pyc version {__version__}")
        ctx.exit()


pyc = Commands(
    "pyc",
    COMMANDS,
    callback=click.pass_context(_start),
    help="A container engine that explains itself.",
    context_settings={"help_option_names": ["--help", "-h"]},
    params=[
        click.Option(["--root"], metavar="DIR", help="State that survives a reboot (or PYC_ROOT)"),
        click.Option(["--runroot"], metavar="DIR", help="State that does not (or PYC_RUNROOT)"),
        click.Option(["--debug"], is_flag=True, help="Show the traceback of an unexpected error"),
        click.Option(
            ["--version", "-v"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show the version",
            callback=_version,
        ),
    ],
)


def main() -> NoReturn:
    """Run the command line and leave, without the 3 ms in which the interpreter would tidy up its memory."""
    if "_PYC_COMPLETE" in os.environ:  # a shell asks for completions
        pyc.main(prog_name="pyc")
    status = call(sys.argv[1:])
    os._exit(status)


def call(args: list[str]) -> int:
    """Run one command line and return its exit code, having told stderr about any error."""
    ctx = None
    try:
        ctx = pyc.make_context("pyc", args)
        with ctx:
            status = pyc.invoke(ctx)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as done:
        return _flush(done.exit_code)
    except PycError as error:
        return _flush(_tell(error, ctx))
    except click.ClickException as error:
        message = error.format_message()
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "pyc"
        usage = UsageError(message[:1].lower() + message[1:].rstrip("."), hint=f"see '{path} --help'")
        return _flush(_tell(usage, ctx))
    except (KeyboardInterrupt, click.Abort):
        return _flush(130)  # 128 + SIGINT, as a shell says it
    except BrokenPipeError:
        return _flush(141)  # 128 + SIGPIPE: who reads us had enough
    except Exception as error:
        return _flush(_unexpected(error, ctx))


def _tell(error: PycError, ctx: click.Context | None) -> int:
    print(f"pyc: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  hint     {error.hint}", file=sys.stderr)
    # docker: 125 tells a failure of `run` from a program's own exit code; the other commands say 1
    ours = error.exit_code != 125 or isinstance(error, UsageError)
    return error.exit_code if ours or (ctx and ctx.invoked_subcommand == "run") else 1


_HOST_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE)


def _unexpected(error: Exception, ctx: click.Context | None) -> int:
    if ctx and ctx.params.get("debug"):
        import traceback  # +5 ms, and only with --debug

        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in _HOST_TROUBLE:
        print(f"pyc: {error.filename or 'this host'}: {os.strerror(error.errno).lower()}", file=sys.stderr)
    else:
        print(f"pyc: this is a bug: {type(error).__name__}: {error}", file=sys.stderr)
        print("  hint     pyc --debug shows where it happened; please report it", file=sys.stderr)
    return 125


def _flush(status: int) -> int:
    """Write what is still buffered; nobody may be there to read it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status
