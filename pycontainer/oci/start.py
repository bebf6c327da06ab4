"""Start: let the program of a created container begin (runtime.md, Operations).

Between create and start the container's first process waits at a socket in the container's directory. Whoever connects
lets it go on, and hears there how its last steps went.
"""

from __future__ import annotations

import errno
import os

from pycontainer import jsontext
from pycontainer.core import kernel
from pycontainer.core.constants import SIGKILL
from pycontainer.core.wire import RECORD_BYTES, outcomes
from pycontainer.errors import Conflict
from pycontainer.oci.asked import reachable
from pycontainer.oci.failures import RuntimeFailed, exec_failure, sentence, titled
from pycontainer.oci.state import Home, State, shown
from pycontainer.plan.seccomp import LISTENER
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.core.step import Call, Plan
    from pycontainer.oci.spec import Spec

_LISTENS = "seccomp listener"


def start(home: Home, name: str) -> State:
    """Let the program begin. Raises PycError when it can't."""
    state = home.read(name)
    status = home.status(state)
    if status != "created":
        words = {"stopped": "cannot start a container that has stopped"}
        raise Conflict(words.get(status, f"cannot start an already {status} container"))
    begin(home, state, home.spec(name))
    return state


def begin(home: Home, state: State, spec: Spec, starter: int = -1) -> None:
    """The same for one that is known to be created; ``starter`` comes from :func:`knock`, if that is done."""
    if not spec.get("hooks"):
        _go_on(home, spec, state, starter)
        return
    from pycontainer.oci import control, hooks, inside

    try:
        told = jsontext.dump(shown(state, "created"))
        for hook in hooks.of(spec, "startContainer"):
            inside.call_hook("startContainer", hook, spec, state, told, confined=True)
        _go_on(home, spec, state)
        hooks.call(hooks.of(spec, "poststart"), "poststart", state, "running")
    except hooks.HookFailed:  # the container is stopped, and waits to be deleted (runtime.md, Lifecycle)
        control.kill(home, state.id, SIGKILL, everybody=True)
        raise


def _go_on(home: Home, spec: Spec, state: State, starter: int = -1) -> None:
    """Tell the first process to, unless it has been told, and see it become the program."""
    if starter < 0:
        starter = knock(home.directory(state.id))
    try:
        _until_execve(starter, spec, state)
    finally:
        os.close(starter)


def knock(where: str) -> int:
    """Tell the first process of the container in this directory to go on; the socket at which it says how it went."""
    with reachable(where) as directory:
        starter = kernel.connect(f"{directory}/start")
    os.unlink(f"{where}/start")
    return starter


def _until_execve(starter: int, spec: Spec, state: State) -> None:
    """Read what the first process says of its last steps; at a successful execve the socket closes."""
    execs: list[int] = []
    while data := os.read(starter, RECORD_BYTES * 128):
        for record in outcomes(data):
            what = state.calls.get(str(record.index), "")
            if what == _LISTENS and not record.error:
                from pycontainer.oci.listener import hand_over

                hand_over(spec, state, state.pid, record.value)
                os.write(starter, b"t")
                continue
            title, _, call = what.rpartition(": ")
            call_name, _, tolerated = call.partition(":")
            if call_name == "execve" and record.error:
                execs.append(record.error)
            if record.error > 0 and str(record.error) not in tolerated.split(","):
                if call_name == "execve":
                    number = errno.EACCES if errno.EACCES in execs else record.error
                    name, found = (spec["process"].get("args") or [""])[0], os.geteuid() == 0  # executable.py
                    raise RuntimeFailed(exec_failure(name, number, found=found))
                raise RuntimeFailed(sentence(title, call_name, record.error))


def later_calls(plan: Plan) -> dict[str, str]:
    """What may still fail when the container has been started, for whoever starts it: ``State.calls``."""
    later: dict[str, str] = {}
    waited = False
    for index, (step, call) in enumerate((each, call) for each in plan for call in each.calls):
        if waited:
            later[str(index)] = _LISTENS if call.out is LISTENER else f"{titled(step, call)}: {_named(call)}"
        waited = waited or call.name == "accept4"
    return later


def _named(call: Call) -> str:
    tolerated = ",".join(map(str, call.tolerate))
    return f"{call.name}:{tolerated}" if tolerated else call.name
