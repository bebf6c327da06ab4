"""The click front: a table of commands, each imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from pycontainer.cli import GLOBAL, Session
from pycontainer.cli.flags import Flags
from pycontainer.errors import PycError, Unsupported, UsageError
from pycontainer.oci.grammar.words import boolean
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


COMMANDS: dict[str, tuple[Any, str]] = {
    "run": ("flag_command:run", "Create a container from an image and run it"),
    "create": ("create", "Create a container without starting it"),
    "exec": ("flag_command:enter", "Run one more command in a container that runs"),
    "start": ("start", "Start containers that don't run"),
    "stop": ("stop", "Ask containers to end, and kill those that don't"),
    "restart": ("stop:restart", "Stop containers and start them again"),
    "kill": ("kill", "Send a signal to the first process of containers"),
    "wait": ("wait", "Wait until containers have ended"),
    "pause": ("pause", "Let every process of containers stand still"),
    "unpause": ("pause:unpause", "Let paused containers go on"),
    "attach": ("attach", "Connect this terminal to a container that runs"),
    "logs": ("logs", "Show what a container has written"),
    "top": ("top", "Show the processes in a container"),
    "stats": ("stats", "Show what containers use, as it changes"),
    "update": ("update", "Change the limits and the restart policy of containers"),
    "port": ("port", "Show a container's published ports"),
    "rename": ("rename", "Give a container another name"),
    "ps": ("flag_command:ps", "List containers"),
    "cp": ("cp", "Copy files into a container and out of it"),
    "commit": ("commit", "Make an image of a container"),
    "diff": ("diff", "Show what a container has changed"),
    "export": ("export", "Write a container's files as a tar archive"),
    "rm": ("rm", "Remove containers"),
    "pull": ("pull", "Download an image from a registry"),
    "push": ("push", "Send an image to a registry"),
    "login": ("login", "Log in to a registry"),
    "logout": ("login:logout", "Log out from a registry"),
    "search": ("search", "Search a registry, or list the tags of a repository"),
    "save": ("save", "Write images into an archive"),
    "load": ("load", "Bring images from an archive"),
    "import": ("import_", "Make an image of a root filesystem in an archive"),
    "images": ("images", "List images"),
    "history": ("history", "Show how an image came to be"),
    "rmi": ("rmi", "Remove images"),
    "tag": ("tag", "Give an image another name"),
    "events": ("events", "Show what happens, or has happened"),
    "inspect": ("inspect", "Show all that is known about a thing of any kind"),
    "info": ("info", "Show what pycontainer makes of this host"),
    "version": ("version", "Show the version"),
}
"""name -> (module of this package, with ":attribute" when it is not ``command``, or a table below; summary)"""

COMMANDS |= {
    "container": (
        {
            "run": COMMANDS["run"],
            "exec": COMMANDS["exec"],
            **{
                verb: COMMANDS[verb]
                for verb in "create start stop restart kill wait pause unpause attach logs top stats update".split()
            },
            "rename": COMMANDS["rename"],
            "port": COMMANDS["port"],
            "ls": COMMANDS["ps"],
            "cp": COMMANDS["cp"],
            "commit": COMMANDS["commit"],
            "diff": COMMANDS["diff"],
            "export": COMMANDS["export"],
            "rm": COMMANDS["rm"],
            "inspect": ("inspect:of_containers", "Show all that is known about containers"),
            "prune": ("prune:containers", "Remove the containers that don't run"),
        },
        "The commands about containers",
    ),
    "image": (
        {
            "ls": COMMANDS["images"],
            "pull": COMMANDS["pull"],
            "push": COMMANDS["push"],
            "save": COMMANDS["save"],
            "load": COMMANDS["load"],
            "import": COMMANDS["import"],
            "rm": COMMANDS["rmi"],
            "tag": COMMANDS["tag"],
            "history": COMMANDS["history"],
            "inspect": ("inspect:of_images", "Show all that is known about images"),
            "exists": ("inspect:image_exists", "Tell by the exit code whether an image is here"),
            "prune": ("prune:images", "Remove the images that nobody uses"),
        },
        "The commands about images",
    ),
    "network": (
        {
            "create": ("network:create", "Make a network"),
            "ls": ("network:ls", "List networks"),
            "inspect": ("inspect:of_networks", "Show all that is known about networks"),
            "connect": ("network:connect", "Connect a container to a network"),
            "disconnect": ("network:disconnect", "Take a container out of a network"),
            "rm": ("network:rm", "Remove networks"),
            "prune": ("network:prune", "Remove the networks that no container is in"),
            "reload": ("network:reload", "Repair bridges and packet filter"),
        },
        "The commands about networks, which connect containers",
    ),
    "volume": (
        {
            "create": ("volume:create", "Make a volume"),
            "ls": ("volume:ls", "List volumes"),
            "inspect": ("inspect:of_volumes", "Show all that is known about volumes"),
            "rm": ("volume:rm", "Remove volumes"),
            "prune": ("volume:prune", "Remove the volumes that no container has"),
        },
        "The commands about volumes, which outlive containers",
    ),
    "manifest": (
        {
            "create": ("manifest:create", "Make a list of images"),
            "annotate": ("manifest:annotate", "Say what an image of a list is for"),
            "inspect": ("manifest:inspect", "Show a list or a manifest"),
            "push": ("manifest:push", "Send a list to its registry"),
            "rm": ("manifest:rm", "Forget lists"),
        },
        "The commands about names that serve several platforms",
    ),
    "system": (
        {
            "info": COMMANDS["info"],
            "check": ("check", "Verify what is on disk, and mend it"),
            "df": ("df", "Show what takes how much space"),
            "events": COMMANDS["events"],
            "boot": ("boot", "Start what restart policies say, as after a boot"),
            "halt": ("boot:halt", "End all containers, as before a shutdown"),
            "prune": ("prune:system", "Remove everything that nobody uses"),
        },
        "The commands about this host",
    ),
}

ALIASES = {"list": "ls", "ps": "ls", "remove": "rm"}

_BUILD = "images are not built here; 'pyc pull' and 'pyc load' take what other tools have built, as an archive too"
_MANY = "pycontainer runs containers one by one, on one host"
REFUSED = {
    "build": _BUILD,
    "builder": _BUILD,
    "buildx": _BUILD,
    "compose": _MANY,
    "swarm": _MANY,
    "service": _MANY,
    "checkpoint": "pycontainer makes no checkpoints yet",
    "context": "there is no daemon to choose; --root and --runroot choose the state",
    "plugin": "drivers of networks and volumes are part of pycontainer",
    "trust": "images are verified by digest only",
}
"""Groups and commands of docker's that are not here, and why."""


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
        command: click.Command = getattr(import_module("pycontainer.cli." + module), attribute or "command")
        return command

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
    """Call the command that ``args`` begin with.

    Raises PycError, with the exit code that docker has: of all commands only ``run`` tells its own failures, 125, from
    those of the program.
    """
    try:
        with pyc.make_context("pyc", args, obj=session) as ctx:
            status = pyc.invoke(ctx)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        message = error.format_message()
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "pyc"
        raise UsageError(message[:1].lower() + message[1:].rstrip("."), hint=f"see '{where} --help'") from None
    except PycError as error:
        if error.exit_code == 125 and "run" not in args[:2] and not isinstance(error, UsageError):
            error.exit_code = 1
        raise
    return status if isinstance(status, int) else 0


def complete() -> None:
    """Answer a shell that asks for completions."""
    pyc.main(prog_name="pyc")
