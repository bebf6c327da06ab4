"""One health check, made for a monitor: run the command inside, write down how it went, and draw the conclusion."""

from __future__ import annotations

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots


def check(roots: Roots, container_id: str) -> None:
    """Make the check (with exec, which is not here yet)."""
