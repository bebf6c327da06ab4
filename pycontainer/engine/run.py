"""``run``: a name becomes a process. Read this page first; each call leads to the module of its name.

reference -> manifest -> config + layers -> root filesystem -> runtime-spec -> plan -> container -> exit code

``obtained`` goes as far as the layers, ``create`` as far as the runtime-spec, which with a directory for what is
written is the bundle. ``live`` goes on: engine/start.py makes the plan (plan/container.py) and has it performed
(core/performer.py); engine/attachment.py stays with the container until there is an exit code.
"""

from __future__ import annotations

from pycontainer.engine import events, keys
from pycontainer.engine.attachment import Signals, require_terminal
from pycontainer.engine.create import create
from pycontainer.engine.foreground import View, live
from pycontainer.engine.image.obtain import obtained
from pycontainer.engine.options import Roots, RunOptions
from pycontainer.engine.privilege import require_root
from pycontainer.engine.repair import repair
from pycontainer.engine.start import Stdio
from pycontainer.light import ExitStack
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.core.performer import Observer
    from pycontainer.engine.image.pull import Event


def run(
    roots: Roots,
    options: RunOptions,
    *,
    observer: Observer | None = None,
    progress: Callable[[Event], None] | None = None,
) -> int:
    """Run a container in the foreground, its stdio ours, and return its exit code; with ``detach`` print its ID.

    ``observer`` is shown each kernel call before and after it is made; ``progress`` what a pull does.
    Raises PycError, with nothing left behind.
    """
    require_root()
    require_terminal(tty=options.container.tty, stdin=stdio_of(options).stdin and not options.detach)
    repair(roots)
    with ExitStack() as until_recorded:
        image = until_recorded.enter_context(obtained(roots, options, progress))
        with Signals(interrupt=observer is not None) as signals:
            bundle = create(roots, image, options)
            until_recorded.close()
            events.write(roots, "create", bundle.container)
            code = live(roots, bundle, view_of(options), signals, observer)
        if options.detach:
            print(bundle.container.id)
        return code


def view_of(options: RunOptions) -> View:
    """What its client sees of the container."""
    return View(
        stdio_of(options),
        options.container.tty,
        options.detach,
        options.sig_proxy,
        keys.parse(options.detach_keys or keys.DEFAULT) if options.container.tty else b"",
    )


def stdio_of(options: RunOptions) -> Stdio:
    """Which streams to attach, as docker decides it."""
    asked = options.attach
    stdin = "stdin" in asked if asked and not options.detach else options.container.interactive
    return Stdio(stdin, not asked or "stdout" in asked, not asked or "stderr" in asked)
