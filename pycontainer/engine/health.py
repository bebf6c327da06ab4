"""Health checks: the monitor starts ``pyc health ID`` every so often, which runs the check inside and decides.

What is known is in ``health.json`` beside the container's record, as docker's inspect says it. It stays there when the
container has ended, and begins anew when it is started.
"""

from __future__ import annotations

from pycontainer import jsontext
from pycontainer.core.directories import replace_file
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.options import Roots
    from pycontainer.image.manifest import Healthcheck
    from pycontainer.oci.options import ContainerOptions

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
KEPT = 5  # results, as docker keeps them


def wanted(image: Healthcheck | None, asked: ContainerOptions) -> dict[str, Any]:
    """The check to make, {} for none; durations in seconds, with docker's defaults."""
    test = ["CMD-SHELL", asked.health_cmd] if asked.health_cmd else list(image.test) if image else []
    if asked.no_healthcheck or not test or test[0] == "NONE":
        return {}

    def choose(name: str, default: float) -> float:
        nanoseconds = getattr(image, name, 0) if image else 0
        return float(getattr(asked, "health_" + name) or nanoseconds / 1e9 or default)

    retries = asked.health_retries or (image.retries if image else 0) or 3
    return {
        "test": test,
        "retries": retries,
        "interval": choose("interval", 30),
        "timeout": choose("timeout", 30),
        "start_period": choose("start_period", 0),
        "start_interval": choose("start_interval", 5),
    }


def read(roots: Roots, container_id: str) -> dict[str, Any]:
    """What is known of a container's health: ``Status``, ``FailingStreak`` and ``Log``."""
    try:
        with open(roots.container(container_id) + "/health.json") as file:
            record: dict[str, Any] = jsontext.load(file.read())
    except (OSError, ValueError):
        return {"Status": STARTING, "FailingStreak": 0, "Log": []}
    return record


def write(roots: Roots, container_id: str, record: dict[str, Any]) -> None:
    """Replace what is known."""
    replace_file(roots.container(container_id) + "/health.json", jsontext.dump(record))


def after(record: dict[str, Any], result: dict[str, Any], *, retries: int, early: bool) -> dict[str, Any]:
    """What is known after one more result; failures do not count as long as it is ``early``."""
    status, streak = record["Status"], record["FailingStreak"]
    if result["ExitCode"] == 0:
        status, streak = HEALTHY, 0
    elif not (early and status == STARTING):
        streak += 1
        status = UNHEALTHY if streak >= retries else status
    return {"Status": status, "FailingStreak": streak, "Log": [*record["Log"], result][-KEPT:]}
