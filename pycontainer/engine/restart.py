"""``restart``: the end of one life, and the beginning of the next."""

from __future__ import annotations

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events
from pycontainer.engine.revive import begin
from pycontainer.engine.stop import stop
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.attachment import Signals
    from pycontainer.engine.options import Roots


def restart(
    roots: Roots, name: str, *, sign: str = "", timeout: float | None = None, signals: Signals | None = None
) -> None:
    """Stop it if it runs, and start it."""
    container = containers.find(roots, name)
    stop(roots, container.id, sign=sign, timeout=timeout)
    hit("restart.stopped")
    begin(roots, container.id, signals=signals)
    events.write(roots, "restart", container)
