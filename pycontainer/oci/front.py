"""The command line of runc, as engines call it: ``pyc-oci [global options] command [options] [arguments]``.

What may be said to each is in :mod:`pycontainer.oci.words`.
"""

from __future__ import annotations

import os
import sys
from _signal import SIG_IGN, SIGINT, default_int_handler, signal

from pycontainer import __version__, modules
from pycontainer.errors import PycError, UsageError
from pycontainer.oci import log
from pycontainer.oci.state import VERSION, Home
from pycontainer.oci.words import ALIASES, CHECKPOINT, EXEC, GLOBAL, MADE, RESTORE, SHORT, UPDATED, WORDS, parse
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Options = dict[str, Any]


class Command(Record):
    """A command.

    Attributes:
        summary: one line.
        usage: its arguments.
        options: their names -> "" for a switch, "TEXT" or "NUMBER" for those with a value, "LIST" for repeated ones.
        arguments: the least and the most number of them.
        run: the function that does it, and the module of this package that has it.
    """

    summary: str
    usage: str
    options: dict[str, str]
    arguments: tuple[int, int]
    run: str


COMMANDS: dict[str, Command] = {
    "create": Command("Create a container", "ID", MADE, (1, 1), "operations.create"),
    "start": Command("Start a created container", "ID", {}, (1, 1), "operations.start"),
    "run": Command(
        "Create and start a container",
        "ID",
        MADE | {"detach": "", "keep": "", "no-subreaper": ""},
        (1, 1),
        "operations.run",
    ),
    "state": Command("Show the state of a container as JSON", "ID", {}, (1, 1), "operations.state"),
    "kill": Command("Send a signal to a container", "ID [SIGNAL]", {"all": ""}, (1, 2), "operations.kill"),
    "delete": Command("Remove a container that has ended", "ID", {"force": ""}, (1, 1), "operations.delete"),
    "exec": Command("Start another process in a container", "ID [COMMAND ...]", EXEC, (1, 9999), "beyond.exec_"),
    "list": Command("List containers", "", {"format": "TEXT", "quiet": ""}, (0, 0), "beyond.list_"),
    "ps": Command("List the processes of a container", "ID [PS OPTIONS]", {"format": "TEXT"}, (1, 9999), "beyond.ps"),
    "pause": Command("Let a container stand still", "ID", {}, (1, 1), "beyond.pause"),
    "resume": Command("Let a paused container go on", "ID", {}, (1, 1), "beyond.resume"),
    "update": Command("Change the limits of a container", "ID", UPDATED, (1, 1), "beyond.update"),
    "events": Command("Show what a container uses", "ID", {"interval": "TEXT", "stats": ""}, (1, 1), "beyond.events"),
    "spec": Command("Write an example config.json", "", {"bundle": "TEXT", "rootless": ""}, (0, 0), "beyond.spec"),
    "features": Command("Show what this runtime can do", "", {}, (0, 0), "beyond.features"),
    "checkpoint": Command(
        "Write a running container to files, through CRIU", "ID", CHECKPOINT, (1, 1), "beyond.checkpoint"
    ),
    "restore": Command("Make a container again from such files", "ID", RESTORE, (1, 1), "beyond.restore"),
}


# --- the border -------------------------------------------------------------------------------------------------------


def main() -> NoReturn:
    """Run the command line and leave, without the 5 ms in which the interpreter would tidy up its memory."""
    try:
        signal(SIGINT, default_int_handler)
        code = command_line(sys.argv[1:])
        signal(SIGINT, SIG_IGN)
    except KeyboardInterrupt:
        code = 130
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    modules.keep()
    os._exit(code)


def command_line(words: list[str]) -> int:
    """Do what the words say; the exit code is runc's."""
    options: Options = {}
    try:
        options, rest = parse(words, GLOBAL, ALIASES, "")
        log.begin(options)
        for name, known in WORDS.items():
            if options.get(name, known[0]) not in known:
                raise UsageError(f"--{name} {options[name]}: want one of {', '.join(known)}")
        if options.get("version"):
            print(f"pyc-oci version {__version__}\nspec: {VERSION}")
            return 0
        if options.get("help") or not rest or rest[0] in ("help", "h"):
            print(help_text())
            return 0
        command = COMMANDS.get(rest[0])
        if command is None:
            raise UsageError(f"no such command: {rest[0]}", hint="pyc-oci --help lists them")
        return _call(rest[0], command, rest[1:], options)
    except PycError as error:
        log.error(error)
        return 1
    except OSError as error:
        log.error(PycError(f"{error.strerror}: {error.filename or ''}".rstrip(": ").lower()))
        return 1
    except Exception as error:
        _unexpected(error, debug=bool(options.get("debug")))
        return 1


def _unexpected(error: Exception, *, debug: bool) -> None:
    """A mistake of ours; an engine's log gets one line all the same."""
    if debug:
        import traceback

        traceback.print_exception(error)
    said = f"this is a bug: {type(error).__name__}: {error}"
    log.error(PycError(said, hint="pyc-oci --debug shows where it happened; please report it"))


def _call(name: str, command: Command, words: list[str], chosen: Options) -> int:
    known = command.options | {"help": ""}
    options, arguments = parse(words, known, SHORT.get(name, {}) | {"h": "help"}, name)
    if options.get("help"):
        listed = "\n".join(f"   --{option} {kind}".rstrip() for option, kind in known.items())
        print(f"pyc-oci {name} [options] {command.usage}\n\n{command.summary}\n\n{listed}")
        return 0
    least, most = command.arguments
    if (name != "exec" and len(arguments) > most) or len(arguments) < least:
        raise UsageError(f"{name}: want {command.usage or 'no arguments'}, got {len(arguments)} arguments")
    root = chosen.get("root") or default_root()
    module, _, function = command.run.partition(".")
    run: Callable[[Home, Options, list[str]], int]
    run = getattr(__import__(f"pycontainer.oci.{module}", fromlist=[function]), function)
    return run(Home(os.path.join(os.getcwd(), root)), options | {"global": chosen}, arguments)


def default_root() -> str:
    """Where states are kept unless --root says."""
    from pycontainer.oci.caller import in_user_namespace

    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if os.geteuid():
        return (runtime or f"/run/user/{os.geteuid()}") + "/pycontainer/oci"
    if runtime and in_user_namespace() and os.environ.get("USER") != "root":  # one that a user has made
        return runtime + "/pycontainer/oci"
    return "/run/pycontainer/oci"


def help_text() -> str:
    """All commands and global options."""
    commands = "\n".join(f"   {name:11} {command.summary}" for name, command in COMMANDS.items())
    listed = "\n".join(f"   --{option} {kind}".rstrip() for option, kind in GLOBAL.items())
    return f"pyc-oci [global options] command [options] [arguments]\n\n{commands}\n\nglobal options:\n{listed}"
