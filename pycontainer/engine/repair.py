"""Crash-only: whatever a killed process of ours has left is found here, and cleared away by the next command.

Nobody writes down what they are about to do. All live state has a directory with a lock, which is taken before
anything else is made and which the kernel lets go of; so what is found without its lock is somebody's remains, and
everything else that belongs to it has a name that derives from the container's ID.
"""

from __future__ import annotations

import os

from pycontainer.core.directories import entries
from pycontainer.engine import containers, events, life, policy, runroot
from pycontainer.engine.removal import clear_remains, discard, forget_live
from pycontainer.errors import Conflict, NotFound, StoreError
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


PATIENCE = 0.3
"""Seconds for what is left of a container to die. What hangs in a disk that does not answer is tried again later."""


def repair(roots: Roots) -> None:
    """Clear away what killed processes of ours have left. It takes some microseconds when there is nothing.

    The lock is held meanwhile, so that nobody takes what is just being made for remains.

    Raises Conflict if containers of this root run that another runroot keeps track of.
    """
    known = runroot.check(roots)
    try:
        live = os.listdir(roots.runroot + "/containers")
    except FileNotFoundError:  # the first command since the host booted
        live, known = [], False
    if not known:
        runroot.settle(roots)
        _repair_all(roots)
    for container_id in live:
        with suppress(FileNotFoundError):  # it has just ended
            is_there = os.path.isdir(roots.container(container_id))
            if not is_there and life.is_of_another_root(roots, container_id):
                continue
            if (lock := life.try_lock(roots, container_id, os.O_CREAT)) is not None:
                _repair(roots, container_id, lock)
            elif not is_there and (pid := life.pid_of(roots, container_id)):
                _end(roots, container_id, pid)
            elif _is_half_connected(roots, container_id):
                from pycontainer.engine.network.connect import mend

                mend(roots, container_id)
    if sum(name.isdigit() for name in entries(roots.runroot + "/users")) > len(live):
        from pycontainer.engine import users  # only where somebody has deleted a part of the live state

        users.give_back_stale(roots)


def _is_half_connected(roots: Roots, container_id: str) -> bool:
    """Whether somebody connects it to a network right now, or was killed meanwhile."""
    try:
        return os.stat(f"{roots.live(container_id)}/connecting").st_size > 0
    except OSError:
        return False


def _end(roots: Roots, container_id: str, pid: int) -> None:
    """End a container whose directory somebody has deleted: all it wrote is lost, and nobody can name it any more."""
    import signal  # such things are rare

    from pycontainer.engine import process

    if os.path.isdir(roots.container(container_id)):
        return  # it was being made when we looked; now that it has a pid, one that is missing has been deleted
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            if life.is_alive(roots, container_id) and process.is_first(roots, container_id, pid):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
    with suppress(Conflict):  # it takes longer: the next command will see to the rest
        _repair(roots, container_id, life.take_lock(roots, container_id, patience=PATIENCE))


def _repair_all(roots: Roots) -> None:
    """There is no live state yet: look at every container.

    Which of them are to run again is for engine/boot.py to say.
    """
    for container_id in entries(roots.root + "/containers"):
        with suppress(Conflict):  # somebody else is at it
            _repair(roots, container_id, life.take_lock(roots, container_id, patience=0), booted=True)


def _repair(roots: Roots, container_id: str, lock: int, *, booted: bool = False) -> None:
    """See to one container, which nobody has. Takes over its lock."""
    try:
        container = containers.load(roots, container_id)
        if not clear_remains(container, timeout=PATIENCE):
            return
        if not booted and life.pid_of(roots, container_id) and not life.has_run(roots, container_id):
            events.write(roots, "die", container, exitCode=str(containers.UNSEEN))  # its monitor could not say so
        if not booted and container.started and policy.has_policy(container) and policy.restarts(roots, container):
            return _follow(roots, container_id, lock)
        if container.rm or not _has_been(roots, container_id, booted=booted):
            discard(roots, container_id, container.name)
        else:
            with suppress(Conflict):
                containers.take_name(roots, container_id, container.name)  # whoever removed it got as far as that
            forget_live(roots, container_id)
    except NotFound:  # its maker was killed, or its remover
        discard(roots, container_id, keep_volumes=not os.path.isdir(roots.container(container_id)))
    except StoreError:
        if clear_remains(containers.damaged(roots, container_id), timeout=PATIENCE):
            forget_live(roots, container_id)  # what it has written may be dear to somebody
    finally:
        os.close(lock)


def _has_been(roots: Roots, container_id: str, *, booted: bool) -> bool:
    """Whether there is a container, or only the beginning of one.

    The record of a life begins before the program runs. It has run if there is a pid, too, or an end; after a boot,
    which loses pids, it may have.
    """
    record = life.read(roots, container_id)
    if record and (booted or record.status is not None or life.pid_of(roots, container_id)):
        return True
    return life.is_kept(roots, container_id)


def _follow(roots: Roots, container_id: str, lock: int) -> None:
    """What its monitor would have become: a process that starts it again, and has the lock meanwhile."""
    from pycontainer.engine.callback import LOCK, command  # only where a monitor was killed

    program = command(roots, "ended", container_id)
    streams = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    actions = [*streams, (os.POSIX_SPAWN_DUP2, lock, LOCK)]
    env = dict(variable.split("=", 1) for variable in program.env)
    os.posix_spawn(program.argv[0], program.argv, env, file_actions=actions, setsid=True)
