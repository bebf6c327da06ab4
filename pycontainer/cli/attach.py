"""``pyc attach``."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.verbs import detach_keys, name
from pycontainer.engine import containers
from pycontainer.engine.attach import attach
from pycontainer.errors import Conflict


@declare.command("attach", help="Connect this terminal to a container that runs.")
@detach_keys
@declare.option("--no-stdin", is_flag=True, help="Don't connect standard input")
@declare.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the process")
@name
@declare.pass_obj
def command(session: Session, /, name: str, keys: bytes, no_stdin: bool, sig_proxy: bool) -> int:
    """Stay until it ends or the detach keys are pressed."""
    container = containers.find(session.roots, name)
    if not container.runs:
        raise Conflict(f"container {container.name} is not running", hint=f"pyc start -a {container.name}")
    return attach(session.roots, container, stdin=not no_stdin, sig_proxy=sig_proxy, keys=keys)
