"""Crash-only: whatever a killed process of ours has left is found here, and cleared away by the next command.

Nobody writes down what they are about to do. All live state has a directory with a lock, which is taken before
anything else is made and which the kernel lets go of; so what is found without its lock is somebody's remains, and
everything else that belongs to it has a name that derives from the container's ID.
"""

from __future__ import annotations

import contextlib
import os

from pycontainer.core.directories import entries
from pycontainer.engine import containers, life, policy
from pycontainer.engine.removal import clear_remains, discard, forget_live
from pycontainer.errors import NotFound, StoreError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


def repair(roots: Roots) -> None:
    """Clear away what killed processes of ours have left: live state whose lock nobody holds.

    The lock is held meanwhile, so that nobody takes what is just being made for remains.
    """
    for container_id in entries(roots.runroot + "/containers"):
        try:
            lock = life.try_lock(roots, container_id)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                os.rmdir(roots.live(container_id))  # its maker was killed, or makes the lock right now
            continue
        if lock is not None:
            try:
                _repair(roots, container_id, lock)
            finally:
                os.close(lock)


def _repair(roots: Roots, container_id: str, lock: int) -> None:
    try:
        container = containers.load(roots, container_id)
    except (NotFound, StoreError):
        discard(roots, container_id)  # its maker was killed
        return
    clear_remains(container)
    if container.started and policy.has_policy(container) and policy.restarts(roots, container):
        _follow(roots, container_id, lock)
        return
    ran = life.has_run(roots, container_id) or life.pid_of(roots, container_id) or life.is_kept(roots, container_id)
    if container.rm or not ran:
        discard(roots, container_id, container.name)
    else:
        forget_live(roots, container_id)


def _follow(roots: Roots, container_id: str, lock: int) -> None:
    """What its monitor would have become: a process that starts it again, and has the lock meanwhile."""
    from pycontainer.engine.ended import LOCK  # only where a monitor was killed
    from pycontainer.engine.start import command

    program = command(roots, "ended", container_id)
    streams = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    actions = [*streams, (os.POSIX_SPAWN_DUP2, lock, LOCK)]
    env = dict(variable.split("=", 1) for variable in program.env)
    os.posix_spawn(program.argv[0], program.argv, env, file_actions=actions, setsid=True)
