"""``pyc run``: from flags to :class:`RunOptions` to the engine."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

from pycontainer.cli import Session
from pycontainer.cli.flags import FlagCommand
from pycontainer.cli.run_flags import FLAGS, assemble
from pycontainer.engine.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.cli.progress import Listener
    from pycontainer.image.events import Event

_HELP = """Create a container from IMAGE and run COMMAND in it.

The exit code is the command's own; 125 when pyc failed, 126 when the command can't be executed, 127 when it does not
exist."""


def _run(values: dict[str, Any], args: list[str]) -> int:
    options = assemble(values, args)
    session: Session = click.get_current_context().obj
    if options.dry_run:
        return _dry_run(session, options)
    from pycontainer.engine.run import run  # not for --help or a wrong flag

    with contextlib.ExitStack() as stack:
        observer = None
        if options.explain or options.step:
            from pycontainer.explain import narrator

            observer = narrator(options.explain, step=options.step)
            stack.callback(observer.close)
        return run(session.roots, options, observer=observer, progress=_progress(options, stack))


def _progress(options: RunOptions, stack: contextlib.ExitStack) -> Callable[[Event], None] | None:
    """Who shows a pull, if there is one. On stderr, as docker does: stdout is the container's."""
    made: list[Listener] = []

    def listen(event: Event) -> None:
        if not made:
            from pycontainer.cli import progress  # most starts need no pull

            click.echo(f"Unable to find image '{options.image}' locally", err=True)
            made.append(progress.Narration(sys.stderr) if options.explain else progress.for_stream(sys.stderr))
            stack.callback(made[0].close)
        made[0](event)
        if event.kind == "image":
            made[0].close()  # the terminal is the container's from here

    return None if options.quiet else listen


def _dry_run(session: Session, options: RunOptions) -> int:
    """Print the plan; the image and root's rights are not needed."""
    from pycontainer.engine.preview import preview
    from pycontainer.explain.text import dry_run

    plan, name, here = preview(session.roots, options)
    if not here:
        click.echo(f"pyc: image {options.image} is not here: an empty one stands in for it", err=True)
    dry_run(plan, sys.stdout, name)
    return 0


command = FlagCommand("run", FLAGS, "IMAGE [COMMAND] [ARG...]", _HELP, _run)
