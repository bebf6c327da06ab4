"""A command in a container that runs: put there, its output read, and killed when it takes too long."""

from __future__ import annotations

import _signal as signal  # `signal` itself: +2 ms
import contextlib
import os
import select
import time

from pycontainer import cgroups, jsontext
from pycontainer.core import kernel
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.engine import containers, life
from pycontainer.errors import Conflict, KernelError, PycError
from pycontainer.plan import slots
from pycontainer.plan.enter import Entry, enter, namespace
from pycontainer.plan.seccomp import load as load_filter
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.core.step import Slot
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.oci.spec import Spec

KEPT = 4096  # bytes of the output, as docker keeps
_NAMESPACES = {kind: kind for kind in ("user", "cgroup", "ipc", "uts", "pid", "time")} | {
    "network": "net",
    "mount": "mnt",
}


class Outcome(Record):
    """How the command ended.

    Attributes:
        code: its exit code, 128 + n after signal n, or -1 if it took too long.
        output: the beginning of what it wrote to stdout and stderr.
    """

    code: int
    output: bytes


def probe(roots: Roots, container: Container, argv: tuple[str, ...], timeout: float) -> Outcome:
    """Run ``argv`` in the container as its own program runs. Raises PycError when it can't begin."""
    with open(roots.container(container.id) + "/config.json") as file:
        spec: Spec = jsontext.load(file.read())
    entered: Spec = {**spec, "process": {**spec["process"], "args": list(argv), "terminal": False}}
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with contextlib.ExitStack() as ours:

        def keep(descriptor: int) -> int:
            ours.callback(os.close, descriptor)
            return descriptor

        keep(reader)
        try:
            given: dict[Slot, int] = {
                slots.STDIN: keep(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)),
                slots.STDOUT: writer,
                slots.STDERR: writer,
                **_namespaces(roots, container, keep),
            }
            pid = _start(roots, container, entered, given)
        finally:
            os.close(writer)
        return _collect(pid, reader, timeout)


def _namespaces(roots: Roots, container: Container, keep: Callable[[int], int]) -> dict[Slot, int]:
    """Those that the container's first process is in and we are not."""
    given = {}
    with contextlib.suppress(OSError):
        for kind, file in _NAMESPACES.items():
            theirs = f"/proc/{container.pid}/ns/{file}"
            if os.path.exists(theirs) and os.stat(theirs).st_ino != os.stat(f"/proc/self/ns/{file}").st_ino:
                given[namespace(kind)] = keep(os.open(theirs, os.O_RDONLY | os.O_CLOEXEC))
    if not container.pid or containers.with_state(roots, container).pid != container.pid:  # its number is another's now
        raise Conflict(f"container {container.name} is not running")
    return given


def _start(roots: Roots, container: Container, spec: Spec, given: dict[Slot, int]) -> int:
    """Perform the plan up to execve: the new process's pid; it is our child."""
    linux = spec["linux"]
    profile = linux.get("seccomp")
    inner, outer = kernel.socketpair(kernel.SOCK_STREAM)
    entry = Entry(
        container=container.id,
        kinds=tuple(kind for kind in _NAMESPACES if namespace(kind) in given),
        group=cgroups.detect().group(container.cgroup, linux.get("resources") or {}, ("devices", "pids.limit")),
        filter=load_filter(profile, roots.root + "/cache/seccomp") if profile else None,
        given=frozenset(given),
    )
    performance = Performance(enter(spec, entry), {**given, slots.INIT_END: inner}, name=f"{container.name} check")
    os.close(inner)
    pid = 0
    try:
        pid = performance.wait_for(lambda _, call: call.child is not None).value
        os.write(outer, b"g")
        while performance.read_records():
            pass
    except BaseException as error:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        else:
            performance.kill()
        if isinstance(error, PlanFailed):
            raise _failure(error, spec) from None
        raise
    finally:
        os.close(outer)
        performance.close()
    return pid


def _failure(failed: PlanFailed, spec: Spec) -> PycError:
    reason = os.strerror(failed.record.error).lower()
    if failed.call.name == "execve":
        return Conflict(f"can't execute {spec['process']['args'][0]}: {reason}")
    return KernelError(failed.call.name, failed.record.error, step=failed.step.title, read=failed.step.man)


def _collect(pid: int, reader: int, timeout: float) -> Outcome:
    """Read until the process has ended, not until nobody has its output open: it may leave somebody behind."""
    os.set_blocking(reader, False)
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(reader, select.POLLIN)
    output, deadline, late = b"", time.monotonic() + timeout, False
    try:
        while True:
            ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            if reader in ready and not (chunk := _read(reader)):
                poll.unregister(reader)
            elif reader in ready:
                output = (output + chunk)[:KEPT]
            if pidfd in ready:
                break
            if not ready and not late:
                late, deadline = True, time.monotonic() + 10
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        while chunk := _read(reader):
            output = (output + chunk)[:KEPT]
        status = os.waitpid(pid, 0)[1]
        return Outcome(-1 if late else life.exit_code(status), output)
    finally:
        os.close(pidfd)


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except BlockingIOError:
        return b""
