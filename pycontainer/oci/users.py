"""User namespaces of ``pyc-oci``: their maps, written from outside (user_namespaces(7)).

The one thing of a container that Python writes and no plan does. A map must be written by a process outside of the
namespace, to a file named after a pid that is known only once the process exists: a plan is made before that. The plan
of ``pyc run`` has a way round it (plan/users.py). But an ordinary user's maps take newuidmap(1), and a program of the
host's is Python's to call.
"""

from __future__ import annotations

import os

from pycontainer.core import calls, kernel
from pycontainer.core import constants as k
from pycontainer.core.performer import Performance
from pycontainer.core.step import MONITOR, Slot, Step
from pycontainer.errors import HostLacks, UsageError
from pycontainer.light import contextmanager
from pycontainer.oci.caller import may_not_change_groups
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.oci.spec import IDMapping, Spec


GROUPS = "additionalGids"


def check(spec: Spec) -> None:
    """Refuse what can't be in a user namespace of its own, before it is made. Raises UsageError or HostLacks."""
    uids, gids = spec["linux"].get("uidMappings") or [], spec["linux"].get("gidMappings") or []
    if not uids or not gids:
        raise UsageError("linux.uidMappings and linux.gidMappings must not be empty where there is a user namespace")
    user = spec["process"]["user"]
    groups = user.get("additionalGids") or []
    for field, ids, maps, said in (
        ("uid", [user.get("uid", 0)], uids, "uidMappings"),
        ("gid", [user.get("gid", 0)], gids, "gidMappings"),
        (GROUPS, groups, gids, "gidMappings"),
    ):
        for number in ids:
            if not any(0 <= number - part["containerID"] < part["size"] for part in maps):
                raise UsageError(f"process.user.{field}: {number} is none of the ids of linux.{said}")
    if groups and groups_are_kept(gids):
        raise HostLacks(f"process.user.{GROUPS}: without root no process of this user namespace may change its groups")


def write_maps(pid: int, uids: list[IDMapping], gids: list[IDMapping], *, said: str = "linux") -> None:
    """Say which ids of the host the ids in the user namespace of ``pid`` are, as ``said`` in config.json.

    Raises HostLacks.
    """
    if os.geteuid() and not (is_alone(uids) and is_alone(gids)):
        _write_by_helpers(pid, uids, gids)
        return
    if is_alone(gids):
        _deny_setgroups(pid)
    for kind, maps in (("gid", gids), ("uid", uids)):
        lines = [f"{part['containerID']} {part['hostID']} {part['size']}\n" for part in maps]
        try:
            fd = os.open(f"/proc/{pid}/{kind}_map", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, "".join(lines).encode())  # all in one write, or the kernel takes none
            finally:
                os.close(fd)
        except OSError as error:
            shown = "; ".join(line.strip() for line in lines)
            raise HostLacks(
                f"{said}.{kind}Mappings: writing {kind}_map ({shown}): {os.strerror(error.errno or 0).lower()}"
            ) from None


def is_alone(maps: list[IDMapping]) -> bool:
    """Whether a user may write this map: one id, which can only be that user's own."""
    return bool(os.geteuid()) and len(maps) == 1 and maps[0]["size"] == 1


def groups_are_kept(gids: list[IDMapping]) -> bool:
    """Whether in a user namespace with this map, made from here, no process may change its groups."""
    return is_alone(gids) or may_not_change_groups()


def _deny_setgroups(pid: int) -> None:
    """What a user has to do before the map of groups: else who is kept out of a file by a group could leave it."""
    with open(f"/proc/{pid}/setgroups", "w") as file:
        file.write("deny")


def _write_by_helpers(pid: int, uids: list[IDMapping], gids: list[IDMapping]) -> None:
    """More ids than one's own are given by /etc/subuid and /etc/subgid, which newuidmap(1) and newgidmap(1) keep to."""
    import subprocess  # +8 ms

    for program, field, maps in (("newgidmap", "gidMappings", gids), ("newuidmap", "uidMappings", uids)):
        numbers = [str(part[key]) for part in maps for key in ("containerID", "hostID", "size")]
        try:
            done = subprocess.run([program, str(pid), *numbers], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise HostLacks(
                f"linux.{field}: more than one's own id takes {program}, which is not installed",
                hint="apt install uidmap",
            ) from None
        if done.returncode:
            raise HostLacks(f"linux.{field}: {done.stderr.strip().lower() or f'{program} failed'}")


@contextmanager
def user_namespace(uids: list[IDMapping], gids: list[IDMapping]) -> Iterator[int]:
    """A descriptor of a user namespace with these maps and nobody in it, for an id-mapped mount."""
    gate = Slot("gate")
    ours, theirs = kernel.socketpair(kernel.SOCK_STREAM)
    step = Step(
        "Make a user namespace",
        "An id-mapped mount takes its maps from one; nobody has to live in it",
        MONITOR,
        (calls.unshare(k.CLONE_NEWUSER)._replace(report=True), calls.read(gate, 1, expect=1)),
        "mount_setattr(2)",
        field="mounts[].uidMappings",
    )
    performance = Performance((step,), {gate: theirs}, name="maps")
    os.close(theirs)
    try:
        performance.wait_for(lambda _, call: call.name == "unshare")
        write_maps(performance.monitor, uids, gids, said="mounts[]")
        namespace = os.open(f"/proc/{performance.monitor}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        performance.kill()
        performance.close()
        os.close(ours)
    try:
        yield namespace
    finally:
        os.close(namespace)
