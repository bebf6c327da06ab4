"""``pyc run``: from flags to :class:`RunOptions` to the engine."""

from __future__ import annotations

from typing import Any

import click

from pycontainer.cli import Session
from pycontainer.cli.flags import FlagCommand
from pycontainer.cli.run_flags import FLAGS, assemble

_HELP = """Create a container from IMAGE and run COMMAND in it.

The exit code is the command's own; 125 when pyc failed, 126 when the command can't be executed, 127 when it does not
exist."""


def _run(values: dict[str, Any], args: list[str]) -> int:
    options = assemble(values, args)
    from pycontainer.engine.run import run  # not for --help or a wrong flag

    session: Session = click.get_current_context().obj
    return run(session.roots, options)


command = FlagCommand("run", FLAGS, "IMAGE [COMMAND] [ARG...]", _HELP, _run)
