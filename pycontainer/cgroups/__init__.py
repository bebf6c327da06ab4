"""Control groups: what a container may use, kept by the kernel (cgroups(7)).

:func:`detect` reads what this host has; :meth:`Cgroups.group` turns a spec's ``linux.resources`` into a
:class:`Group` (``planner``), whose steps make, enter and remove a directory in each hierarchy that is needed
(``group``). ``v1`` and ``v2`` hold the two kernels' interfaces, ``devices`` the rules for devices in both, ``removal``
what repairs.
"""

# to read it       hierarchy (what is mounted), resources (what is asked for), planner, limit, v1 and v2, devices, group
# systemd          scope, systemd, request
# meanwhile        adjust, usage, freezer
# when it fails    refusal; at the end: removal

from __future__ import annotations

from pycontainer.cgroups import group, hierarchy
from pycontainer.cgroups.group import Group, View
from pycontainer.cgroups.limit import Look
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager

    from pycontainer.cgroups.resources import Resources

__all__ = ["Cgroups", "Group", "View", "detect", "oom_killed"]


class Cgroups:
    """The cgroups of a host."""

    def __init__(self, hierarchies: hierarchy.Hierarchies, look: Look) -> None:
        """``hierarchies`` is what is mounted, ``look`` how files there are read."""
        self.hierarchies, self.look = hierarchies, look

    @property
    def version(self) -> int:
        """2 when memory is limited by cgroup v2, as `docker info` says it; 0 without any cgroups."""
        home = self.hierarchies.home("memory") or self.hierarchies.home("pids") or self.hierarchies.v2
        return home.version if home else 0

    def group(
        self, path: str, resources: Resources, defaults: Collection[str] = (), also: Collection[str] = ()
    ) -> Group:
        """The group at ``path`` for ``resources``, the runtime-spec's.

        Args:
            path: from the top of each hierarchy, or without a leading slash from where this process is.
            resources: the limits.
            defaults: keys among them that nobody asked for, for example ``"pids.limit"``; where the host can't keep
                one of them it is left out and listed in ``skipped``.
            also: v1 controllers whose hierarchies get a directory even without a limit.

        Raises:
            HostLacks: what was asked for can't be limited here.
            UsageError: a path or value that means nothing.
        """
        from pycontainer.cgroups import planner  # not for who enters one

        return planner.plan(self.hierarchies, path, resources, self.look, defaults, also)

    def existing(self, path: str, pid: int) -> Group:
        """The group at ``path`` as it is, for a process that is to join process ``pid`` there."""
        return group.existing(self.hierarchies, path, self.look, self.look.read(f"/proc/{pid}/cgroup") or "")

    def home_of_monitors(self) -> int:
        """A descriptor of the v2 cgroup where monitors are born, or -1 where it can't be had.

        In their caller's they would end with it: systemd kills what is left in the cgroup of a service that has ended,
        and, if told so, of a session. The caller closes it.
        """
        top = self.hierarchies.v2
        if top is None or self.hierarchies.v1 or not top.writable:
            return -1
        return hierarchy.directory(f"{top.mount}/pyc", "monitors")

    def remove_now(self, path: str, timeout: float = 5) -> tuple[str, ...]:
        """Kill whatever is in the group at ``path`` and remove it, wherever it has a directory.

        For repairs: the container has no monitor any more. Returns the directories that are still in use after
        ``timeout`` seconds.
        """
        from pycontainer.cgroups.removal import remove  # a repair is rare

        found = {home.mount: home for home in [*self.hierarchies.v1.values(), self.hierarchies.v2] if home}
        directories = [group.Tree(home, group.below(home, path, self.look)).directory for home in found.values()]
        return remove(directories, kill=True, timeout=timeout)

    def frozen(self, path: str) -> AbstractContextManager[None]:
        """While this lasts, nobody in the group at ``path`` runs. Raises HostLacks where nothing can see to that."""
        from pycontainer.cgroups.freezer import frozen

        return frozen(self.hierarchies, path)

    def freeze(self, path: str) -> None:
        """Stop everybody in the group at ``path``, until :meth:`thaw`. Raises HostLacks where that can't be done."""
        from pycontainer.cgroups.freezer import freeze

        freeze(self.hierarchies, path)

    def thaw(self, path: str) -> None:
        """Let them go on."""
        from pycontainer.cgroups.freezer import thaw

        thaw(self.hierarchies, path)


def detect() -> Cgroups:
    """Look at this host, in 0.1 ms."""
    return Cgroups(hierarchy.detect(), Look())


def oom_killed(counters: str) -> bool:
    """Whether the kernel killed a process because the memory limit was reached.

    ``counters`` is the text of memory.events (v2) or memory.oom_control (v1); both have a line ``oom_kill N``.
    """
    return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in counters.splitlines())
