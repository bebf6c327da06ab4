"""User namespaces: their maps, written from outside (user_namespaces(7)).

The one thing of a container that Python writes and no plan does. A map must be written by a process outside of the
namespace, to a file named after a pid that is known only once the process exists: a plan is made before that.
"""

from __future__ import annotations

import os

from pycontainer.core import calls, kernel
from pycontainer.core import constants as k
from pycontainer.core.performer import Performance
from pycontainer.core.step import MONITOR, Slot, Step
from pycontainer.errors import HostLacks, UsageError
from pycontainer.light import contextmanager
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.oci.spec import IDMapping


def write_maps(pid: int, uids: list[IDMapping], gids: list[IDMapping]) -> None:
    """Say which ids of the host the ids in the user namespace of ``pid`` are. Raises UsageError or HostLacks."""
    if not uids or not gids:
        raise UsageError("linux.uidMappings and linux.gidMappings must not be empty where there is a user namespace")
    for file, maps in (("gid_map", gids), ("uid_map", uids)):
        lines = [f"{part['containerID']} {part['hostID']} {part['size']}\n" for part in maps]
        try:
            fd = os.open(f"/proc/{pid}/{file}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, "".join(lines).encode())  # all in one write, or the kernel takes none
            finally:
                os.close(fd)
        except OSError as error:
            shown = "; ".join(line.strip() for line in lines)
            raise HostLacks(f"writing {file} ({shown}): {os.strerror(error.errno or 0).lower()}") from None


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
    )
    performance = Performance((step,), {gate: theirs}, name="maps")
    os.close(theirs)
    try:
        performance.wait_for(lambda _, call: call.name == "unshare")
        write_maps(performance.monitor, uids, gids)
        namespace = os.open(f"/proc/{performance.monitor}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        performance.kill()
        performance.close()
        os.close(ours)
    try:
        yield namespace
    finally:
        os.close(namespace)
