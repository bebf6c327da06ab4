"""From the limits of a spec to a cgroup: in which hierarchies it needs a directory, and what is written there.

Who only enters a cgroup that is there, as an exec does, need not load this, nor the two kernels' interfaces.
"""

from __future__ import annotations

from pycontainer.cgroups import devices, v1, v2
from pycontainer.cgroups.group import Group, Tree, below
from pycontainer.cgroups.limit import OPTIONS, Limit, Look
from pycontainer.errors import HostLacks, UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pycontainer.cgroups.hierarchy import Hierarchies, Hierarchy
    from pycontainer.cgroups.resources import Resources

# What another engine reads the use of, or pauses by, where it finds the container in a v1 hierarchy
EVERYWHERE = ("freezer", "cpu", "cpuacct", "pids", "blkio", "devices")


def plan(
    hierarchies: Hierarchies,
    path: str,
    resources: Resources,
    look: Look,
    defaults: Collection[str] = (),
    also: Collection[str] = (),
) -> Group:
    """The group for ``resources``, with a directory in each hierarchy that has something to do, and no other.

    Memory is always counted where it can be. ``defaults`` are the keys that nobody asked for ("pids.limit"): where the
    host can't keep them they are skipped. ``also`` are v1 controllers to have a directory for, limits or not; v2 has
    one anyway, in which "pids" is to count then.

    Raises:
        HostLacks: a controller or a file that was asked for is not here.
        UsageError: a path or value that means nothing.
    """
    return _Planner(hierarchies, path, look, defaults).plan(resources, also)


class _Planner:
    """Gathers, hierarchy by hierarchy, what belongs there."""

    def __init__(self, hierarchies: Hierarchies, path: str, look: Look, defaults: Collection[str]) -> None:
        self.hierarchies, self.path, self.look, self.defaults = hierarchies, path, look, defaults
        self.trees: dict[str, Tree] = {}
        self.skipped: list[str] = []

    def plan(self, resources: Resources, also: Collection[str]) -> Group:
        self._place("memory", (), "memory")
        for controller in also:
            home = self.hierarchies.v1.get(controller)
            if home and home.writable:
                self._add(home, controller)
        if (v2_alone := self.hierarchies.v2) and also and not self.hierarchies.v1 and v2_alone.writable:
            self.trees.setdefault(v2_alone.mount, Tree(v2_alone, below(v2_alone, self.path, self.look)))
            if "pids" in also and "pids" in v2_alone.controllers:
                self._add(v2_alone, "pids")
        for controller in v1.LIMITS:
            home = self.hierarchies.home(controller)
            table = v2.LIMITS if home and home.version == 2 else v1.LIMITS
            limits = table[controller](resources, home.mount if home else "", self.look)
            for limit in limits:
                self._place(controller, (limit,), limit.key)
        self._devices(devices.rules(resources.get("devices") or ()))
        self._unified(resources.get("unified") or {})
        self._fill_above()
        return Group(tuple(self.trees.values()), tuple(self.skipped))

    def _place(self, controller: str, limits: tuple[Limit, ...], key: str) -> None:
        home = self.hierarchies.home(controller)
        lacking = self._lacking(home, controller, limits)
        if home and not lacking:
            name = "io" if controller == "blkio" and home.version == 2 else controller
            self._add(home, name, limits)
        elif key in self.defaults or key == "memory":
            self.skipped.append(key)
        else:
            raise HostLacks(f"{OPTIONS.get(key, key)}: {lacking}")

    def _lacking(self, home: Hierarchy | None, controller: str, limits: tuple[Limit, ...]) -> str:
        """Why this can't be done here; "" if it can, as far as can be seen."""
        if home is None:
            return f"this host has no {controller} controller in any cgroup hierarchy"
        if not home.writable:
            return f"the {controller} controller is mounted read-only at {home.mount}"
        for limit in limits:
            if not _has(home, limit.file, self.look):
                return f"this kernel has no {limit.file}"
        return ""

    def _add(self, home: Hierarchy, controller: str, limits: tuple[Limit, ...] = ()) -> Tree:
        tree = self.trees.get(home.mount)
        if tree is None:
            tree = Tree(home, below(home, self.path, self.look))
        if controller not in tree.controllers:
            tree = tree._replace(controllers=(*tree.controllers, controller))
        tree = tree._replace(limits=tree.limits + limits)
        self.trees[home.mount] = tree
        return tree

    def _devices(self, rules: tuple[devices.Rule, ...]) -> None:
        home = self.hierarchies.home("devices") or self.hierarchies.v2
        if not rules:
            return
        if home and home.writable:
            self.trees[home.mount] = self._add(home, "devices")._replace(rules=rules)
        elif "devices" in self.defaults:
            self.skipped.append("devices")
        else:
            raise HostLacks("access to devices can't be limited: no cgroup hierarchy is mounted and writable for it")

    def _unified(self, files: dict[str, str]) -> None:
        for file, value in files.items():
            controller = file.split(".")[0]
            home = self.hierarchies.v2
            if "/" in file or "." not in file or "\0" in file:
                raise UsageError(f"linux.resources.unified: {file!r} is not a file of a cgroup")
            if home is None or (controller != "cgroup" and controller not in home.controllers):
                raise HostLacks(f"linux.resources.unified: {file} needs the {controller} controller in cgroup v2")
            self._add(home, controller, (Limit(file, value, f"unified.{file}"),))

    def _fill_above(self) -> None:
        """In v1 a cgroup can't have CPUs, or realtime, that the one above it lacks; and a new one lacks them."""
        for mount, tree in self.trees.items():
            if tree.hierarchy.version == 1 and tree.limits:
                above = v1.cpuset_above(tree.limits, mount, tree.parents, self.look)
                above += v1.realtime_above(tree.limits, tree.parents, self.look)
                self.trees[mount] = tree._replace(above=tuple(above))


def _has(home: Hierarchy, file: str, look: Look) -> bool:
    """Whether this kernel has ``file``; true where nothing here can tell."""
    if home.version == 2:
        return file not in v2.OPTIONAL or v2.has_file(home.mount, file, look) is not False
    return file in v1.NOT_IN_ROOT or look.read(f"{home.mount}/{file}") is not None
