"""``diff``: what a container has changed since it was made from its image."""

from __future__ import annotations

from pycontainer.engine import containers, filesystem
from pycontainer.image.changes import Change, changes
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


def diff(roots: Roots, name_or_id: str) -> list[Change]:
    """The changes, in the order of paths.

    Raises NotFound, and HostLacks without root.
    """
    container = containers.find(roots, name_or_id)
    with filesystem.image(roots, container) as before, filesystem.upper(roots, container) as written:
        return changes(written, before)
