"""``update``: other limits and another restart policy for a container, now and for its next lives."""

from __future__ import annotations

from pycontainer import cgroups, jsontext
from pycontainer.cgroups.adjust import adjust
from pycontainer.core.directories import replace_file
from pycontainer.engine import containers, events, facts, policy, recall, removal
from pycontainer.engine.exec import read_spec
from pycontainer.errors import UsageError
from pycontainer.oci import options as container_options
from pycontainer.oci.options import ContainerOptions
from pycontainer.oci.resources import resources
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.cgroups.resources import Resources
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.oci.spec import Spec

# Fields of ContainerOptions that can be changed, and the section of linux.resources that each belongs to.
SECTIONS = {
    "memory": ("memory", "memory_reservation", "memory_swap"),
    "cpu": (
        "nano_cpus",
        "cpu_shares",
        "cpu_period",
        "cpu_quota",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "cpuset_cpus",
        "cpuset_mems",
    ),
    "pids": ("pids_limit",),
    "blockIO": ("blkio_weight",),
}
FIELDS = (*(field for fields in SECTIONS.values() for field in fields), "restart")


def update(roots: Roots, name: str, changes: dict[str, Any]) -> Container:
    """Change what is in ``changes``, fields of :class:`ContainerOptions` among FIELDS, and leave the rest.

    Raises:
        UsageError: limits that contradict each other, or that the kernel refuses.
        HostLacks: a limit that this host can't keep.
    """
    if other := changes.keys() - set(FIELDS):
        raise UsageError(f"can't be changed in a container that exists: {', '.join(sorted(other))}")
    if not changes:
        raise UsageError("nothing to change", hint="say what, for example --memory 512m")
    container = containers.find(roots, name)
    if container.rm and changes.get("restart", "no") != "no":
        raise UsageError("restart policy cannot be updated because AutoRemove is enabled for the container")
    spec = read_spec(roots, container)
    before = recall.recalled(container.options)
    after = _settled(before._replace(**changes), spec, changes)
    container_options.check(after)
    new = _resources(after, spec)
    if container.runs:
        _apply(roots, container, new, changes)
    _record(roots, container, after, {**spec, "linux": {**spec["linux"], "resources": new}})
    updated = containers.find(roots, container.id)
    if container.runs and policy.has_policy(updated) and not policy.has_policy(container):
        from pycontainer.engine.guard import guard  # only where its monitor was not told to see to that

        guard(roots, updated)
    events.write(roots, "update", updated)
    return updated


def _settled(options: ContainerOptions, spec: Spec, changes: dict[str, Any]) -> ContainerOptions:
    """Memory and swap together stay what they are, unless they are changed too. UsageError has docker's words."""
    both = ((spec["linux"].get("resources") or {}).get("memory") or {}).get("swap") or 0
    if "memory" not in changes or "memory_swap" in changes or not both:
        return options
    if 0 < both < options.memory:
        raise UsageError(
            "memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            hint=f"for example --memory-swap {2 * options.memory}",
        )
    return options._replace(memory_swap=both)


def _resources(options: ContainerOptions, spec: Spec) -> Resources:
    """All of them anew; the rules for devices do not change in a life."""
    seen = facts.gather(options._replace(privileged=False, tty=False))
    new = resources(options, seen.devices, cpus=seen.cpus, swap=seen.swap)
    if rules := (spec["linux"].get("resources") or {}).get("devices"):
        new["devices"] = rules
    return new


def _apply(roots: Roots, container: Container, new: Resources, changes: dict[str, Any]) -> None:
    """Write those sections in which something has changed."""
    touched = [section for section, fields in SECTIONS.items() if any(field in changes for field in fields)]
    wanted: Resources = {section: new[section] for section in touched if section in new}  # type: ignore[literal-required, assignment]
    here = cgroups.detect()
    group = here.group(container.cgroup, wanted)
    if "pids_limit" in changes and changes["pids_limit"] <= 0:
        group = _without_limit(here.group(container.cgroup, {**wanted, "pids": {"limit": 1}}))
    removal.expect_more(roots, container)
    adjust(here.existing(container.cgroup, container.pid).directories, group)


def _without_limit(group: cgroups.Group) -> cgroups.Group:
    """The number of tasks has a word for "any"."""
    trees = [
        tree._replace(
            limits=tuple(limit._replace(value="max") if limit.file == "pids.max" else limit for limit in tree.limits)
        )
        for tree in group.trees
    ]
    return group._replace(trees=tuple(trees))


def _record(roots: Roots, container: Container, options: ContainerOptions, spec: Spec) -> None:
    """In container.json, which the next start reads, and in config.json; each is replaced as a whole."""
    kept = {name: value for name, value in container.options.items() if name not in ContainerOptions._fields}
    always = {name: getattr(options, name) for name in container.options if name in ContainerOptions._fields}
    record = container._replace(options={**kept, **always, **recall.stored(options)})
    containers.write(roots, record)
    replace_file(roots.container(container.id) + "/config.json", jsontext.dump(spec))
