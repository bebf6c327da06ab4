"""``rmi``: an image loses a name, or goes, unless a container needs it; and the events tell it."""

from __future__ import annotations

from pycontainer.engine import containers, events
from pycontainer.image import removal
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots
    from pycontainer.image.model import Removed


def remove(roots: Roots, name_or_id: str, *, force: bool = False) -> Removed:
    """Take a name from an image, and delete the image with its last one: :func:`pycontainer.image.removal.remove`."""
    removed = removal.remove(Store(roots.root), name_or_id, force=force, in_use=lambda image_id: users(roots, image_id))
    events.removed(roots, removed)
    return removed


def users(roots: Roots, image_id: str) -> list[str]:
    """Names of the containers that an image must stay for: made from it, or with its files mounted."""
    return [
        container.name
        for container in containers.listing(roots, whole=True)
        if container.image_id == image_id
        or any(list(mount[:2]) == ["image", image_id] for mount in container.options.get("mounts", ()))
    ]
