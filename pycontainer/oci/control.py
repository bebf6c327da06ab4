"""What else can be done to a container of an OCI runtime: kill, pause, delete, and who is in it (runtime.md).

None of it needs what making one needs, which takes 7 ms more to load.
"""

from __future__ import annotations

import os

from pycontainer.cgroups.removal import remove
from pycontainer.core import kernel
from pycontainer.core.constants import SIGKILL
from pycontainer.errors import Conflict, HostLacks, NotFound
from pycontainer.light import suppress
from pycontainer.oci.state import Home, State, is_alive
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec


NO_CGROUP = "container {} has no cgroup, since it was made without root: nothing can hold or limit it"


def kill(home: Home, name: str, signal: int, *, everybody: bool = False) -> None:
    """Send a signal to the first process, or to all."""
    state = home.read(name)
    if everybody:
        for pid in pids(state):
            with suppress(ProcessLookupError):
                os.kill(pid, signal)
        return
    if not state.pid or home.status(state) == "stopped":
        raise NotFound("container not running")
    _signal(state, signal)


def _signal(state: State, signal: int) -> None:
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        raise NotFound("container not running") from None
    try:
        if not is_alive(state.pid, state.began):  # checked behind the descriptor: that process, or none
            raise NotFound("container not running")
        kernel.pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        raise NotFound("container not running") from None
    finally:
        os.close(pidfd)


def pids(state: State) -> list[int]:
    """Everybody in the container, as this pid namespace numbers them."""
    found: set[int] = set()
    for directory in state.cgroups:
        for place, _, _ in os.walk(directory):
            with suppress(OSError), open(f"{place}/cgroup.procs") as file:
                found |= {int(line) for line in file if int(line)}
    return sorted(found if state.cgroups else _in_its_namespace(state))


def _in_its_namespace(state: State) -> set[int]:
    """Who shares its PID namespace, where it has no cgroup; only itself where that is ours."""
    with suppress(OSError):
        own, its = (os.stat(f"/proc/{pid}/ns/pid").st_ino for pid in ("self", state.pid))
        if is_alive(state.pid, state.began) and own != its:
            return {pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _namespace(pid) == its}
    return {state.pid} if is_alive(state.pid, state.began) else set()


def _namespace(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0  # it has ended, or is somebody else's


def delete(home: Home, name: str, *, force: bool = False) -> None:
    """Remove the cgroup and the state of a container that has ended; ``force`` ends it."""
    try:
        state = home.read(name)
    except NotFound:
        if force:
            return
        raise
    status = home.status(state)
    if status in ("creating", "running", "paused") and not force:
        raise Conflict(f"cannot delete container {name} that is not stopped: {status}")
    if state.pid and status != "stopped":
        with suppress(NotFound):
            _signal(state, SIGKILL)
    forget(home, state)


def forget(home: Home, state: State, spec: Spec | None = None) -> None:
    """The same for one that is known to have ended."""
    left = remove(state.cgroups, kill=True, timeout=10)
    if left:
        raise HostLacks(f"container {state.id}: cgroups that are still in use: {', '.join(left)}")
    if state.shares:
        from pycontainer.oci import outside

        outside.undo(tuple(state.shares))
    if not spec and os.path.exists(f"{home.directory(state.id)}/config.json"):
        spec = home.spec(state.id)
    home.remove(state.id)
    if spec and spec.get("hooks"):
        from pycontainer.oci import hooks

        hooks.call_all(hooks.of(spec, "poststop"), "poststop", state, "stopped")


def pause(home: Home, name: str, *, frozen: bool) -> None:
    """Let everybody in the container stand still, or go on."""
    from pycontainer.cgroups import freezer

    state = home.read(name)
    status = home.status(state)
    if status not in (("created", "running") if frozen else ("paused",)):
        raise Conflict(f"container {name} is {status}, not {'running' if frozen else 'paused'}")
    if not state.cgroups:
        raise HostLacks(NO_CGROUP.format(name))
    if not any(freezer.switch(directory, frozen=frozen) for directory in state.cgroups):
        raise HostLacks("this host has no cgroup freezer")
