"""Who has a port of this host: asked for an error message only, since it looks at every process."""

from __future__ import annotations

import contextlib
import os

from pycontainer.engine import containers
from pycontainer.engine.network import attachments
from pycontainer.errors import NotFound
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.engine.options import Roots


def owner_of(roots: Roots, protocol: str, port: int, *, but: str) -> str:
    """Who has it, other than the container ``but``.

    ``container web (0123456789ab)``, ``process 42 (nginx)``, or "" if nobody can be found.
    """
    for attachment in attachments.attachments(roots):
        has = any((one.protocol, one.port) == (protocol, port) for one in attachment.ports)
        if has and attachment.container != but:
            with contextlib.suppress(NotFound):
                return f"container {containers.find(roots, attachment.container).name} ({attachment.container[:12]})"
    sockets = {f"socket:[{inode}]" for inode in _inodes(protocol, port)}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended, or may not be looked at
            if any(os.readlink(entry.path) in sockets for entry in os.scandir(f"/proc/{pid}/fd")):
                with open(f"/proc/{pid}/comm", errors="replace") as file:
                    return f"process {pid} ({file.read().strip()})"
    return ""


def _inodes(protocol: str, port: int) -> Iterator[str]:
    """The sockets bound to the port (proc_net(5)): column 2 is address:port in hexadecimal, column 10 the inode."""
    for table in (protocol, protocol + "6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{table}") as file:
            for line in file.readlines()[1:]:
                words = line.split()
                listens = protocol != "tcp" or words[3] == "0A"
                if listens and int(words[1].rpartition(":")[2], 16) == port:
                    yield words[9]
