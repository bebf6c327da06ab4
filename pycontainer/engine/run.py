"""``run``: a name becomes a process. Read this page first; each line is one module of the package.

reference -> image -> bundle (a directory and a runtime-spec) -> plan -> container -> exit code
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from pycontainer.engine import containers
from pycontainer.engine.attach import Attachment, Signals
from pycontainer.engine.create import Bundle, create
from pycontainer.engine.obtain import obtained
from pycontainer.engine.options import Roots, RunOptions
from pycontainer.engine.start import Stdio, start
from pycontainer.errors import HostLacks
from pycontainer.plan import namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.core.performer import Observer
    from pycontainer.engine.pull import Event


def run(
    roots: Roots,
    options: RunOptions,
    *,
    observer: Observer | None = None,
    progress: Callable[[Event], None] | None = None,
) -> int:
    """Run a container in the foreground, its stdio ours, and return its exit code.

    ``observer`` is shown each kernel call before and after it is made; ``progress`` what a pull does.
    Raises PycError, with nothing left behind.
    """
    require_root()
    containers.repair(roots)
    with contextlib.ExitStack() as until_recorded:
        image = until_recorded.enter_context(obtained(roots, options, progress))
        with Signals(interrupt=observer is not None) as signals:
            bundle = create(roots, image, options)
            until_recorded.close()
            try:
                return _run_bundle(roots, bundle, options, signals, observer)
            finally:
                _leave(roots, bundle)


def _run_bundle(roots: Roots, bundle: Bundle, options: RunOptions, signals: Signals, observer: Observer | None) -> int:
    stdio = stdio_of(options)
    if number := signals.fatal():
        return 128 + number
    started = start(roots, bundle, stdio, observer)
    performance = started.performance
    try:
        if number := signals.fatal():
            performance.kill()
            return 128 + number
        Attachment(
            started.client,
            performance,
            signals,
            stdin=0 if stdio.stdin else None,
            tty=options.container.tty,
            proxy=options.sig_proxy,
        ).run()
        while performance.read_records():
            pass
    except BaseException:
        performance.kill()
        raise
    finally:
        os.close(started.client)
        performance.close()
        if performance.wait_status() is None or not namespaces.has(bundle.spec, "pid"):
            started.group.remove_now(kill=True)  # without a monitor's end, or a PID namespace's, somebody may be left
    status = performance.wait_status()
    return containers.exit_code(signal.SIGKILL if status is None else status)


def _leave(roots: Roots, bundle: Bundle) -> None:
    """Remove the container if that was asked for, or if it never ran; only then let go of our copy of its lock."""
    container = bundle.container
    if container.rm or not containers.has_run(roots, container.id):
        containers.discard(roots, container.id, container.name)
    else:
        containers.forget_live(roots, container.id)
    os.close(bundle.lock)


def stdio_of(options: RunOptions) -> Stdio:
    """Which streams to attach, as docker decides it."""
    asked = options.attach
    stdin = "stdin" in asked if asked else options.container.interactive
    return Stdio(stdin, not asked or "stdout" in asked, not asked or "stderr" in asked)


def require_root() -> None:
    """Raises HostLacks unless this process may make containers."""
    if os.geteuid() != 0:
        raise HostLacks(
            "making a container needs root: this process may not mount or make namespaces",
            hint="run it with sudo; 'pyc run --dry-run' shows the plan without root",
        )
