"""Unmaking a container that does not run: what it had of the host is given back, and its files go to the trash."""

from __future__ import annotations

import errno
import os

from pycontainer.core.directories import entries, make_private
from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, trash
from pycontainer.engine.identity import OWNER_DIGITS
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


def discard(roots: Roots, container_id: str, name: str = "", *, keep_volumes: bool = False) -> None:
    """Delete what belongs to a container that does not run. It is no error if parts of it are missing.

    Without a ``name``, of a container that was killed before it was recorded, its name is looked for. Its volumes
    without a name go too, unless ``keep_volumes``.
    """
    own = container_id[:OWNER_DIGITS]
    if not keep_volumes and any(volume.startswith(own) for volume in entries(roots.root + "/volumes")):
        from pycontainer.engine import volumes

        volumes.drop(roots, container_id)
        hit("discard.volumes")
    doomed, where = trash.directory(roots), roots.container(container_id)
    if name:  # to be deleted with the rest: a link so long has a block on disk, which some disks take long to free
        containers.free_name(roots, container_id, name, into=where)
    elif names := entries(roots.root + "/names"):
        with containers.names_locked(roots):
            for name in names:
                containers.free_name(roots, container_id, name)
    hit("discard.unnamed")
    wrote = bool(entries(where + "/upper"))
    try:
        make_private(doomed)
        os.rename(where, f"{doomed}/{container_id}")
    except FileNotFoundError:
        pass  # somebody else is at it
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        doomed, wrote = roots.root + "/containers", True  # not even room for a name in another directory
    hit("discard.moved")
    if wrote:
        trash.delete(doomed, container_id)
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
