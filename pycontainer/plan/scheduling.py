"""How the kernel schedules the process: CPU, disk, memory nodes and execution domain (sched(7), ioprio_set(2))."""

from __future__ import annotations

from _struct import pack  # `struct` itself is a file more to be read

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Call, Proof, Step
from pycontainer.errors import Unsupported, UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycontainer.oci.spec import MemoryPolicy, Scheduler, Spec


def steps(spec: Spec) -> tuple[Step, ...]:
    """Inherited by all that the process starts."""
    made = [*_scheduler(spec), *_disk(spec), *_memory(spec), *_personality(spec)]
    if not made:
        return ()
    return (
        Step(
            "Say how it is scheduled",
            "Policies, priorities and places that a cgroup does not know are the process's own, and its children's",
            INIT,
            tuple(made),
            "sched(7)",
            Proof("/proc/{pid}/sched", "policy"),
        ),
    )


def _number(names: Mapping[str, int], name: str, field: str) -> int:
    if name not in names:
        raise UsageError(f"{field}: {name!r} is none of {', '.join(names)}")
    return names[name]


def _flags(names: Mapping[str, int], asked: Iterable[str], field: str) -> int:
    flags = 0
    for name in asked:
        flags |= _number(names, name, field)
    return flags


def _scheduler(spec: Spec) -> list[Call]:
    asked: Scheduler = spec["process"].get("scheduler") or {}
    if not asked:
        return []
    policy = _number(k.SCHED_POLICIES, asked.get("policy", ""), "process.scheduler.policy")
    flags = _flags(k.SCHED_FLAGS, asked.get("flags") or (), "process.scheduler.flags")
    times = (asked.get(key, 0) for key in ("runtime", "deadline", "period"))
    attributes = pack("IIQiIQQQ", 48, policy, flags, asked.get("nice", 0), asked.get("priority", 0), *times)
    return [calls.sched_setattr(attributes)]


def _disk(spec: Spec) -> list[Call]:
    asked = spec["process"].get("ioPriority")
    if not asked:
        return []
    kind = _number(k.IOPRIO_CLASSES, asked.get("class", ""), "process.ioPriority.class")
    return [calls.ioprio_set(kind << 13 | asked.get("priority", 0))]


def _memory(spec: Spec) -> list[Call]:
    asked: MemoryPolicy = spec["linux"].get("memoryPolicy") or {}
    if not asked:
        return []
    mode = _number(k.MEMORY_POLICIES, asked.get("mode", ""), "linux.memoryPolicy.mode")
    flags = _flags(k.MEMORY_POLICY_FLAGS, asked.get("flags") or (), "linux.memoryPolicy.flags")
    nodes = bits(asked.get("nodes", ""), "linux.memoryPolicy.nodes")
    return [calls.set_mempolicy(mode | flags, nodes)]


def bits(listed: str, field: str) -> bytes:
    """``0-2,7`` as a mask for the kernel, a multiple of 8 bytes."""
    mask = 0
    try:
        for part in filter(None, listed.strip().split(",")):
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                mask |= 1 << number
        return mask.to_bytes((mask.bit_length() + 63) // 64 * 8, "little")
    except (ValueError, MemoryError):
        raise UsageError(f"{field}: {listed!r} is not a list such as 0-2,7") from None


def _personality(spec: Spec) -> list[Call]:
    asked = spec["linux"].get("personality")
    if not asked:
        return []
    if asked.get("flags"):
        raise Unsupported("linux.personality.flags: the runtime-spec defines none")
    return [calls.personality(_number(k.PERSONALITIES, asked.get("domain", ""), "linux.personality.domain"))]
