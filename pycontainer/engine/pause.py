"""``pause`` and ``unpause``: every process of a container stands still, and goes on as if nothing had been."""

from __future__ import annotations

from pycontainer import cgroups
from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events, life
from pycontainer.errors import Conflict
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


def pause(roots: Roots, name: str) -> None:
    """Let it stand still. Raises Conflict if it does not run."""
    container = containers.find(roots, name)
    if container.state != "running":
        raise Conflict(
            f"container {container.name} is {'paused already' if container.state == 'paused' else 'not running'}"
        )
    life.mark(roots, container.id, "paused")  # before: who is killed here has left a container that may be unpaused
    hit("pause.marked")
    try:
        cgroups.detect().freeze(container.cgroup)
    except BaseException:
        life.mark(roots, container.id, "paused", present=False)
        raise
    events.write(roots, "pause", container)


def unpause(roots: Roots, name: str) -> None:
    """Let it go on. Raises Conflict if it is not paused."""
    container = containers.find(roots, name)
    if container.state != "paused":
        raise Conflict(f"container {container.name} is not paused")
    cgroups.detect().thaw(container.cgroup)
    hit("unpause.thawed")
    life.mark(roots, container.id, "paused", present=False)
    events.write(roots, "unpause", container)
