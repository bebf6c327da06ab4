"""``pyc exec``: from flags to :class:`ExecOptions` to the engine. Like `run` it does without click."""

from __future__ import annotations

import os
import sys

from pycontainer.cli import Session
from pycontainer.cli.flags import Flag, Flags, chosen, each, refused, switch, too_few, with_help
from pycontainer.cli.run_flags import explain, keys
from pycontainer.errors import ImageError, NotFound, PycError, UsageError
from pycontainer.oci.grammar.numbers import integer
from pycontainer.oci.grammar.words import no_nul
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.exec import ExecOptions

HELP = """Run COMMAND in a container that runs.

The exit code is the command's own; 126 when it can't be executed, 127 when it does not exist, 1 when pyc failed."""

FLAGS = Flags(
    {
        "This command": (
            switch("-h, --help", "help", "Print this page"),
            switch("-d, --detach", "detach", "Leave it running, and its output to nobody"),
            Flag("--detach-keys", "string", "detach_keys", keys, "What to type to leave it (default ctrl-p,ctrl-q)"),
            Flag("--cidfile", "string", "cidfile", "words:no_nul", "Take the container's ID from a file"),
            switch("-l, --latest", "latest", "In the newest container; then no name is given"),
            switch("--no-session", "", ""),
            switch("--dry-run", "dry_run", "Print the plan; do nothing"),
            Flag("--explain", "text|json:FILE", "explain", explain, "Say what happens while it happens", bare="text"),
            switch("--step", "step", "Wait for Enter before each step"),
        ),
        "The process": (
            switch("-i, --interactive", "interactive", "Connect standard input"),
            switch("-t, --tty", "tty", "Give it a terminal"),
            each("-e, --env", "list", "env", "variables:environment", "Set a variable (NAME=value), pass ours (NAME)"),
            each("--env-file", "list", "env_file", "variables:environment_file", "Set the variables in a file"),
            Flag("-u, --user", "string", "user", "users:user", "Who it runs as: name|uid[:group|gid]"),
            Flag("-w, --workdir", "string", "workdir", "words:workdir", "The directory it starts in"),
            switch("--privileged", "privileged", "Give it all capabilities; the container's filter stays"),
            Flag("--preserve-fds", "uint", "preserve_fds", integer(0, 5), "Leave so many descriptors from 3 on"),
        ),
    },
    refused("give the first ones with --preserve-fds N", "--preserve-fd list"),
)


def start(session: Session, args: list[str]) -> int:
    """Run the command and return its exit code.

    What docker's daemon would refuse is 1, as its exec has it; what can't be started in the container 126.
    """
    try:
        values, arguments = FLAGS.parse(args)
        if values.get("help"):
            from pycontainer.cli import front  # click: +10 ms

            return front.start(session, ["exec", "--help"])
        name, options = assemble(session, values, arguments)
    except UsageError as error:
        raise with_help(error, "exec") from None
    try:
        return _perform(session, name, options, values)
    except PycError as error:
        if error.exit_code == 125:
            error.exit_code = 126 if isinstance(error, (UsageError, ImageError)) else 1  # no such user, for one
        raise


def _perform(session: Session, name: str, options: ExecOptions, values: dict[str, Any]) -> int:
    from pycontainer.engine import exec as engine  # not for --help or a wrong flag

    if values.get("dry_run"):
        from pycontainer.explain.text import dry_run

        with engine.target(session.roots, name) as found:
            dry_run(engine.preview(session.roots, found, options), sys.stdout, f"{found.container.name} exec")
        return 0
    if not (values.get("explain") or values.get("step")):
        return engine.execute(session.roots, name, options)
    from pycontainer.explain import narrator

    observer = narrator(values.get("explain", ""), step=values.get("step", False))
    try:
        return engine.execute(session.roots, name, options, observer=observer)
    finally:
        observer.close()


def assemble(session: Session, values: dict[str, Any], arguments: list[str]) -> tuple[str, ExecOptions]:
    """The container, and what to do in it, from the values of the flags and ``CONTAINER COMMAND [ARG...]``."""
    _check_descriptors(values.get("preserve_fds", 0))  # before we open any of our own
    from pycontainer.engine.exec import ExecOptions

    name, command = _container(session, values, list(arguments))
    if name is None or not command:
        raise too_few("exec", 2, "[OPTIONS] CONTAINER COMMAND [ARG...]")
    values["command"] = [no_nul(word) for word in command]
    values["env"] = [entry for file in values.get("env_file", ()) for entry in file] + values.get("env", [])
    return name, ExecOptions(**chosen(values, ExecOptions._fields))


def _check_descriptors(count: int) -> None:
    """Those that are to be kept must be the caller's."""
    for number in range(3, 3 + count):
        try:
            os.fstat(number)
        except OSError:
            raise UsageError(f"--preserve-fds {count}: descriptor {number} is not open") from None


def _container(session: Session, values: dict[str, Any], arguments: list[str]) -> tuple[str | None, list[str]]:
    """Which container, None if that is not said, and the arguments that are left."""
    if values.get("latest"):
        from pycontainer.engine import containers

        newest = containers.listing(session.roots)[:1]
        if not newest:
            raise NotFound("there is no container", hint="'pyc run' makes one")
        return newest[0].id, arguments
    if path := values.get("cidfile"):
        try:
            with open(path) as file:
                return file.read(256).strip(), arguments
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--cidfile {path}: {error}") from None
    return (arguments[0] if arguments else None), arguments[1:]
