"""What containers have of their networks, as it is written down; whoever changes it has the lock.

ROOT/networks/<name>.json                what a network is
RUNROOT/networks/<name>/<address>        a link to the container that has it
RUNROOT/containers/<id>/network.json     what a container has of its networks
"""

from __future__ import annotations

import fcntl
import os

from pycontainer import jsontext
from pycontainer.core.directories import make_private, replace_file
from pycontainer.engine import life
from pycontainer.light import contextmanager
from pycontainer.network.connection import Attachment
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.engine.options import Roots

RECORD = "network.json"
CONNECTING = "connecting"
"""Locked while somebody connects a container that runs; not empty until that is done."""


def table_of(roots: Roots) -> str:
    """The nftables table of this installation; another root has another."""
    if roots.root == "/var/lib/pycontainer":
        return "pycontainer"
    from binascii import crc32

    return f"pycontainer_{crc32(os.fsencode(os.path.realpath(roots.root))):08x}"


def directory(roots: Roots, name: str = "") -> str:
    """Where the addresses of a network are."""
    return f"{roots.runroot}/networks" + (f"/{name}" if name else "")


@contextmanager
def locked(roots: Roots) -> Iterator[None]:
    """One at a time: who makes what is missing, and who tells the members of a network of each other."""
    make_private(directory(roots))
    lock = os.open(directory(roots) + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def record_path(roots: Roots, container_id: str) -> str:
    """Where that is."""
    return f"{roots.live(container_id)}/{RECORD}"


def write_record(roots: Roots, attachment: Attachment) -> None:
    """Write down what a container has of its networks."""
    path = record_path(roots, attachment.container)
    replace_file(path, jsontext.dump(attachment.record()), written="attachment.written")


def attachment_of(roots: Roots, container_id: str) -> Attachment | None:
    """What a container has of its networks now; None without any."""
    try:
        with open(record_path(roots, container_id)) as file:
            return Attachment.of(jsontext.load(file.read()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def attachments(roots: Roots) -> Iterator[Attachment]:
    """Of all containers that live."""
    try:
        found = os.listdir(roots.runroot + "/containers")
    except FileNotFoundError:
        return
    for container_id in found:
        attachment = attachment_of(roots, container_id)
        if attachment is not None and life.is_alive(roots, container_id):
            yield attachment
