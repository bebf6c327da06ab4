"""One health check, made for a monitor: run the command inside, write down how it went, and draw the conclusion."""

from __future__ import annotations

import time

from pycontainer.engine import containers, events, health, life
from pycontainer.engine.capture import capture
from pycontainer.engine.exec import ExecOptions
from pycontainer.engine.moments import now
from pycontainer.errors import PycError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

KEPT = 4096  # bytes of the output, as docker keeps


def check(roots: Roots, container_id: str) -> bool:
    """Make the check; whether the container has settled, so that the next ones may be further apart."""
    container = containers.find(roots, container_id)
    wanted, before = container.options["health"], health.read(roots, container_id)
    early = time.time() - container.started < wanted["start_period"]
    if container.state != "running":  # a paused one can't answer
        return not early
    result = _result(roots, container, wanted)
    if containers.with_state(roots, container)[-4:] != container[-4:]:
        return True  # it has ended meanwhile: that is no answer
    known = health.after(before, result, retries=wanted["retries"], early=early)
    health.write(roots, container_id, known)
    if known["Status"] != before["Status"]:
        events.write(roots, f"health_status: {known['Status']}", container)
        if known["Status"] == health.UNHEALTHY:
            _give_up(roots, container)
    return not early or known["Status"] != health.STARTING


def _result(roots: Roots, container: Container, wanted: dict[str, Any]) -> dict[str, Any]:
    """How the command went, as docker's inspect says it: -1 if it took too long, or could not begin."""
    kind, *words = wanted["test"]
    argv = ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)
    began, written = now(), bytearray()

    def keep(_: int, data: bytes) -> None:
        written.extend(data[: KEPT - len(written)])

    try:
        ended = capture(roots, container.id, ExecOptions(argv), keep, timeout=wanted["timeout"])
        code, output = -1 if ended.late else ended.code, written.decode(errors="replace")
    except PycError as error:
        code, output = -1, error.message
    if code < 0 and not output:
        output = f"Health check exceeded timeout ({wanted['timeout']:g}s)"
    return {"Start": began, "End": now(), "ExitCode": code, "Output": output}


def _give_up(roots: Roots, container: Container) -> None:
    """Do what was asked for in case that it is unhealthy. A policy may start again what is killed here."""
    action = container.options.get("health_on_failure", "none")
    if container.options.get("restart") == "on-unhealthy":
        action = "restart"
    if action == "none":
        return
    from pycontainer.engine.stop import end, kill, stop

    if action == "stop":
        stop(roots, container.id)
    elif action == "kill":
        kill(roots, container.id, final=False)
    else:
        life.mark(roots, container.id, health.UNHEALTHY)
        end(roots, container)
