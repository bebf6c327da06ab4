"""User namespaces that nobody lives in: their maps say how the ids of a mount are shown (mount_setattr(2))."""

from __future__ import annotations

import os

from pycontainer.core import calls, kernel
from pycontainer.core import constants as k
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.core.step import MONITOR, Slot, Step
from pycontainer.errors import HostLacks, NotFound
from pycontainer.plan.mounts import is_mapped, users_of
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from pycontainer.oci.grammar import Mount
    from pycontainer.oci.spec import IDMapping, Spec
    from pycontainer.oci.user import User

_GATE = Slot("gate")

PLAN = (
    Step(
        "Make a user namespace",
        "Only a process can make one, and it stays in it until its maps are written and a descriptor is open",
        MONITOR,
        (calls.unshare(k.CLONE_NEWUSER)._replace(report=True), calls.read(_GATE, 1, expect=0)),
        "user_namespaces(7)",
    ),
)


def map_owners(spec: Spec, mounts: Collection[Mount], user: User) -> None:
    """Write into the spec whose owners are shown as others, for the mounts that asked for it."""
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
        found["options"] = [*found["options"], "idmap"]
        found["uidMappings"] = _swapped(owner.st_uid, user.uid)
        found["gidMappings"] = _swapped(owner.st_gid, user.gid)


_LAST_ID = 2**32 - 2


def _swapped(theirs: int, ours: int) -> list[Any]:
    """All ids stay what they are, but ``theirs``, which is shown as ``ours``; nobody is shown as theirs then.

    containerID is the id in the filesystem, hostID the one that is shown (config.md, Mounts).
    """
    low, high = sorted((theirs, ours))
    ranges = [(0, low - 1), (low + 1, high - 1), (high + 1, _LAST_ID)] if low != high else [(0, _LAST_ID)]
    same = [{"containerID": a, "hostID": a, "size": b - a + 1} for a, b in ranges if a <= b]
    return same if low == high else [{"containerID": theirs, "hostID": ours, "size": 1}, *same]


def namespaces(spec: Spec, keep: Callable[[int], int]) -> dict[Slot, int]:
    """A namespace for each mount whose owners are mapped; ``keep`` takes care of the descriptors."""
    mapped = [mount for mount in spec.get("mounts") or () if is_mapped(mount)]
    return {
        users_of(mount): keep(user_namespace(mount.get("uidMappings") or [], mount.get("gidMappings") or []))
        for mount in mapped
    }


def user_namespace(users: Sequence[IDMapping], groups: Sequence[IDMapping]) -> int:
    """The descriptor of a new user namespace with these maps; the process that made it has gone.

    Raises HostLacks where user namespaces are forbidden.
    """
    ours, theirs = kernel.socketpair(kernel.SOCK_STREAM)
    try:
        performance = Performance(PLAN, {_GATE: theirs}, name="user namespace")
    finally:
        os.close(theirs)
    try:
        performance.wait_for(lambda step, call: call.name == "unshare")
        for name, maps in (("uid_map", users), ("gid_map", groups)):
            _write(f"/proc/{performance.monitor}/{name}", maps)
        return os.open(f"/proc/{performance.monitor}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, PlanFailed) as error:
        number = error.record.error if isinstance(error, PlanFailed) else error.errno or 0
        raise HostLacks(
            f"can't make a user namespace for id-mapped mounts: {os.strerror(number).lower()}",
            hint="sysctl user.max_user_namespaces must not be 0",
        ) from None
    finally:
        os.close(ours)
        performance.close()


def _write(path: str, maps: Sequence[IDMapping]) -> None:
    lines = "".join(f"{one['containerID']} {one['hostID']} {one['size']}\n" for one in maps)
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, lines.encode())
    finally:
        os.close(file)
