"""Why a step failed: the errno is the kernel's, the cause is one that was checked (and only said when it was)."""

from __future__ import annotations

import errno
import os
import stat

from pycontainer.core.constants import RLIMITS, SOCK_DGRAM
from pycontainer.core.performer import PlanFailed
from pycontainer.core.step import Call, Slot
from pycontainer.errors import CommandNotExecutable, CommandNotFound, Conflict, HostLacks, KernelError, PycError
from pycontainer.plan.slots import PROC, ROOT
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs.view import MergedView

if TYPE_CHECKING:
    from typing import Protocol

    from pycontainer.engine.bundle import Bundle
    from pycontainer.engine.options import Roots

    class View(Protocol):
        """Where the program was looked for: the layers of an image, or the root of a container that runs."""

        def stat(self, path: str) -> os.stat_result:
            """stat(2)."""

        def head(self, path: str, size: int) -> bytes:
            """The first bytes of a regular file."""

        def exists(self, path: str) -> bool:
            """Whether it leads to something."""


def explain_failure(failed: PlanFailed, bundle: Bundle, roots: Roots) -> PycError:
    """The error to show for a plan that failed."""
    if failed.record.error == errno.ECONNRESET:
        return HostLacks(f"a process was killed while at: {failed.step.title.lower()} ({failed.step.role})")
    if failed.call.name == "execve":
        with MergedView([_absolute(bundle, lower) for lower in bundle.rootfs.lowers]) as view:
            return exec_failure(failed, bundle.spec["process"]["args"][0], view)
    if failed.call.name == "bind" and failed.record.error == errno.EADDRINUSE:
        return _port_taken(failed, bundle, roots)
    if failed.call.name == "bind" and failed.record.error == errno.EADDRNOTAVAIL:
        host, port = _bound(failed)
        return Conflict(
            f"can't publish port {port} at {host}: this host has no such address",
            hint="'ip address' shows those it has",
        )
    from pycontainer.cgroups import refusal  # only for a failure

    number = failed.record.error
    cause = refusal.cause(failed.step, failed.call, number) or _cause(failed, bundle)
    if bundle.users and not cause:
        from pycontainer.engine import host_ids
        from pycontainer.engine.bundle import mount_point

        cause = host_ids.cause(failed, mount_point(roots, bundle.container.id))
    return kernel_error(failed, cause)


def kernel_error(failed: PlanFailed, cause: str = "") -> KernelError:
    """The call as the narrator prints it, and the step it belonged to."""
    from pycontainer.explain.render import render  # only for a failure

    step = f"{failed.step.title} ({failed.step.role})"
    return KernelError(render(failed.call), failed.record.error, step=step, cause=cause, read=failed.step.man)


# --- execve ---------------------------------------------------------------------------------------------------------


def exec_failure(failed: PlanFailed, program: str, view: View) -> KernelError:
    """The words are docker's: its clients look for them in the message."""
    tried = {record.error for record in failed.earlier.values() if record.error in (errno.EACCES,)}
    number = errno.EACCES if tried else failed.record.error
    searched = "/" not in program
    cause = "" if searched else _exec_cause(program, number, view)
    if number in (errno.ENOENT, errno.ENOTDIR):
        found = "executable file not found in $PATH" if searched else "no such file or directory"
        return _CommandError(CommandNotFound, program, found, number, cause)
    return _CommandError(CommandNotExecutable, program, os.strerror(number).lower(), number, cause)


def _CommandError(kind: type[KernelError], program: str, what: str, number: int, cause: str) -> KernelError:
    error = kind(f'exec: "{program}"', number, step="Become the program", cause=cause, read="execve(2) ERRORS")
    error.message = f'exec: "{program}": {what}' + (f"\n  because  {cause}" if cause else "")
    return error


def _absolute(bundle: Bundle, lower: str) -> str:
    return os.path.join(bundle.rootfs.base, lower)


