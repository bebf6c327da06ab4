"""Sharing another container's namespaces: ``--pid``, ``--ipc`` and ``--network container:X`` (namespaces(7)).

A namespace is named by a file of a process's. The process may end, and its number be given to another one, between
looking it up and opening the file: so the file is opened first, and only then is it asked whether the container whose
process that was is still alive. What the plan opens is our descriptor.
"""

from __future__ import annotations

import os

from pycontainer.engine import containers, identity, life
from pycontainer.errors import Conflict, NotFound, StoreError
from pycontainer.light import ExitStack, contextmanager, suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.engine.bundle import Bundle
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.oci.options import ContainerOptions

_FILES = {"pid": "pid", "ipc": "ipc", "network": "net"}


def wanted(asked: ContainerOptions) -> dict[str, str]:
    """Kind of namespace -> the name of the container that it is shared with."""
    modes = {"pid": asked.pid, "ipc": asked.ipc, "network": asked.network}
    return {kind: mode.partition(":")[2] for kind, mode in modes.items() if mode.startswith("container:")}


def files(roots: Roots, asked: ContainerOptions) -> dict[str, str]:
    """The files of whose network is shared: path in the container -> path on the host. None if it does not run."""
    other = _owner(roots, asked)
    if other is None or not other.runs:
        return {}
    where = roots.container(other.id)
    return {f"/etc/{name}": f"{where}/{name}" for name in ("hosts", "hostname", "resolv.conf")}


def hostname(roots: Roots, asked: ContainerOptions) -> str:
    """What that one is called, as its files name its address; "" if there is none."""
    other = _owner(roots, asked)
    return identity.recorded_hostname(other) if other else ""


def _owner(roots: Roots, asked: ContainerOptions) -> Container | None:
    with suppress(NotFound, StoreError):
        return containers.find(roots, asked.network.partition(":")[2])
    return None


@contextmanager
def joined(roots: Roots, bundle: Bundle) -> Iterator[str]:
    """Put what is shared into the bundle's spec, for as long as it takes to start.

    Gives the path of the mount namespace whose /dev/shm goes with the IPC namespace, or "".

    Raises:
        NotFound: no such container.
        Conflict: it does not run, or keeps its IPC namespace to itself.
    """
    with ExitStack() as opened:
        memory = ""
        for kind, name in wanted(bundle.asked).items():
            other = _donor(roots, name, kind)
            path = _open(roots, other, _FILES[kind], opened)
            for namespace in bundle.spec["linux"]["namespaces"]:
                if namespace["type"] == kind:
                    namespace["path"] = path
            if kind == "ipc":
                memory = _open(roots, other, "mnt", opened)
        yield memory


def _donor(roots: Roots, name: str, kind: str) -> Container:
    other = containers.find(roots, name)
    if not other.runs:
        raise Conflict(f"can't join the {kind} namespace of container {other.name}: it is {other.state}")
    if kind == "ipc" and other.options.get("ipc", "") in ("", "private", "none"):
        raise Conflict(
            f"can't join the IPC namespace of container {other.name}: it keeps that to itself",
            hint="start it with --ipc shareable",
        )
    return other


def _open(roots: Roots, other: Container, name: str, opened: ExitStack) -> str:
    try:
        descriptor = os.open(f"/proc/{other.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise Conflict(f"can't join the namespaces of container {other.name}: it has just ended") from None
    opened.callback(os.close, descriptor)
    if not life.is_alive(roots, other.id) or containers.find(roots, other.id).pid != other.pid:
        raise Conflict(f"can't join the namespaces of container {other.name}: it has just ended")
    return f"/proc/{os.getpid()}/fd/{descriptor}"
