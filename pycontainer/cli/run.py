"""``pyc run``: from flags to :class:`RunOptions` to the engine."""

from __future__ import annotations

import sys

from pycontainer.cli import Session
from pycontainer.cli.flags import with_help
from pycontainer.cli.run_flags import FLAGS, assemble
from pycontainer.engine.options import RunOptions
from pycontainer.errors import UsageError
from pycontainer.light import ExitStack
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.cli.progress import Listener
    from pycontainer.explain.narrator import Narrator
    from pycontainer.image.events import Event

HELP = """Create a container from IMAGE and run COMMAND in it.

The exit code is the command's own; 125 when pyc failed, 126 when the command can't be executed, 127 when it does not
exist."""


def start(session: Session, args: list[str]) -> int:
    """Run a container and return its exit code."""
    try:
        values, arguments = FLAGS.parse(args)
        if values.get("help"):
            from pycontainer.cli import front  # click: +10 ms

            return front.start(session, ["run", "--help"])
        options = session.placed(assemble(values, arguments))
    except UsageError as error:
        raise with_help(error, "run") from None
    if options.dry_run:
        return _dry_run(session, options)
    warn_of_boots(options)
    from pycontainer.engine.run import run  # not for --help or a wrong flag

    with ExitStack() as stack:
        observer = None
        if options.explain or options.step:
            from pycontainer.explain import narrator

            observer = narrator(options.explain, step=options.step)
            stack.callback(observer.close)
        return run(session.roots, options, observer=observer, progress=progress_of(options, observer, stack))


def warn_of_boots(options: RunOptions) -> None:
    """Say what a policy can't do: without a daemon, only systemd can start something when the host boots."""
    if options.container.restart in ("always", "unless-stopped"):
        from pycontainer.engine import boot  # subprocess: +8 ms

        if boot.is_left_out():
            print(
                "pyc: nothing starts it when this host boots, until you type: pyc system boot --install",
                file=sys.stderr,
            )


def progress_of(options: RunOptions, observer: Narrator | None, stack: ExitStack) -> Callable[[Event], None] | None:
    """Who shows a pull, if there is one. On stderr, as docker does: stdout is the container's."""
    made: list[Listener] = []

    def listen(event: Event) -> None:
        if not made:
            from pycontainer.cli import progress  # most starts need no pull
            from pycontainer.engine.image.sources import open_source
            from pycontainer.explain.pull import PullNarrator

            if options.pull != "always" and not open_source(options.image):
                print(f"Unable to find image '{options.image}' locally", file=sys.stderr)
            in_words = options.explain == "text" or options.step
            made.append(PullNarrator(sys.stderr) if in_words else progress.for_stream(sys.stderr))
            stack.callback(made[0].close)
        made[0](event)
        if observer:
            observer.pulled(event)
        if event.kind == "image":
            made[0].close()  # the terminal is the container's from here

    return None if options.quiet else listen


def _dry_run(session: Session, options: RunOptions) -> int:
    """Print the plan; the image and root's rights are not needed."""
    from pycontainer.engine.preview import preview
    from pycontainer.explain.text import dry_run

    plan, name, here = preview(session.roots, options)
    if not here:
        print(f"pyc: image {options.image} is not here: an empty one stands in for it", file=sys.stderr)
    dry_run(plan, sys.stdout, name)
    return 0
