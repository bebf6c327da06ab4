"""What has happened, one line each in RUNROOT/events: a time, a space, and a JSON object.

There is no daemon to tell it: whoever does something adds the line. That of a container's end is written by its monitor
(core/monitor.c), which knows only the ID; the reader finds the rest in the lines of its beginning, and what it had of
networks and volumes. The file is lost at a reboot, and begins anew when it has grown to some megabytes; the one before
is kept as ``events.1``.
"""

from __future__ import annotations

import os

from pycontainer import jsontext
from pycontainer.core.directories import make_private
from pycontainer.engine.moments import now
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.model import Removed
    from pycontainer.network.store import Network
    from pycontainer.oci.grammar.mounts import Mount

LIMIT = 4 << 20


def path(roots: Roots) -> str:
    """The file of events."""
    return roots.runroot + "/events"


def write(roots: Roots, action: str, container: Container, **attributes: str) -> None:
    """Add what happened to a container."""
    line: dict[str, Any] = {"Action": action, "id": container.id, "name": container.name, "image": container.image}
    if container.labels:
        line["labels"] = container.labels
    _add(roots, line | attributes)


def tell(roots: Roots, kind: str, action: str, what: str, **attributes: str) -> None:
    """Add what happened to an ``image``, a ``network`` or a ``volume``; ``what`` is its ID, or else its name."""
    _add(roots, {"Type": kind, "Action": action, "id": what, **attributes})


def connection(roots: Roots, action: str, network: Network, container_id: str) -> None:
    """Add that a container was connected to a network, or disconnected."""
    tell(roots, "network", action, network.id, container=container_id, name=network.name, type=network.driver)


def mount(roots: Roots, made: Mount, container_id: str) -> None:
    """Add that a container that starts has a volume."""
    writable = str(not made.readonly).lower()
    rest = {"container": container_id, "destination": made.target, "driver": "local", "propagation": ""}
    tell(roots, "volume", "mount", made.source, **rest, **{"read/write": writable})


def removed(roots: Roots, gone: Removed) -> None:
    """Add the names that an image has lost, and that it is gone with them; layers have no events."""
    for name in gone.untagged:
        tell(roots, "image", "untag", name, name=name)
    for digest in gone.deleted[:1]:
        tell(roots, "image", "delete", digest, name=digest)


def _add(roots: Roots, line: dict[str, Any]) -> None:
    """Add a line, in one write so that lines of several processes do not mix. If it can't be, that stops nobody."""
    with suppress(OSError):
        file = _open(roots)
        try:
            if os.fstat(file).st_size > LIMIT:
                _rotate(roots, file)
            os.write(file, f"{now()} {jsontext.dump(line)}\n".encode())
        finally:
            os.close(file)


def _open(roots: Roots) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path(roots), flags, 0o600)
    except FileNotFoundError:
        make_private(roots.runroot)
        return os.open(path(roots), flags, 0o600)


def _rotate(roots: Roots, file: int) -> None:
    """Begin another file with the next line; of several who want to, one does."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)
    if os.path.samestat(os.fstat(file), os.stat(path(roots))):
        os.rename(path(roots), path(roots) + ".1")
