"""``rename``: another name for a container, which may run meanwhile."""

from __future__ import annotations

import contextlib
import os

from pycontainer.engine import containers, events
from pycontainer.errors import Conflict
from pycontainer.oci.grammar import container_name
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


def rename(roots: Roots, old: str, new: str) -> None:
    """Take the new name first, then let go of the old one. Raises Conflict if somebody has it."""
    container_name(new)
    container = containers.find(roots, old)
    if new == container.name:
        raise Conflict(f"container {old} has that name already")
    containers.take_name(roots, container.id, new)
    containers.write(roots, container._replace(name=new))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{roots.root}/names/{container.name}")
    events.write(roots, "rename", container._replace(name=new), oldName="/" + container.name)
