"""What goes between pyc, which asks systemd for a container's scope, and its monitor, which waits for it."""

from __future__ import annotations

import os

from pycontainer.cgroups.group import SCOPE
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.cgroups.group import Group
    from pycontainer.core.step import Slot


class ScopeRequest:
    """A pipe, if the group is in a scope; nothing if not. As a context it closes the monitor's end of ours.

    Attributes:
        given: what the performer is to be started with.
    """

    def __init__(self, group: Group) -> None:
        self._scope, self._tell = group.scope, -1
        self.given: dict[Slot, int] = {}
        if self._scope:
            self.given[SCOPE], self._tell = os.pipe2(os.O_CLOEXEC)

    def __enter__(self) -> ScopeRequest:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for end in self.given.values():
            os.close(end)
        if kind is not None:
            self._close()

    def fulfil(self, monitor: int) -> None:
        """Let systemd make the scope around the monitor, and tell it. Raises HostLacks."""
        if self._scope is None:
            return
        from pycontainer.cgroups import systemd

        try:
            systemd.make(self._scope, monitor)
            os.write(self._tell, b"1")
        finally:
            self._close()

    def _close(self) -> None:
        if self._tell >= 0:
            os.close(self._tell)
            self._tell = -1
