"""``rename``: another name for a container, which may run meanwhile."""

from __future__ import annotations

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events
from pycontainer.errors import Conflict, UsageError
from pycontainer.light import nullcontext
from pycontainer.oci.grammar.words import container_name
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


def _neighbours_told(roots: Roots, container: Container) -> AbstractContextManager[None]:
    if not container.runs or container.options.get("network", "bridge") != "bridge":
        return nullcontext()
    from pycontainer.engine.network.connect import renaming  # +10 ms

    return renaming(roots, container)


def rename(roots: Roots, old: str, new: str) -> None:
    """Take the new name first, then let go of the old one. Raises Conflict: somebody has it, UsageError: it is none."""
    try:
        container_name(new)
    except UsageError as error:
        raise UsageError(f"{new!r} can't be the name of a container: {error.message}") from None
    container = containers.find(roots, old)
    if new == container.name:
        raise Conflict(f"container {old} has that name already")
    containers.take_name(roots, container.id, new)
    hit("rename.taken")
    with containers.names_locked(roots):
        if containers.owner_of(roots, new) != container.id:
            raise Conflict(f"the name {new} is already in use")  # before the record had it, it looked like remains
        try:
            with _neighbours_told(roots, container):
                containers.write(roots, container._replace(name=new))
        except BaseException:
            containers.free_name(roots, container.id, new)
            raise
        hit("rename.recorded")
        containers.free_name(roots, container.id, container.name)
    events.write(roots, "rename", container._replace(name=new), oldName="/" + container.name)
