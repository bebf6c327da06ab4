"""``pyc logs``: what a container has written, on the stream that it has written it to."""

from __future__ import annotations

import sys

import click

from pycontainer.cli import Session
from pycontainer.cli.moments import stamp
from pycontainer.cli.verbs import name
from pycontainer.engine import containers, logs
from pycontainer.engine.containers import Container
from pycontainer.errors import UsageError


def _tail(text: str) -> int:
    if text == "all" or (text.startswith("-") and text[1:].isdigit()):
        return -1
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"--tail {text!r}: must be a number or all")
    return int(text)


def _details(container: Container) -> str:
    """The variables and labels that the log's options name."""
    asked = container.options.get("log_opts", {})
    values = dict(entry.partition("=")[::2] for entry in container.options.get("env", ()))
    wanted = [(key, values) for key in asked.get("env", "").split(",")]
    wanted += [(key, container.labels) for key in asked.get("labels", "").split(",")]
    return ",".join(f"{key}={of[key]}" for key, of in wanted if key in of)


@click.command("logs", help="Show what a container has written.")
@click.option("--details", is_flag=True, help="Show the labels and variables that --log-opt names")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container has ended")
@click.option("--since", default="", metavar="TIME", help="Not what is older: a time, or how long ago (10m)")
@click.option("--until", default="", metavar="TIME", help="Not what is newer")
@click.option("-n", "--tail", default="all", metavar="N", help="Only the last lines")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written")
@name
@click.pass_obj
def command(
    session: Session, /, name: str, details: bool, follow: bool, since: str, until: str, tail: str, timestamps: bool
) -> None:
    """Show it."""
    container = containers.find(session.roots, name)
    if container.options.get("log_driver") == "none":
        raise UsageError(f"container {container.name} keeps no log: it was made with --log-driver none")
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    begins = {"stdout": True, "stderr": True}
    extra = _details(container) + " " if details else ""
    found = logs.read(session.roots, container, tail=_tail(tail), since=stamp(since), until=stamp(until), follow=follow)
    for entry in found:
        stream = streams[entry.stream]
        if begins[entry.stream]:
            stream.write(((entry.stamp + " " if timestamps else "") + extra).encode())
        stream.write(entry.text)
        begins[entry.stream] = entry.ends
        if follow or entry.stream == "stderr":
            stream.flush()
