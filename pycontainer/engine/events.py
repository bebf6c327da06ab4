"""What has happened, one line each in RUNROOT/events: a time, a space, and a JSON object.

The line of a container's end is written by its monitor (core/monitor.c), which knows only the ID; the reader finds the
rest in the line of its beginning. The file is lost at a reboot, and begins anew when it has grown to some megabytes.
"""

from __future__ import annotations

import contextlib
import os
import time

from pycontainer import jsontext
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

LIMIT = 4 << 20


def path(roots: Roots) -> str:
    """The file of events."""
    return roots.runroot + "/events"


def write(roots: Roots, action: str, container: Container, **attributes: str) -> None:
    """Add what happened to a container; it is no reason to fail if that can't be written."""
    line = {"Action": action, "id": container.id, "name": container.name, "image": container.image} | attributes
    if container.labels:
        line["labels"] = container.labels  # type: ignore[assignment]
    add(roots, line)


def add(roots: Roots, line: dict[str, str]) -> None:
    """Add a line. One write with O_APPEND, so that lines of several processes do not mix."""
    with contextlib.suppress(OSError):
        file = os.open(path(roots), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_size > LIMIT:
                os.rename(path(roots), path(roots) + ".1")
            os.write(file, f"{stamp()} {jsontext.dump(line)}\n".encode())
        finally:
            os.close(file)


def stamp() -> str:
    """Now, in UTC with nanoseconds (RFC 3339)."""
    whole, rest = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{rest:09d}Z"
