"""``pyc port``: which ports of the host lead into a container."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.engine import containers
from pycontainer.engine.network import attachments
from pycontainer.errors import NotFound


@declare.command(
    "port", help="Show the ports of the host that lead into a container, or to one port of it (80, 53/udp)."
)
@declare.argument("name", metavar="CONTAINER")
@declare.argument("private", metavar="[PORT[/PROTOCOL]]", required=False, default="")
@declare.pass_obj
def command(session: Session, /, name: str, private: str) -> None:
    """Print them as docker does."""
    attachment = attachments.attachment_of(session.roots, containers.find(session.roots, name).id)
    wanted = private if "/" in private or not private else private + "/tcp"
    found = 0
    for port in attachment.ports if attachment else ():
        inner = f"{port.target_port}/{port.protocol}"
        if wanted in ("", inner):
            echo(("" if wanted else f"{inner} -> ") + port.address)
            found += 1
    if wanted and not found:
        raise NotFound(f"no public port {wanted!r} published for {name}")
