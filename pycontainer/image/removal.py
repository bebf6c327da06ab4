"""``rmi``: a name is taken from an image, and the image goes with its last one."""

from __future__ import annotations

from pycontainer.errors import Conflict
from pycontainer.image.entry import enter, match
from pycontainer.image.garbage import collect
from pycontainer.image.model import Removed
from pycontainer.image.reference import Reference
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycontainer.image.store import Store


def _nobody(image_id: str) -> Sequence[str]:
    return ()


def remove(
    store: Store, name_or_id: str, *, force: bool = False, in_use: Callable[[str], Sequence[str]] = _nobody
) -> Removed:
    """Take a name from an image, and delete the image with its last name (``docker rmi``).

    Args:
        name_or_id: a name takes away that name only; an id takes away all. One with a digest takes away tags only
            if the image was not pulled by digest.
        force: an id with several repositories, or the last tag of an image in use, is no conflict.
        in_use: gives the names of containers that use an image id; such an image is never deleted.

    Raises:
        NotFound: no such image.
        Conflict: in use, or known by several names.
    """
    with store.editing() as entries:
        chosen = match(entries, name_or_id)
        if "@" in name_or_id:
            chosen = [entry for entry in chosen if not entry.has_tag] or chosen
        image_id = chosen[0].image_id
        others = [entry for entry in entries if entry.image_id == image_id and entry not in chosen]
        if len({Reference.parse(entry.name).name for entry in chosen if entry.name}) > 1 and not force:
            names = ", ".join(entry.name for entry in chosen)
            raise Conflict(f"image {name_or_id} has several names: {names}", hint="remove them one by one, or force")
        users = in_use(image_id) if not any(entry.has_tag for entry in others) else ()
        if users and not (force and any(entry.has_tag for entry in chosen)):
            raise Conflict(f"image {name_or_id} is used by container {', '.join(users)}", hint="remove it first")
        for entry in chosen:
            entries.remove(entry)
        if users:
            enter(entries, chosen[0].demoted())
        elif not any(entry.has_tag for entry in others):  # only moved-on names are left: nobody can mean them
            for entry in others:
                entries.remove(entry)
        alive = any(entry.image_id == image_id for entry in entries)
    untagged = tuple(Reference.parse(entry.name).familiar for entry in chosen if entry.name)
    return Removed(untagged, () if alive else (image_id, *collect(store)))
