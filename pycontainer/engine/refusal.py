"""What it means for a container that the host refused a call: which of the two places it is about, and what to do."""

from __future__ import annotations

from pycontainer.image import disk
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots
    from pycontainer.errors import StoreError


def trouble(roots: Roots, doing: str, error: OSError) -> StoreError:
    """The error to show; ``doing`` is what failed, as in ``"can't make the container"``."""
    about = str(error.filename or "")
    if not about and disk.is_full(error):  # write(2) names no file
        place = next(filter(disk.has_no_room, roots), roots.root)
    else:
        place = roots.runroot if about.startswith(f"{roots.runroot}/") else roots.root
    return disk.trouble(place, f"{doing} below {place}", error)
