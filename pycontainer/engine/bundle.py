"""A container on its way from options to a plan."""

from __future__ import annotations

from pycontainer.engine.containers import Container
from pycontainer.oci.options import ContainerOptions
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots
    from pycontainer.oci.spec import Spec
    from pycontainer.rootfs.overlay import Overlay


class Bundle(Record):
    """A container that could be started.

    Attributes:
        container: what it is.
        spec: its runtime-spec, as in its config.json.
        rootfs: what its root filesystem is made of.
        init: whether our own init is PID 1.
        defaults: limits that nobody asked for: where the host can't keep them, so be it.
        lock: the descriptor of the lock that says it lives, or -1.
        asked: the options that it is made of.
        exposed: the ports that the image speaks of, as ``80/tcp``.
        users: the first id of the host that its own user namespace has, or 0.
    """

    container: Container
    spec: Spec
    rootfs: Overlay
    init: bool
    defaults: tuple[str, ...] = ()
    lock: int = -1
    asked: ContainerOptions = ContainerOptions()
    exposed: tuple[str, ...] = ()
    users: int = 0


def mount_point(roots: Roots, container_id: str) -> str:
    """Where its root is attached, in its mount namespace: a directory of its own that covers nothing to be bound."""
    return roots.container(container_id) + "/work"
