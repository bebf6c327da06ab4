"""What follows when a container has ended and nobody of ours is there: its monitor becomes ``pyc ended ID``.

It still has the container's lock. What is left to do is decided here: start it again, remove it, or leave it.
"""

from __future__ import annotations

import os
import time

from pycontainer.engine import containers, events, life, policy, removal
from pycontainer.errors import NotFound, PycError, StoreError
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


def settle(roots: Roots, container_id: str, lock: int) -> None:
    """Do what is left to do. Takes over the lock."""
    try:
        container = containers.find(roots, container_id)
    except (NotFound, StoreError):
        os.close(lock)
        return
    removal.clear_remains(container)
    if policy.restarts(roots, container) and _wait(roots, container):
        _start(roots, container, lock)
    elif container.rm:
        removal.discard(roots, container_id, container.name)
        events.write(roots, "destroy", container)
        os.close(lock)
    else:
        removal.forget_live(roots, container_id)
        os.close(lock)


def _wait(roots: Roots, container: Container) -> bool:
    """Wait, longer each time; whether it is to be started still."""
    following = policy.another(policy.tries(roots, container.id), container.finished - container.started)
    deadline = time.monotonic() + following.pause
    while (left := deadline - time.monotonic()) > 0:
        if life.is_asked_to_stop(roots, container.id):
            return False
        time.sleep(min(0.05, left))
    policy.record(roots, container.id, following)
    return not life.is_asked_to_stop(roots, container.id)


def _start(roots: Roots, container: Container, lock: int) -> None:
    """Start it and let go of it."""
    from pycontainer.engine.attachment import Signals
    from pycontainer.engine.foreground import View
    from pycontainer.engine.revive import its_error_kept, kept_if_it_fails, revived
    from pycontainer.engine.start import Stdio

    with suppress(PycError), its_error_kept(roots, container), Signals() as signals:
        bundle = revived(roots, container, lock)
        options = container.options
        view = View(Stdio(options.get("interactive", False)), options.get("tty", False), detach=True)
        kept_if_it_fails(roots, bundle, view, signals)
