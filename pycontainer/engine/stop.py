"""Ending a container: ``stop`` asks and then kills, ``kill`` signals. Always through a pidfd, never by a number."""

from __future__ import annotations

import _signal as signal  # `signal` itself: +2 ms
import select
import time

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events, life, policy, process
from pycontainer.errors import Conflict
from pycontainer.light import suppress
from pycontainer.oci.grammar.signals import signal_number
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

DEFAULT_TIMEOUT = 10  # seconds, as docker's
AFTER_KILL = 10


def stop(roots: Roots, name: str, *, sign: str = "", timeout: float | None = None) -> None:
    """Send the stop signal, and SIGKILL if it has not ended ``timeout`` seconds later; -1 waits for ever."""
    container = containers.find(roots, name)
    life.ask_to_stop(roots, container.id)
    hit("stop.asked")
    ran = container.is_up
    while (container := _decided(roots, container)).pid:
        end(roots, container, sign=sign, timeout=timeout)
    if ran:
        events.write(roots, "stop", container)


def _decided(roots: Roots, container: Container) -> Container:
    """The container when it runs, or nobody is about to start it any more: its policy may, at this very moment.

    Whoever does that has the lock, and may have looked before we asked it not to.
    """
    while True:
        # Asked anew: one that is removed meanwhile has no record, and would be for ever what it was.
        container = containers.with_state(roots, container._replace(state="created", pid=0))
        starts = policy.has_policy(container) and life.is_alive(roots, container.id)
        if container.pid or not (container.is_up or starts):
            return container
        time.sleep(0.005)


def end(roots: Roots, container: Container, *, sign: str = "", timeout: float | None = None) -> None:
    """The same, but its policy may start it again."""
    options = container.options
    if timeout is None:
        timeout = options.get("stop_timeout")
    seconds = DEFAULT_TIMEOUT if timeout is None else timeout
    with process.opened(roots, container) as pidfd:
        if pidfd is not None:
            _send(roots, container, pidfd, signal_number(sign or options.get("stop_signal", "SIGTERM")))
            hit("stop.signalled")
            _thaw(roots, container)
            if not _ends(pidfd, seconds):
                _send(roots, container, pidfd, signal.SIGKILL)
                hit("stop.killed")
                if not _ends(pidfd, AFTER_KILL):
                    raise Conflict(
                        f"container {container.name} has not ended {AFTER_KILL} s after SIGKILL",
                        hint="look for state D in ps",
                    )
    hit("stop.ended")
    await_end(roots, container)


def kill(roots: Roots, name: str, sign: str = "SIGKILL", *, final: bool = True) -> None:
    """Send a signal to its first process; if it is one that ends it, for good if ``final``.

    Raises Conflict if it does not run.
    """
    container = containers.find(roots, name)
    number = signal_number(sign)
    if container.state == "restarting":
        life.ask_to_stop(roots, container.id)
        container = _decided(roots, container)
        if not container.pid:
            return
    with process.opened(roots, container) as pidfd:
        if not container.runs or pidfd is None:
            raise Conflict(f"container {container.name} is not running")
        if final and number in (signal.SIGKILL, signal_number(container.options.get("stop_signal", "SIGTERM"))):
            life.ask_to_stop(roots, container.id)
        hit("kill.asked")
        _send(roots, container, pidfd, number)
        hit("kill.signalled")
        if number == signal.SIGKILL:
            _thaw(roots, container)
            if _ends(pidfd, AFTER_KILL):
                await_end(roots, container)


def await_end(roots: Roots, container: Container) -> None:
    """Wait until its end is recorded and its monitor is gone, or has begun to decide what follows."""
    deadline = time.monotonic() + AFTER_KILL
    while life.is_alive(roots, container.id) and not life.has_run(roots, container.id):
        if time.monotonic() > deadline:
            raise Conflict(f"the monitor of container {container.name} does not end")
        time.sleep(0.0005)


def _send(roots: Roots, container: Container, pidfd: int, number: int) -> None:
    events.write(roots, "kill", container, signal=str(number))
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def _ends(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds < 0 else seconds * 1000))


def _thaw(roots: Roots, container: Container) -> None:
    """What stands still takes no signal."""
    if container.state == "paused":
        from pycontainer.engine.pause import unpause

        unpause(roots, container.id)
