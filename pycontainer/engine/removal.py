"""Unmaking a container: out of sight at once, by a rename; then file by file."""

from __future__ import annotations

import errno
import os

from pycontainer.core.directories import entries, make_private
from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events, life
from pycontainer.errors import Conflict, StoreError
from pycontainer.image.tree import remove_tree
from pycontainer.light import suppress
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
        from pycontainer.engine.stop import stop  # the others need no signals

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
        from pycontainer.image import staging

        if not staging.is_full(error) or not staging.drop_ballast(roots.root):
            raise
        _remove(roots, container, keep_volumes=not volumes and not container.rm)
    empty_trash(roots)
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


def discard(roots: Roots, container_id: str, name: str = "", *, keep_volumes: bool = False) -> None:
    """Delete what belongs to a container that does not run. It is no error if parts of it are missing.

    Without a ``name``, of a container that was killed before it was recorded, its name is looked for. Its volumes
    without a name go too, unless ``keep_volumes``.
    """
    if not keep_volumes and os.path.isdir(roots.root + "/volumes"):
        from pycontainer.engine import volumes

        volumes.drop(roots, container_id)
        hit("discard.volumes")
    if name:
        containers.free_name(roots, container_id, name)
    elif names := entries(roots.root + "/names"):
        with containers.names_locked(roots):
            for name in names:
                containers.free_name(roots, container_id, name)
    hit("discard.unnamed")
    trash, where = roots.root + "/trash", roots.container(container_id)
    wrote = bool(entries(where + "/upper"))
    try:
        make_private(trash)
        os.rename(where, f"{trash}/{container_id}")
    except FileNotFoundError:
        pass  # somebody else is at it
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        trash, wrote = roots.root + "/containers", True  # not even room for a name in another directory
    hit("discard.moved")
    if wrote:
        _delete(trash, container_id)
        hit("discard.deleted")
    forget_live(roots, container_id)


def forget_live(roots: Roots, container_id: str) -> None:
    """Delete the live state of a container that has ended, and give back what it had of networks."""
    live = roots.live(container_id)
    release_networks(roots, container_id)
    hit("forget.networks")
    remove_expected(roots, container_id)
    if os.path.islink(live + "/users"):
        from pycontainer.engine import users

        users.give_back(roots, container_id)
    for name in sorted(entries(live), key=lambda name: name == "lock"):  # it goes last: what has none is not repaired
        with suppress(FileNotFoundError):
            os.unlink(f"{live}/{name}")
        hit("forget.file")
    hit("forget.files")
    with suppress(OSError):
        os.rmdir(live)


def release_networks(roots: Roots, container_id: str) -> None:
    """Give back its addresses and ports."""
    if os.path.exists(roots.live(container_id) + "/network.json"):
        from pycontainer.engine.network import endpoints

        endpoints.release(roots, container_id)


def expect_more(roots: Roots, container: Container) -> None:
    """Its cgroup may have directories that its monitor does not know of: they are removed with the live state."""
    with open(roots.live(container.id) + "/cgroup", "w") as file:
        file.write(container.cgroup)


def remove_expected(roots: Roots, container_id: str) -> None:
    """Remove what its monitor did not know of, once it has ended."""
    try:
        with open(roots.live(container_id) + "/cgroup") as file:
            cgroup = file.read()
    except FileNotFoundError:
        return
    from pycontainer import cgroups

    cgroups.detect().remove_now(cgroup)
    os.unlink(roots.live(container_id) + "/cgroup")


def clear_remains(container: Container, *, timeout: float = 5) -> bool:
    """Remove the cgroup of a container that has no monitor any more, and whatever still runs in it.

    Returns whether that was possible within ``timeout`` seconds.
    """
    from pycontainer import cgroups

    return not container.cgroup or not cgroups.detect().remove_now(container.cgroup, timeout)


def empty_trash(roots: Roots) -> None:
    """Delete what discarded containers have left.

    One that wrote nothing leaves some empty directories. Deleting them takes a millisecond, so :func:`discard` leaves
    that to the next start, which does it while it waits for the kernel.
    """
    trash = roots.root + "/trash"
    for container_id in entries(trash):
        with suppress(OSError):  # somebody else may be at it
            _delete(trash, container_id)


def _delete(trash: str, container_id: str) -> None:
    parent = os.open(trash, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):
            remove_tree(parent, container_id.encode())
    finally:
        os.close(parent)
