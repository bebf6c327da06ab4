"""``run``: a name becomes a process. Read this page first; each line is one module of the package.

reference -> image -> bundle (a directory and a runtime-spec) -> plan -> container -> exit code
"""

from __future__ import annotations

import os
import signal
from functools import lru_cache
from typing import TYPE_CHECKING

from pycontainer.engine import containers
from pycontainer.engine.attach import Attachment, Signals
from pycontainer.engine.create import Bundle, create
from pycontainer.engine.options import Roots, RunOptions
from pycontainer.engine.start import Stdio, start
from pycontainer.errors import HostLacks, NotFound
from pycontainer.image.platform import Platform
from pycontainer.image.store import Store
from pycontainer.plan import namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.core.performer import Observer
    from pycontainer.engine.pull import Event
    from pycontainer.image.store import Image


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
    image = obtain(roots, options, progress)
    containers.repair(roots)
    with Signals(interrupt=observer is not None) as signals:
        bundle = create(roots, image, options)
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
    """Remove the container if that was asked for, or if it never ran."""
    container = bundle.container
    if container.rm or not containers.has_run(roots, container.id):
        containers.discard(roots, container.id, container.name)
    else:
        containers.forget_live(roots, container.id)


def stdio_of(options: RunOptions) -> Stdio:
    """Which streams to attach, as docker decides it."""
    asked = options.attach
    stdin = "stdin" in asked if asked else options.container.interactive
    return Stdio(stdin, not asked or "stdout" in asked, not asked or "stderr" in asked)


def obtain(roots: Roots, options: RunOptions, progress: Callable[[Event], None] | None = None) -> Image:
    """The image, from the store or, as ``--pull`` says, from its registry."""
    store = Store(roots.root)
    if options.image.startswith(("oci:", "oci-archive:", "docker-archive:")):
        from pycontainer.engine.sources import open_source

        if source := open_source(options.image):
            platform = Platform.parse(options.platform) if options.platform else None
            return source.take(store, platform=platform, progress=progress)
    if options.pull != "always":
        try:
            image = _find(store, options.image)
            if not options.platform or image.config.platform == Platform.parse(options.platform):
                return image
            if options.pull == "never":
                raise NotFound(f"image {options.image} is here for {image.config.platform}, not {options.platform}")
        except NotFound:
            if options.pull == "never":
                raise
    from pycontainer.engine.pull import pull  # requests and threads: +80 ms, only when pulling
    from pycontainer.image.reference import Reference

    platform = Platform.parse(options.platform) if options.platform else None
    return pull(store, Reference.parse(options.image), platform=platform, progress=progress)


def _find(store: Store, name: str) -> Image:
    """Look the image up; a process that starts many containers does so once, until the index of images changes."""
    try:
        index = os.stat(store.oci + "/index.json")
    except FileNotFoundError:
        return store.find(name)
    return _find_in(store.root, name, (index.st_ino, index.st_mtime_ns, index.st_size))


@lru_cache(maxsize=64)
def _find_in(root: str, name: str, _index: tuple[int, int, int]) -> Image:
    return Store(root).find(name)


def require_root() -> None:
    """Raises HostLacks unless this process may make containers."""
    if os.geteuid() != 0:
        raise HostLacks(
            "making a container needs root: this process may not mount or make namespaces",
            hint="run it with sudo; 'pyc run --dry-run' shows the plan without root",
        )
