"""The seccomp listener: the descriptor at which an agent learns of system calls, sent to it (seccomp_unotify(2))."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket

from pycontainer import jsontext
from pycontainer.core import calls
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.core.step import MONITOR, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.light import closing
from pycontainer.oci.state import VERSION, State, shown
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec


def hand_over(spec: Spec, state: State, pid: int, number: int) -> None:
    """Send descriptor ``number`` of a process, with the container's state, to whoever listens at listenerPath.

    The process can't send it: the agent decides about its system calls, and does not listen yet. Raises UsageError.
    """
    profile = spec["linux"]["seccomp"]
    told = jsontext.dump(
        {
            "ociVersion": VERSION,
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": profile.get("listenerMetadata", ""),
            "state": shown(state, "running"),
        }
    )
    agent, pidfd, listener = Slot("agent"), Slot("pidfd"), Slot("listener")
    with closing(Socket(AF_UNIX, SOCK_STREAM)) as socket:
        try:
            socket.connect(profile["listenerPath"])
        except OSError as error:
            raise UsageError(f"linux.seccomp.listenerPath {profile['listenerPath']}: {error.strerror}") from None
        held = os.pidfd_open(pid)
        step = Step(
            "Hand over the seccomp listener",
            "The agent decides about system calls through this descriptor",
            MONITOR,
            (calls.pidfd_getfd(pidfd, number, out=listener), calls.sendmsg(agent, told.encode(), listener)),
            "seccomp_unotify(2)",
        )
        performance = Performance((step,), {agent: socket.fileno(), pidfd: held}, name="listener")
        os.close(held)
        try:
            while performance.read_records():
                pass
        except PlanFailed as failed:
            reason = os.strerror(failed.record.error)
            raise UsageError(f"linux.seccomp.listenerPath: {failed.call.name}: {reason.lower()}") from None
        finally:
            performance.close()
