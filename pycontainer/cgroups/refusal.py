"""Why the kernel refused a cgroup operation, in a sentence that was checked. Imported only after a failure."""

from __future__ import annotations

import errno

from pycontainer.cgroups.limit import Look
from pycontainer.core.step import Call, Slot, Step


def cause(step: Step, call: Call, number: int, look: Look | None = None) -> str:
    """The cause of ``call`` failing with ``number`` in a step of this package; "" when none could be found."""
    path = _path(step, call)
    look = look or Look()
    if call.name == "write" and isinstance(call.args[0], Slot) and call.args[0].name.startswith("tasks of "):
        return _enter(call.args[0].name.removeprefix("tasks of "), number)
    directory, _, file = path.rpartition("/")
    if "/cgroup" not in path:
        return ""
    if call.name == "mkdirat":
        return _mkdir(path, number, look)
    if number == errno.EROFS:
        return f"{directory} is on a read-only mount"
    if call.name == "openat" and number == errno.ENOENT:
        return f"this kernel has no {file}" if look.read(f"{directory}/cgroup.procs") is not None else ""
    if call.name == "write" and isinstance(call.args[1], bytes):
        return _write(directory, file, call.args[1].decode(errors="replace"), number, look)
    return ""


def _path(step: Step, call: Call) -> str:
    """What the call is about: its own path, or that of the file its descriptor was opened for."""
    if path := next((arg for arg in call.args if isinstance(arg, str)), ""):
        return path
    earlier = step.calls[: step.calls.index(call)]
    opened = (str(other.args[1]) for other in reversed(earlier) if other.out and other.out == call.args[0])
    return next(opened, "")


def _mkdir(path: str, number: int, look: Look) -> str:
    if number == errno.EEXIST:
        return f"the cgroup {path} exists already; another container may be in it"
    if number == errno.ENOSPC:
        return "this hierarchy has as many cgroups as the kernel allows, or cgroup.max.descendants above it does"
    return ""


def _enter(hierarchy: str, number: int) -> str:
    if number == errno.ENOSPC:
        return f"the {hierarchy} cgroup has no CPUs or no memory nodes, so nothing can run in it"
    if number == errno.EINVAL:
        return f"a realtime process can't enter the {hierarchy} cgroup, which has no realtime budget"
    if number == errno.ENODEV:
        return f"the {hierarchy} cgroup has been removed"
    return ""


def _write(directory: str, file: str, value: str, number: int, look: Look) -> str:
    if file == "cgroup.subtree_control":
        return _hand_down(directory, value, number, look)
    if file in ("cpuset.cpus", "cpuset.mems"):
        above = directory.rpartition("/")[0]
        has = (look.read(f"{above}/{file}.effective") or look.read(f"{above}/{file}") or "").strip()
        return f"the cgroup above has {has or 'none'} and {value} was asked for" if number != errno.EPERM else ""
    if number in (errno.ENODEV, errno.ENXIO) and ":" in value:
        return f"this host has no disk {value.split()[0]} (a partition has no limits of its own)"
    if number == errno.EOPNOTSUPP and "weight" in file:
        return f"the disk {value.split()[0]} does not use the BFQ scheduler, which knows weights"
    if number in (errno.EINVAL, errno.ERANGE):
        return f"{file} does not take {value!r}"
    return ""


def _hand_down(directory: str, value: str, number: int, look: Look) -> str:
    if number == errno.EBUSY:
        return f"processes are in {directory} itself; in cgroup v2 only a cgroup without any can hand controllers down"
    if number == errno.ENOENT:
        has = (look.read(f"{directory}/cgroup.controllers") or "").strip()
        return f"{directory} was handed only {has or 'nothing'} and {value} was asked for"
    return ""
