"""``rm``: remove a container, and with ``force`` end it first."""

from __future__ import annotations

import os

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events, life, trash
from pycontainer.engine.removal import clear_remains, discard
from pycontainer.engine.stop import stop
from pycontainer.errors import Conflict, StoreError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


def remove(roots: Roots, name_or_id: str, *, force: bool = False, volumes: bool = False) -> Container:
    """Remove a container; with ``force`` kill it first, with ``volumes`` take along those without a name.

    Raises NotFound, or Conflict if it runs.
    """
    container = _found(roots, name_or_id, force=force)
    if container.is_up:
        if not force:
            raise Conflict(
                f"container {container.name} is {container.state}",
                hint="stop it before, or 'pyc rm -f' to kill and remove it",
            )
        try:
            stop(roots, container.id, sign="SIGKILL")
        except Conflict:
            if not clear_remains(container):
                raise
    elif force and life.is_alive(roots, container.id):
        clear_remains(container)  # it lives, and what says so is damaged
    try:
        _remove(roots, container, keep_volumes=not volumes and not container.rm)
    except OSError as error:
        from pycontainer.image import disk  # only then

        if not disk.is_full(error) or not disk.drop_ballast(roots.root):
            raise
        _remove(roots, container, keep_volumes=not volumes and not container.rm)
    trash.empty(roots)
    events.write(roots, "destroy", container)
    return container


def _found(roots: Roots, name_or_id: str, *, force: bool) -> Container:
    try:
        return containers.find(roots, name_or_id)
    except StoreError:
        matches = [c for c in containers.listing(roots) if name_or_id == c.name or c.id.startswith(name_or_id)]
        if not force or len(matches) != 1:
            raise
    return matches[0]


def _remove(roots: Roots, container: Container, *, keep_volumes: bool) -> None:
    life.ask_to_stop(roots, container.id)
    hit("remove.asked")
    lock = life.take_lock(roots, container.id, patience=10)
    try:
        hit("remove.locked")
        if not clear_remains(container):
            raise Conflict(
                f"container {container.name}: a process of it does not end", hint="look for state D in ps; try later"
            )
        hit("remove.cleared")
        discard(roots, container.id, container.name, keep_volumes=keep_volumes)
    finally:
        os.close(lock)
