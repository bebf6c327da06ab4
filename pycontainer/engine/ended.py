"""What follows when a container has ended and nobody of ours is there: its monitor becomes ``pyc ended ID``.

It still has the container's lock. What is left to do is decided here: start it again, remove it, or leave it.
"""

from __future__ import annotations

import contextlib
import os
import time

from pycontainer.engine import containers, events, life, removal
from pycontainer.engine.health import UNHEALTHY
from pycontainer.errors import NotFound, PycError, StoreError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 60.0  # seconds before a restart, doubled from one to the next
STEADY = 10.0  # seconds after which a container counts as one that runs
LOCK = 3  # plan/monitor.py: where the lock is


def settle(roots: Roots, container_id: str, lock: int) -> None:
    """Do what is left to do. Takes over the lock."""
    try:
        container = containers.find(roots, container_id)
    except (NotFound, StoreError):
        os.close(lock)
        return
    removal.clear_remains(container)
    if restarts(roots, container):
        _restart(roots, container, lock)
    elif container.rm:
        removal.discard(roots, container_id, container.name)
        events.write(roots, "destroy", container)
        os.close(lock)
    else:
        removal.forget_live(roots, container_id)
        os.close(lock)


def restarts(roots: Roots, container: Container) -> bool:
    """Whether the container's policy wants it to run again."""
    policy, _, limit = container.options.get("restart", "no").partition(":")
    if life.is_asked_to_stop(roots, container.id):
        return False
    if policy in ("always", "unless-stopped"):
        return True
    failed = container.exit_code != 0
    if policy == "on-failure":
        return failed and (not int(limit or 0) or count(roots, container.id) < int(limit))
    return policy == "on-unhealthy" and life.is_marked(roots, container.id, UNHEALTHY)


def count(roots: Roots, container_id: str) -> int:
    """How often a policy has started it again."""
    try:
        with open(roots.container(container_id) + "/restarts") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _restart(roots: Roots, container: Container, lock: int) -> None:
    """Wait, longer each time, and start it; somebody may ask to stop meanwhile."""
    done = count(roots, container.id)
    steady = container.finished - container.started > STEADY
    pause = FIRST_PAUSE if steady else min(FIRST_PAUSE * 2 ** min(done, 20), LONGEST_PAUSE)
    life.mark(roots, container.id, "restarting")
    deadline = time.monotonic() + pause
    while time.monotonic() < deadline:
        if life.is_asked_to_stop(roots, container.id):
            removal.forget_live(roots, container.id)
            os.close(lock)
            return
        time.sleep(min(0.05, pause))
    with open(roots.container(container.id) + "/restarts", "w") as file:
        file.write(str(done + 1))
    start(roots, container, lock)


def start(roots: Roots, container: Container, lock: int) -> None:
    """Start it and let go of it."""
    from pycontainer.engine.again import kept_if_it_fails, revived
    from pycontainer.engine.attach import Signals
    from pycontainer.engine.foreground import View
    from pycontainer.engine.start import Stdio

    with contextlib.suppress(PycError), Signals() as signals:
        bundle = revived(roots, container, lock)
        options = container.options
        view = View(Stdio(options.get("interactive", False)), options.get("tty", False), detach=True)
        kept_if_it_fails(roots, bundle, view, signals)
