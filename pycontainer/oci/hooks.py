"""Hooks: programs that an engine wants called at six points of a container's life (config.md, POSIX-platform Hooks).

    prestart, createRuntime   outside, when the namespaces are there and the new root is not entered yet
    createContainer           the same moment, in the container's namespaces
    startContainer            inside the container, before its program
    poststart                 outside, after the program has begun
    poststop                  outside, after the container was deleted

This module calls those that run outside; :mod:`pycontainer.oci.inside` puts the others where they belong.
"""

from __future__ import annotations

import _signal as signal  # `signal` itself: +2 ms
import os
import select
import time

from pycontainer import jsontext
from pycontainer.errors import PycError
from pycontainer.light import contextmanager, suppress
from pycontainer.oci.state import shown
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycontainer.oci.spec import Hook, Spec
    from pycontainer.oci.state import State

STDERR = 2
_LONGEST = 2**31 - 1  # milliseconds that poll(2) takes: 24 days
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class HookFailed(PycError):
    """A hook that could not be called, failed, or took too long."""


def of(spec: Spec, *kinds: str) -> list[Hook]:
    """The hooks of these kinds, in order."""
    hooks = spec.get("hooks") or {}
    return [hook for kind in kinds for hook in hooks.get(kind) or ()]  # type: ignore[attr-defined]


def call(hooks: Iterable[Hook], kind: str, state: State, status: str) -> None:
    """Call each in the bundle, with the container's state on its stdin. Raises HookFailed at the first that fails."""
    told = jsontext.dump(shown(state, status))
    for hook in hooks:
        _keep_to_ourselves()
        output = os.memfd_create("hook output")
        stdin = stdin_of(told)
        path = hook["path"]
        streams = [(os.POSIX_SPAWN_DUP2, ours, number) for number, ours in enumerate((stdin, output, output))]
        try:
            with _in(state.bundle):
                pid = os.posix_spawn(path, hook.get("args") or [path], environment(hook), file_actions=streams)
            judge(kind, hook, wait(pid, hook.get("timeout")), os.pread(output, 4096, 0))
        except OSError as error:
            raise HookFailed(f"{kind} hook {path}: {os.strerror(error.errno or 0).lower()}") from error
        finally:
            os.close(stdin)
            os.close(output)


def _keep_to_ourselves() -> None:
    """Whoever has called us may have left descriptors open, for the container (``--preserve-fds``) or by mistake."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > STDERR:
            with suppress(OSError):  # the directory's own is closed by now
                os.set_inheritable(int(name), False)


@contextmanager
def _in(directory: str) -> Iterator[None]:
    """Be there for as long as it takes to call a program; where it is gone, stay."""
    before = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.chdir(directory)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def call_all(hooks: Iterable[Hook], kind: str, state: State, status: str) -> None:
    """The same, where a hook that fails is no reason to leave out the others: each is only warned of."""
    from pycontainer.oci import log

    for hook in hooks:
        try:
            call((hook,), kind, state, status)
        except HookFailed as failed:
            log.warning(failed.message)


def stdin_of(state: str) -> int:
    """A descriptor that reads the state."""
    fd = os.memfd_create("container state")
    os.write(fd, state.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def environment(hook: Hook) -> dict[str, str]:
    """The hook's own, and nothing else."""
    return dict(item.partition("=")[::2] for item in hook.get("env") or ())


def wait(pid: int, timeout: int | None) -> int | None:
    """The wait status of our child ``pid``; None if it took longer than ``timeout`` seconds, and was killed."""
    pidfd = os.pidfd_open(pid)
    try:
        late = False
        if timeout is not None:
            poll, deadline = select.poll(), time.monotonic() + timeout
            poll.register(pidfd, select.POLLIN)
            late = not poll.poll(min(max(0.0, deadline - time.monotonic()) * 1000, _LONGEST))
            if late:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        return None if late else status
    finally:
        os.close(pidfd)


def judge(kind: str, hook: Hook, status: int | None, output: bytes) -> None:
    """Raises HookFailed unless the hook ended well."""
    path = hook["path"]
    if status is None:
        raise HookFailed(
            f"{kind} hook {path}: not done within its timeout of {hook.get('timeout')} s, so it was killed"
        )
    code = os.waitstatus_to_exitcode(status)
    if code:
        said = output.decode("utf-8", "replace").strip().splitlines()
        how = f"exit status {code}" if code > 0 else f"killed by signal {-code}"
        raise HookFailed(f"{kind} hook {path}: {how}" + (f": {said[-1]}" if said else ""))
