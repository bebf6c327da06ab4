"""The first process of a container, held by a pidfd: whatever a number in a file says, no other process is meant."""

from __future__ import annotations

import os

from pycontainer.engine import containers
from pycontainer.light import contextmanager, suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


@contextmanager
def opened(roots: Roots, container: Container) -> Iterator[int | None]:
    """A pidfd of the container's first process; None if it has ended.

    Its number can't have become another's: until the monitor has recorded the end the process stays a zombie, and that
    nothing is recorded is looked at after the descriptor was opened.
    """
    pidfd = None
    if container.pid:
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(container.pid)
    try:
        same = pidfd is not None and containers.with_state(roots, container).pid == container.pid
        yield pidfd if same and is_first(roots, container.id, container.pid) else None
    finally:
        if pidfd is not None:
            os.close(pidfd)


def is_first(roots: Roots, container_id: str, pid: int) -> bool:
    """Whether that is the first process, whatever a file says: its parent, the monitor, works in the live directory."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # a process's name need not be text
            parent = int(file.read().rpartition(b")")[2].split()[1])
        return os.path.samestat(os.stat(f"/proc/{parent}/cwd"), os.stat(roots.live(container_id)))
    except (OSError, IndexError):
        return False
