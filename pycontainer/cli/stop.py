"""``pyc stop`` and ``pyc restart``: they differ in what comes after."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.cli.verbs import names, signal
from pycontainer.engine import restart as again
from pycontainer.engine import stop as engine


def _make(title: str, help: str) -> declare.Command:
    act = engine.stop if title == "stop" else again.restart

    @declare.command(title, help=help)
    @declare.option(
        "-s", "--signal", "sign", type=signal, default=None, help="How to ask (default: as it was made with)"
    )
    @declare.option(
        "-t",
        "--timeout",
        "--time",
        type=int,
        default=None,
        help="Seconds until it is killed, -1 for ever (default: as it was made with, 10 if it was not said)",
    )
    @names
    @declare.pass_obj
    def command(session: Session, /, names: tuple[str, ...], sign: str | None, timeout: int | None) -> int:
        def do(name: str) -> None:
            act(session.roots, name, sign=sign or "", timeout=timeout)
            echo(name)

        return for_each(names, do)

    return command


command = _make("stop", "Ask containers to end, and kill those that don't.")
restart = _make("restart", "Stop containers and start them again.")
