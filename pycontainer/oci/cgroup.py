"""Where a container is among the cgroups: in which, and for a caller who may make none perhaps in none (cgroups(7))."""

from __future__ import annotations

import os

from pycontainer import cgroups
from pycontainer.cgroups import scope
from pycontainer.cgroups.group import Group, Tree
from pycontainer.cgroups.hierarchy import own_cgroup
from pycontainer.cgroups.planner import EVERYWHERE
from pycontainer.errors import Conflict, HostLacks, PycError, UsageError
from pycontainer.oci.failures import by_its_field
from pycontainer.plan.devices import DEFAULT
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.cgroups.devices import Rule
    from pycontainer.cgroups.limit import Limit
    from pycontainer.cgroups.resources import DeviceRule
    from pycontainer.oci.spec import Spec


def cgroup_of(name: str, spec: Spec, *, systemd: bool, rootless: bool = False) -> str:
    """The path of the container's cgroup; ``rootless``: of a user's own systemd.

    Raises UsageError where it is written for the other kind of runtime.
    """
    path = spec["linux"].get("cgroupsPath") or ""
    if systemd:
        from pycontainer.cgroups.systemd import require, top_of_users

        try:
            require()
            above = top_of_users() if rootless else ""
        except PycError as error:
            raise HostLacks(
                error.message,
                hint=error.hint if rootless else "without --systemd-cgroup the cgroup is made by pyc-oci itself",
            ) from None
        if path and not scope.is_for_systemd(path):
            raise UsageError(f"linux.cgroupsPath: with --systemd-cgroup it is SLICE:PREFIX:NAME, not {path!r}")
        return scope.of_spec(path, name, above)
    if scope.is_for_systemd(path):
        raise UsageError(f"linux.cgroupsPath: {path!r} is for systemd, which takes --systemd-cgroup")
    return path or _beside(name) or f"/pyc/{name}"


def _beside(name: str) -> str:
    """Where a user of cgroup v2 may make cgroups: beside the one that this process is in. "" where that is not so.

    Not below it: a cgroup that has processes hands no controllers down.
    """
    hierarchies = cgroups.detect().hierarchies
    if os.geteuid() == 0 or hierarchies.v1 or not hierarchies.v2:
        return ""
    beside = os.path.dirname(own_cgroup(hierarchies.v2))
    return f"{beside}/pyc-{name}" if beside and _may_make(f"{hierarchies.v2.mount}{beside}/new") else ""


def group_of(path: str, spec: Spec, *, rootless: bool = False) -> Group:
    """The container's cgroup, with a directory wherever an engine might look for the container.

    ``rootless``: where it may not be made it is not, if nobody asked for it. Raises HostLacks where a limit needs it.
    """
    resources = spec["linux"].get("resources") or {}
    unasked = () if resources.get("devices") else ("devices",)
    if not unasked or not rootless:
        resources = {**resources, "devices": [_NOTHING, *(resources.get("devices") or ()), *ALWAYS_ALLOWED]}
    with by_its_field():
        group = cgroups.detect().group(path, resources, defaults=unasked, also=EVERYWHERE)
    if rootless:
        asked = bool(spec["linux"].get("cgroupsPath"))
        group = Group(tuple(found for tree in group.trees if (found := _permitted(tree, asked=asked))))
    return group


def _permitted(tree: Tree, *, asked: bool) -> Tree | None:
    """What of it this user may make; None if that is nothing, and nobody ``asked`` for it.

    Raises HostLacks for a limit that can't be kept.
    """
    if tree.hierarchy.version == 2 and (asked or _may_make(tree.directory)):
        return _delegated(tree._replace(rules=_told(tree.rules)))
    if asked or _may_make(tree.directory):
        return tree
    _refuse(tree.limits, f"{os.path.dirname(tree.directory)}: permission denied")
    _told(tree.rules)
    return None


def _delegated(tree: Tree) -> Tree:
    """Of v2, from the directory on that is there already: it has the controllers that this user has been given.

    In a scope those that the user's systemd has been given, which hands down what is there to be handed down.
    """
    above = f"{tree.hierarchy.mount}{scope.top_of(tree.path)}" if tree.scope else _above(tree.directory)
    offered, handed_down = (_words(f"{above}/cgroup.{file}") for file in ("controllers", "subtree_control"))
    able = offered if tree.limits or tree.scope else handed_down
    controllers = tuple(name for name in tree.controllers if name in able)
    lacking = tuple(limit for limit in tree.limits if limit.file.split(".")[0] not in (*controllers, "cgroup"))
    _refuse(lacking, f"{above}/cgroup.controllers does not have it")
    return tree._replace(controllers=controllers, delegated="" if tree.scope else above)


def _refuse(limits: tuple[Limit, ...], why: str) -> None:
    if limits:
        raise HostLacks(
            f"linux.resources.{limits[0].key}: no cgroup for it can be made without root: {why}",
            hint="as root, or with cgroup v2 and a delegated cgroup, limits are kept",
        )


def _told(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """What becomes of rules for devices: nothing, and whoever wrote them should know."""
    if rules:
        from pycontainer.oci import log

        log.warning("linux.resources.devices: rules are not kept without root: the files' permissions decide")
    return ()


def _may_make(directory: str) -> bool:
    """Whether this process may make a cgroup there, and in v2 move a process from its own into it."""
    above = _above(directory)
    members = f"{above}/cgroup.procs"
    return os.access(above, os.W_OK | os.X_OK, effective_ids=True) and os.access(members, os.W_OK, effective_ids=True)


def _above(directory: str) -> str:
    """The nearest directory above that is there."""
    above = os.path.dirname(directory)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    return above


def _words(path: str) -> list[str]:
    with open(path) as file:
        return file.read().split()


def existing(path: str, spec: Spec, directories: tuple[str, ...]) -> Group:
    """The group of a container that is there: what was made of it."""
    group = cgroups.detect().group(path, spec["linux"].get("resources") or {}, also=EVERYWHERE)
    return Group(tuple(tree for tree in group.trees if tree.directory in directories))


def make_room(group: Group) -> None:
    """Remove an empty cgroup that is in the way. Raises Conflict where somebody is in it: it is another container's."""
    for directory in group.directories:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError:
            raise Conflict(f"linux.cgroupsPath: {directory} is in use, by another container perhaps") from None


_NOTHING: DeviceRule = {"allow": False, "access": "rwm"}  # what no rule allows nobody may open, as it is with runc
# Devices that the runtime makes whatever the rules say: the default ones of config-linux.md, terminals, and all nodes
# may be made, since it is opening one that counts.
ALWAYS_ALLOWED: list[DeviceRule] = [
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}  # type: ignore[list-item]
        for _, major, minor in (*DEFAULT, ("ptmx", 5, 2))
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
]
