"""Restart policies: whether a container that has ended is to run again, and after which pause.

``restarts`` beside the container's record says how often a policy has started it since somebody did, and after which
pause the last time.
"""

from __future__ import annotations

import os

from pycontainer.engine import life
from pycontainer.engine.health import UNHEALTHY
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 60.0  # seconds before a restart, doubled from one to the next, as docker's
STEADY = 10.0  # seconds after which a container counts as one that runs


class Tries(Record):
    """What a policy has done so far: how often it has started the container, and the last pause in seconds."""

    times: int = 0
    pause: float = 0.0


def has_policy(container: Container) -> bool:
    """Whether something else than its user may start it again; then its monitor sees to that, whoever is there."""
    options = container.options
    return options.get("restart", "no") not in ("", "no") or options.get("health_on_failure") == "restart"


def restarts(roots: Roots, container: Container) -> bool:
    """Whether the container, which has ended, is to run again."""
    name, _, limit = container.options.get("restart", "no").partition(":")
    if life.is_asked_to_stop(roots, container.id) or life.is_marked(roots, container.id, life.HALTED):
        return False
    if name in ("always", "unless-stopped") or life.is_marked(roots, container.id, UNHEALTHY):
        return True
    if name == "on-failure":
        return container.exit_code != 0 and (not int(limit or 0) or tries(roots, container.id).times < int(limit))
    return False


def tries(roots: Roots, container_id: str) -> Tries:
    """What has been done so far."""
    try:
        with open(roots.container(container_id) + "/restarts") as file:
            count, pause = file.read().split()
        return Tries(int(count), float(pause))
    except (OSError, ValueError):
        return Tries()


def record(roots: Roots, container_id: str, done: Tries) -> None:
    """Write it down."""
    with open(roots.container(container_id) + "/restarts", "w") as file:
        file.write(f"{done.times} {done.pause}")


def reset(roots: Roots, container_id: str) -> None:
    """Somebody starts it: count from nothing."""
    with suppress(FileNotFoundError):
        os.unlink(roots.container(container_id) + "/restarts")


def another(done: Tries, ran: float) -> Tries:
    """The next try, after ``ran`` seconds of life."""
    pause = FIRST_PAUSE if ran >= STEADY or not done.pause else min(2 * done.pause, LONGEST_PAUSE)
    return Tries(done.times + 1, pause)