def _exec_cause(program: str, number: int, view: View) -> str:
    """Look at the file in the image, without following anything out of it."""
    try:
        found = view.stat(program)
    except OSError:
        return ""
    if stat.S_ISDIR(found.st_mode):
        return f"{program} is a directory"
    if number == errno.EACCES and not found.st_mode & 0o111:
        return f"{program} is not marked executable (mode {stat.S_IMODE(found.st_mode):04o})"
    try:
        head = view.head(program, 4096)
    except OSError:
        return ""
    if head.startswith(b"#!"):
        return _script_cause(program, head, view)
    if head.startswith(b"\x7fELF"):
        return _elf_cause(program, head, view)
    return f"{program} is neither an ELF file nor a script that begins with #!" if number == errno.ENOEXEC else ""


def _script_cause(program: str, head: bytes, view: View) -> str:
    line = head[2:].split(b"\n", 1)[0].strip()
    interpreter = os.fsdecode(line.split()[0]) if line.split() else ""
    if interpreter.endswith("\r") or b"\r" in head.split(b"\n", 1)[0]:
        return f"the first line of {program} ends in a carriage return: it was written on Windows"
    if interpreter and not view.exists(interpreter):
        return f"{program} exists, but its interpreter {interpreter} does not"
    return ""


_MACHINES = {3: "386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 21: "ppc64", 22: "s390x"}  # elf(5)


def _elf_cause(program: str, head: bytes, view: View) -> str:
    machine = int.from_bytes(head[18:20], "little" if head[5:6] == b"\x01" else "big")
    native = {"x86_64": (62, 3), "aarch64": (183, 40)}.get(os.uname().machine, (machine,))
    if machine not in native:
        name = _MACHINES.get(machine, f"machine {machine}")
        return f"{program} is for {name}, this host is {os.uname().machine}"
    start = head.find(b"/lib")  # PT_INTERP's content, close to the header
    loader = os.fsdecode(head[start : head.find(b"\0", start)]) if start > 0 else ""
    if loader and not view.exists(loader):
        return f"{program} exists, but the dynamic loader it asks for, {loader}, does not"
    return ""


# --- everything else ------------------------------------------------------------------------------------------------


def _cause(failed: PlanFailed, bundle: Bundle) -> str:
    call, number = failed.call, failed.record.error
    if number in (errno.EPERM, errno.EACCES) and not _has("sys_admin"):
        return "this process does not have CAP_SYS_ADMIN"
    if parameter := _parameter(failed):
        return _parameter_cause(parameter, call, number)
    if _goes_beyond(call, number):
        return _beyond_cause(call)
    if number == errno.ENOSPC:
        return _no_space(bundle)
    if number == errno.EINVAL and call.name == "mount" and call.args[1] == "/" and not _is_root_mounted():
        return "this process's / is a plain directory (a chroot), not a mount; bind it to itself before chroot"
    if number == errno.EPROTO and call.name == "read":
        return "the kernel did not take the message that was written before"
    if number == errno.ENODEV and call.name == "fsopen":
        return f"this kernel has no filesystem {call.args[0]!r}, nor a module for it"
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) and call.name == "openat2" and call.args[0] == ROOT:
        return _path_cause(str(call.args[1]), number, bundle)
    return ""


def _parameter(failed: PlanFailed) -> str:
    """The kernel parameter that the call is about, as ``net/ipv4/ip_forward``, or ""."""
    opened = failed.call
    if failed.call.name == "write":
        before = failed.step.calls[: failed.step.calls.index(failed.call)]
        opened = next((call for call in reversed(before) if call.out == failed.call.args[0]), opened)
    path = opened.args[1] if opened.name == "openat2" and opened.args[0] == PROC else ""
    return path.removeprefix("sys/") if isinstance(path, str) and path.startswith("sys/") else ""


