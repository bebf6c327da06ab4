"""Binds whose owner is shown as the user that the container runs as, on request (mount_setattr(2))."""

from __future__ import annotations

import os

from pycontainer.errors import NotFound
from pycontainer.oci.build import USERS
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from pycontainer.oci.grammar.mounts import Mount
    from pycontainer.oci.spec import Spec
    from pycontainer.oci.user import User


def map_owners(spec: Spec, mounts: Collection[Mount], user: User, base: int = 0) -> None:
    """Write into the spec whose owners are shown as others, for the mounts that asked for it.

    ``base`` is the host's id that the root of the container's user namespace is, 0 if it has none of its own.
    """
    for mount in mounts:
        if not mount.idmap:
            continue
        try:
            owner = os.stat(mount.source)
        except OSError as error:
            raise NotFound(f"bind source {mount.source}: {os.strerror(error.errno or 0).lower()}") from None
        found = next(one for one in spec["mounts"] if one["destination"] == mount.target)
        if (owner.st_uid, owner.st_gid) == (user.uid, user.gid):
            continue  # the same already
        found["options"] = [*(word for word in found["options"] if word not in ("idmap", "ridmap")), "idmap"]
        found["uidMappings"] = _swapped(owner.st_uid, user.uid, base)
        found["gidMappings"] = _swapped(owner.st_gid, user.gid, base)


_LAST_ID = 2**32 - 2


def _swapped(theirs: int, ours: int, base: int) -> list[Any]:
    """All ids stay what they are, but ``theirs``, which is shown as ``ours``; nobody is shown as theirs then.

    containerID is the id in the filesystem, hostID the one that is shown (config.md, Mounts); in a user namespace that
    begins at ``base``, the ids that it has stay what they are there.
    """
    last = USERS - 1 if base else _LAST_ID
    low, high = sorted((theirs, ours))
    ranges = [(0, low - 1), (low + 1, high - 1), (high + 1, last)] if low != high else [(0, last)]
    clipped = [(first, min(final, last)) for first, final in ranges]
    same = [{"containerID": a, "hostID": base + a, "size": b - a + 1} for a, b in clipped if a <= b]
    return same if low == high else [{"containerID": theirs, "hostID": base + ours, "size": 1}, *same]
