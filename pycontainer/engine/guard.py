"""Seeing to what follows a container's end when its monitor was started before there was a policy for that.

A process waits at the monitor's door until it closes, and becomes ``pyc follow ID``, as the monitor itself would have
become ``pyc ended ID``.
"""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.performer import Performance
from pycontainer.core.step import MONITOR, Plan, Slot, Step
from pycontainer.engine import ended, life
from pycontainer.engine.attach import connect
from pycontainer.engine.attachment import MUTE
from pycontainer.engine.callback import command
from pycontainer.plan import monitor
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

DOOR, HEARD = Slot("monitor's door"), Slot("what it says")
ECONNRESET = 104


def guard(roots: Roots, container: Container) -> None:
    """Start the process, and let go of it. Raises Conflict if the container has ended."""
    with connect(roots, container) as door:
        door.send(bytes([MUTE]))
        Performance(plan(roots, container.id), {DOOR: door.fileno()}, name=f"{container.name} guard").leave()


def plan(roots: Roots, container_id: str) -> Plan:
    """Wait for the message that it has ended, then for the end of the monitor, then decide."""
    program = command(roots, "follow", container_id)
    heard = calls.recvfrom(DOOR, 8, 0, out=HEARD, tolerate=(ECONNRESET,))
    return (
        monitor.alone(roots.live(container_id)),
        Step(
            "Wait for the container's monitor",
            "Its socket closes when it has ended, however that happens",
            MONITOR,
            (heard, heard),
            "recv(2)",
        ),
        Step(
            "Become the program that decides what follows",
            "Restart it, remove it, or nothing: that is a decision, so it is Python's",
            MONITOR,
            (
                calls.chdir("/"),
                calls.close_range(3, 0xFFFFFFFF, k.CLOSE_RANGE_CLOEXEC),
                calls.execveat(k.AT_FDCWD, program.argv[0], program.argv, program.env),
            ),
            "execveat(2)",
        ),
    )


def follow(roots: Roots, container_id: str) -> None:
    """What the process becomes: as :func:`pycontainer.engine.ended.settle`, but it has yet to take the lock."""
    ended.settle(roots, container_id, life.take_lock(roots, container_id, patience=10))
