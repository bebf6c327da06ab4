"""``pyc info``: what pycontainer makes of this host; ``--security``: what a container may do on it."""

from __future__ import annotations

from pycontainer.cli import Session, declare, human
from pycontainer.cli.declare import echo
from pycontainer.cli.documents import to_json
from pycontainer.engine import info
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


@declare.command("info", help="Show what pycontainer makes of this host.")
@declare.option("-f", "--format", "form", default="", metavar="TEMPLATE", help="json, or a template")
@declare.option("--security", is_flag=True, help="Show what a container may do by default")
@declare.pass_obj
def command(session: Session, /, form: str, security: bool) -> None:
    """Show what pycontainer makes of this host."""
    document = info.posture() if security else info.describe(session.roots)
    if form == "json":
        echo(to_json(document))
    elif form:
        from pycontainer.cli.template import Template  # +6 ms

        echo(Template(form).render(document))
    else:
        for key, value in document.items():
            _line(key, value)


_TITLES = {
    "ContainersRunning": " Running",
    "ContainersPaused": " Paused",
    "ContainersStopped": " Stopped",
    "NCPU": "CPUs",
    "MemTotal": "Total Memory",
    "DockerRootDir": "Root Dir",
}


def _line(key: str, value: Any) -> None:
    title = _TITLES.get(key) or "".join(f" {c}" if c.isupper() and i else c for i, c in enumerate(key))
    title = title.replace("O S", "OS")
    if key == "MemTotal":
        value = human.binary_size(value)
    if isinstance(value, list):
        echo(f"{title}:" + ("" if value else " none"))
        for item in value:
            echo(f" {item}")
    else:
        echo(f"{title}: {value}")
