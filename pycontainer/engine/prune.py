"""``image prune``, ``container prune`` and ``system prune``: removing what nobody needs."""

from __future__ import annotations

from collections.abc import Callable

from pycontainer.engine import containers, rm
from pycontainer.engine.disk_usage import stored, written
from pycontainer.engine.image.remove import remove, users
from pycontainer.engine.repair import repair
from pycontainer.errors import Conflict, NotFound, StoreError
from pycontainer.image import garbage
from pycontainer.image.model import Removed
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.model import Image


class Pruned(Record):
    """What was removed: names of what, as docker prints it, and how many bytes that gave back."""

    removed: tuple[str, ...] = ()
    size: int = 0


def prune_images(roots: Roots, *, every: bool = False, wanted: Callable[[Image], bool] = lambda image: True) -> Pruned:
    """Remove the images that no container uses: those without a tag, or with ``every`` all; and what is no image's.

    Args:
        wanted: whether an image passes the user's filters.
    """
    store = Store(roots.root)
    before = sum(stored(store).values())
    removed: list[str] = []
    for image in store.images():
        if (image.tags and not every) or not wanted(image) or users(roots, image.id):
            continue
        try:
            gone = remove(roots, image.id, force=True)
        except (NotFound, Conflict):
            continue  # somebody was quicker, or uses it now
        removed += lines_of(gone)
    removed += [f"deleted: {digest}" for digest in garbage.collect(store)]
    return Pruned(tuple(removed), max(0, before - sum(stored(store).values())))


def lines_of(removed: Removed) -> list[str]:
    """What docker prints about an image that was removed by ``prune``."""
    return [f"untagged: {name}" for name in removed.untagged] + [f"deleted: {digest}" for digest in removed.deleted]


def prune_containers(roots: Roots, wanted: Callable[[Container], bool] = lambda container: True) -> Pruned:
    """Remove the containers that don't run."""
    repair(roots)
    removed, size = [], 0
    for container in containers.listing(roots):
        if container.is_up or not wanted(container):
            continue
        took = written(roots, container.id)
        try:
            rm.remove(roots, container.id)
        except (NotFound, Conflict, StoreError):
            continue  # somebody was quicker, or it runs now, or is damaged
        removed.append(container.id)
        size += took
    return Pruned(tuple(removed), size)