def _parameter_cause(name: str, call: Call, number: int) -> str:
    if number == errno.ENOENT:
        only = ", only the host has it" if os.path.exists(f"/proc/sys/{name}") else ""
        return f"its namespaces have no kernel parameter {name}{only}"
    if number in (errno.EACCES, errno.EPERM):
        return f"its namespaces may read {name}, not set it"
    if call.name == "write" and isinstance(call.args[1], bytes) and number in (errno.EINVAL, errno.ERANGE):
        return f"{name} does not take the value {call.args[1].decode(errors='replace')!r}"
    return ""


def _goes_beyond(call: Call, number: int) -> bool:
    """Whether it asks for what only CAP_SYS_RESOURCE may (setrlimit(2), proc_pid_oom_score_adj(5))."""
    if call.name == "write" and call.args[0] == Slot("oom_score_adj"):
        return number in (errno.EACCES, errno.EPERM)
    return call.name == "prlimit64" and number == errno.EPERM


def _beyond_cause(call: Call) -> str:
    if not _has("sys_resource"):
        return "this process does not have CAP_SYS_RESOURCE, which it takes to go beyond its own"
    if call.name == "prlimit64" and call.args[1] == RLIMITS["RLIMIT_NOFILE"]:
        assert isinstance(call.args[2], bytes)
        wanted = int.from_bytes(call.args[2][8:], "little")
        with open("/proc/sys/fs/nr_open") as file:
            most = int(file.read())
        return f"fs.nr_open lets no process have more than {most} open files" if wanted > most else ""
    return ""


def _port_taken(failed: PlanFailed, bundle: Bundle, roots: Roots) -> PycError:
    from pycontainer.engine.network.port_owner import owner_of

    host, port = _bound(failed)
    made = [call for call in failed.step.calls[: failed.step.calls.index(failed.call)] if call.name == "socket"][-1]
    protocol = "udp" if made.args[1] == SOCK_DGRAM else "tcp"
    owner = owner_of(roots, protocol, port, but=bundle.container.id)
    return Conflict(
        f"port {port} of {host} is already in use by {owner or 'another process of this host'}",
        hint=f"choose another port with -p OTHER:{port}"
        + ("" if owner else f"; 'ss -ltunp sport = {port}' shows whose it is"),
    )


def _bound(failed: PlanFailed) -> tuple[str, int]:
    """The address and the port that a socket could not be bound to (ip(7), ipv6(7))."""
    from pycontainer.network import addresses

    address = failed.call.args[1]
    assert isinstance(address, bytes)
    host = address[4:8] if len(address) == 16 else address[8:24]
    return addresses.unpack(host), int.from_bytes(address[2:4], "big")


def _has(capability: str) -> bool:
    import prctl  # +3 ms: only for a failure

    return bool(getattr(prctl.cap_effective, capability))


def _is_root_mounted() -> bool:
    """Whether / is a mount point (proc_pid_mountinfo(5)), as it is not after chroot(2) to a directory."""
    with open("/proc/self/mountinfo") as file:
        return any(line.split(" ")[4] == "/" for line in file)


def _no_space(bundle: Bundle) -> str:
    usage = os.statvfs(bundle.rootfs.base)
    if usage.f_bavail == 0:
        return f"the disk of {bundle.rootfs.base} is full"
    if usage.f_favail == 0 and usage.f_files:
        return f"the disk of {bundle.rootfs.base} has no inodes left"
    return ""


def _path_cause(path: str, number: int, bundle: Bundle) -> str:
    with MergedView([_absolute(bundle, lower) for lower in bundle.rootfs.lowers]) as view:
        try:
            found = view.stat(path)
        except OSError:
            return f"/{path} of the image is a symbolic link that leads nowhere" if number != errno.ENOTDIR else ""
    if number == errno.ENOTDIR and not stat.S_ISDIR(found.st_mode):
        return f"/{path} of the image is not a directory"
    if number == errno.ELOOP:
        return f"/{path} of the image is a symbolic link, where only a plain directory is safe"
    return ""
