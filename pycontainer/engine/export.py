"""``export``: a container's root filesystem as one tar stream, without what is mounted on it."""

from __future__ import annotations

from collections.abc import Iterator

from pycontainer.engine import containers, events, filesystem
from pycontainer.image.pack import archive, portable, walk
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


def export(roots: Roots, name_or_id: str) -> Iterator[bytes]:
    """The archive, piece by piece.

    Raises NotFound, and HostLacks without root.
    """
    container = containers.find(roots, name_or_id)
    with filesystem.snapshot(roots, container) as root:
        items = walk(root, b".", b"")
        yield from archive(portable(item for item in items if item.entry.name))
    events.write(roots, "export", container)
