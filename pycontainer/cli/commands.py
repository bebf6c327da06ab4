"""The table of commands, each imported when it is called."""

from __future__ import annotations

from pycontainer.errors import PycError, UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.cli import Session
    from pycontainer.cli.declare import Command
    from pycontainer.cli.flag_command import FlagCommand

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


def start(session: Session, args: list[str]) -> int:
    """Call the command that ``args`` begin with, through click if there is more to them than that.

    Raises PycError, with the exit code that docker has: of all commands only ``run`` tells its own failures, 125, from
    those of the program.
    """
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    try:
        command, rest = find(args)
        status = command.call(session, rest) if command else None
        if status is not None:
            return status
        from pycontainer.cli import front  # click: +10 ms

        return front.start(session, args)
    except PycError as error:
        if error.exit_code == 125 and "run" not in args[:2] and not isinstance(error, UsageError):
            error.exit_code = 1
        raise


def find(args: list[str]) -> tuple[Command | FlagCommand | None, list[str]]:
    """The command that ``args`` name, and what follows its name; None for what click has to look at."""
    table = COMMANDS
    for number, arg in enumerate(args, 1):
        target, _ = table.get(arg) or table.get(ALIASES.get(arg, ""), ("", ""))
        if isinstance(target, dict):
            table = target
            continue
        module, _, attribute = target.partition(":")
        if not module:
            break
        found = __import__(f"pycontainer.cli.{module}", fromlist=["command"])
        return getattr(found, attribute or "command"), args[number:]
    return None, args
