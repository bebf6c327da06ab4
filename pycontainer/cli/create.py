"""``pyc create``: all of ``run`` but the running."""

from __future__ import annotations

from pycontainer.cli import Session
from pycontainer.cli.flag_command import FlagCommand
from pycontainer.cli.flags import with_help
from pycontainer.cli.run import progress_of, warn_of_boots
from pycontainer.cli.run_flags import FLAGS as RUN
from pycontainer.cli.run_flags import assemble
from pycontainer.engine.revive import make
from pycontainer.errors import UsageError
from pycontainer.light import ExitStack

FLAGS = RUN.without("--detach", "--detach-keys", "--sig-proxy", "--dry-run", "--explain", "--step")
"""Those of ``run`` that say nothing about its running."""


def start(session: Session, args: list[str]) -> int:
    """Make the container and print its ID."""
    try:
        options = session.placed(assemble(*FLAGS.parse(args), command="create"))
    except UsageError as error:
        raise with_help(error, "create") from None
    warn_of_boots(options)
    with ExitStack() as stack:
        container = make(session.roots, options, progress_of(options, None, stack))
    print(container.id)
    return 0


command = FlagCommand("create", FLAGS, "IMAGE [COMMAND] [ARG...]", "Create a container without starting it.", start)
