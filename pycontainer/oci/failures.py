"""Why a container could not be made or started, in one line that begins with the field of config.json to blame."""

from __future__ import annotations

import errno
import os

from pycontainer.core.step import Slot
from pycontainer.errors import HostLacks, PycError
from pycontainer.light import contextmanager
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.cgroups import Group
    from pycontainer.core.performer import PlanFailed
    from pycontainer.core.step import Call, Step
    from pycontainer.oci.spec import Spec


class RuntimeFailed(PycError):
    """A step that failed, in one line: the engines show it, and look for words in it."""


def failure(failed: PlanFailed, spec: Spec, group: Group | None = None) -> PycError:
    """The error of a plan in one line; ``group`` knows which field each of its files is written for."""
    if failed.call.name in ("dup3", "fcntl") and failed.record.error in (errno.EBADF, errno.EMFILE, errno.EINVAL):
        return RuntimeFailed("process.rlimits: RLIMIT_NOFILE is too low for the descriptors that a start takes")
    if failed.call.name == "lseek":
        return RuntimeFailed("linux.maskedPaths: they can't be covered: what is there as /dev/null is another file")
    if failed.call.name == "execve":
        tried = [record.error for record in failed.earlier.values() if record.error == errno.EACCES]
        return RuntimeFailed(
            exec_failure((spec["process"].get("args") or [""])[0], tried[0] if tried else failed.record.error)
        )
    if failed.record.error == errno.ECONNRESET:
        limited = (spec["linux"].get("resources") or {}).get("memory", {}).get("limit", -1) >= 0
        reason = "linux.resources.memory.limit may be too low: " if limited else ""
        return HostLacks(f"{reason}a process was killed while at: {failed.step.title.lower()}")
    if failed.step.title == "Enter the cgroups" and failed.record.error == errno.ENOSPC:
        return RuntimeFailed("linux.resources.cpu.cpus or linux.resources.cpu.mems: nothing is left to run on")
    what = next((arg for arg in failed.call.args if isinstance(arg, str) and arg), "") or _opened(failed)
    limits = (
        {f"{tree.directory}/{limit.file}": limit.key for tree in group.trees for limit in tree.limits} if group else {}
    )
    title = titled(failed.step, failed.call, f"linux.resources.{limits[what]}" if what in limits else "")
    said = sentence(title, failed.call.name, failed.record.error, what)
    return RuntimeFailed(said + (_without_mapping(failed) or _without_namespace(failed, spec)))


def _without_mapping(failed: PlanFailed) -> str:
    """An owner, given to a filesystem as an option, that the user namespace does not have; devpts' group, mostly."""
    option = [arg for arg in failed.call.args if isinstance(arg, str)] if failed.call.name == "fsconfig" else []
    if failed.record.error != errno.EINVAL or option[:1] not in (["uid"], ["gid"]):
        return ""
    return f": is {option[-1]} one of the ids of linux.{option[0]}Mappings?"


def _without_namespace(failed: PlanFailed, spec: Spec) -> str:
    """A new filesystem shows a namespace, whose owner may mount it: root of a user namespace owns its own only."""
    kinds = {namespace["type"] for namespace in spec["linux"].get("namespaces") or ()}
    types = {call.args[0] for call in failed.step.calls if call.name == "fsopen"}
    lacking = {kind for fstype, kind in _SHOWN.items() if fstype in types} - kinds
    if failed.record.error != errno.EPERM or "user" not in kinds or not lacking:
        return ""
    return f": it takes a {lacking.pop()} namespace of the container's own (linux.namespaces)"


_SHOWN = {"proc": "pid", "sysfs": "network", "mqueue": "ipc"}


def _opened(failed: PlanFailed) -> str:
    """The path by which the step has opened the descriptor that the call is about; "" if it has not."""
    calls, about = failed.step.calls, failed.call.args[0] if failed.call.args else None
    earlier = calls[: calls.index(failed.call)] if isinstance(about, Slot) else ()
    paths = (other.args[1] for other in reversed(earlier) if other.out == about and len(other.args) > 1)
    return next((path for path in paths if isinstance(path, str)), "")


# Errors of the way to a program, and not of what it is
_WHERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP)


def exec_failure(name: str, number: int, *, found: bool = False) -> str:
    """In docker's and podman's words; ``found``: there is such a file, and it can be executed."""
    if found and number == errno.ENOENT:
        return f"exec {name}: no such file or directory: the interpreter that it names, or its loader, is not there"
    if found or number not in _WHERE:
        return f"exec {name}: {os.strerror(number).lower()}"
    if number in (errno.ENOENT, errno.ENOTDIR) and "/" not in name:
        return f'exec: "{name}": executable file not found in $PATH'
    return f'exec: "{name}": stat {name}: {os.strerror(number).lower()}'


def titled(step: Step, call: Call, field: str = "") -> str:
    """A step behind the field of config.json that asks for this call of it: ``linux.sysctl: Set kernel parameters``."""
    field = field or _CALLS.get(call.name, step.field)
    return f"{field}: {step.title}" if field else step.title


def sentence(title: str, call: str, number: int, what: str = "") -> str:
    """``linux.sysctl: Set kernel parameters: openat2 sys/x: no such file or directory``."""
    return f"{title}: {call}{f' {what}' if what else ''}: {os.strerror(number).lower()}"


def is_anothers(error: BaseException) -> bool:
    """Whether a start failed because somebody else has made the cgroup: nobody in it is ours to kill."""
    from pycontainer.core.performer import PlanFailed

    return isinstance(error, PlanFailed) and error.call.name == "mkdirat" and error.record.error == errno.EEXIST


@contextmanager
def by_its_field() -> Iterator[None]:
    """What `pyc run` has a flag or a profile for is called by its field."""
    try:
        yield
    except PycError as error:
        from pycontainer.cgroups.limit import OPTIONS

        names = {flag: f"linux.resources.{key}" for key, flag in OPTIONS.items()}
        names |= {"seccomp profile": "linux.seccomp", "cgroup ": "linux.cgroupsPath "}
        names |= {"a device rule": "linux.resources.devices: a rule"}
        for said, name in names.items():
            if error.message.startswith(said):
                error.message = name + error.message.removeprefix(said)
                break
        raise


# Calls of a step that several fields may ask for, each its own
_CALLS = {
    "sched_setattr": "process.scheduler",
    "ioprio_set": "process.ioPriority",
    "set_mempolicy": "linux.memoryPolicy",
    "personality": "linux.personality",
    "setdomainname": "domainname",
}
