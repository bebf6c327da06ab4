"""``pyc logs``: what a container has written, on the stream that it has written it to."""

from __future__ import annotations

import sys

from pycontainer.cli import Session, declare
from pycontainer.cli.moments import stamp
from pycontainer.cli.verbs import names
from pycontainer.engine import containers, logs
from pycontainer.engine.containers import Container
from pycontainer.errors import Conflict, UsageError
from pycontainer.record import Record


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


@declare.command("logs", help="Show what containers have written.")
@declare.option("--details", is_flag=True, help="Show the labels and variables that --log-opt names")
@declare.option("-f", "--follow", is_flag=True, help="Go on until the container has ended")
@declare.option("--since", default="", metavar="TIME", help="Not what is older: a time, or how long ago (10m)")
@declare.option("--until", default="", metavar="TIME", help="Not what is newer")
@declare.option("-n", "--tail", default="all", metavar="N", help="Only the last lines")
@declare.option("-t", "--timestamps", is_flag=True, help="Show when each line was written")
@names
@declare.pass_obj
def command(
    session: Session,
    /,
    names: tuple[str, ...],
    details: bool,
    follow: bool,
    since: str,
    until: str,
    tail: str,
    timestamps: bool,
) -> None:
    """Show it; of several containers each line with its container's name."""
    wanted = Wanted(_tail(tail), stamp(since), stamp(until), follow, timestamps, details)
    found = [containers.find(session.roots, name) for name in names]
    for container in found:
        if container.options.get("log_driver") == "none":
            raise Conflict(f"container {container.name} keeps no log: it was made with --log-driver none")
    width = max(len(container.name) for container in found)
    shown = [_Shown(c, wanted, f"{c.name:{width}} | " if len(found) > 1 else "") for c in found]
    if follow and len(found) > 1:
        _together(session, shown)
    else:
        for each in shown:
            each.show(session)


def _together(session: Session, shown: list[_Shown]) -> None:
    """Do them in threads; Ctrl-C, or the first error, ends all."""
    import threading
    from queue import SimpleQueue

    ends: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(one: _Shown) -> None:
        try:
            one.show(session)
            ends.put(None)
        except BaseException as error:
            ends.put(error)

    for one in shown:
        threading.Thread(target=run, args=(one,), daemon=True).start()
    for _ in shown:
        if (error := ends.get()) is not None:
            raise error


class Wanted(Record):
    """What to show, as the flags say it."""

    tail: int
    since: str
    until: str
    follow: bool
    timestamps: bool
    details: bool


class _Shown:
    """The log of one container on its way to our streams."""

    def __init__(self, container: Container, wanted: Wanted, prefix: str) -> None:
        self.container, self.wanted, self.prefix = container, wanted, prefix
        self.extra = _details(container) + " " if wanted.details else ""
        self.pieces: dict[str, list[bytes]] = {"stdout": [], "stderr": []}

    def show(self, session: Session) -> None:
        """Write it, on the stream that it was written to."""
        tail, since, until, follow, *_ = self.wanted
        for entry in logs.read(session.roots, self.container, tail=tail, since=since, until=until, follow=follow):
            pieces = self.pieces[entry.stream]
            if not pieces:
                stamp = entry.stamp + " " if self.wanted.timestamps else ""
                pieces.append((self.prefix + stamp + self.extra).encode())
            pieces.append(entry.text)
            if entry.ends or not self.prefix:
                self._write(entry.stream, ended=entry.ends)
        for stream, left in self.pieces.items():
            if left and self.prefix:
                left.append(b"\n")
                self._write(stream, ended=True)

    def _write(self, name: str, *, ended: bool) -> None:
        """All pieces of a line, in one call: other containers' lines don't come between them."""
        stream = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}[name]
        stream.write(b"".join(self.pieces[name]))
        self.pieces[name] = [] if ended else [b""]
        if self.wanted.follow or name == "stderr":
            stream.flush()
