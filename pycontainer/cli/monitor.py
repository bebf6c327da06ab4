"""What a monitor calls, and no person: it holds no policy of its own."""

from __future__ import annotations

from pycontainer.cli import Session


def after(session: Session, what: str, container_id: str) -> int:
    """``ended ID``, ``follow ID`` when a container has ended; ``health ID`` to see how it is, 0 once it has settled."""
    if what == "ended":
        from pycontainer.engine import callback, ended

        ended.settle(session.roots, container_id, callback.LOCK)
    elif what == "follow":
        from pycontainer.engine import guard

        guard.follow(session.roots, container_id)
    else:
        from pycontainer.engine.checkup import check

        return 0 if check(session.roots, container_id) else 1
    return 0
