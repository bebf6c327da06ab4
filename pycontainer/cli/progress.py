"""How a pull or push shows itself: bars on a terminal, docker's lines elsewhere; explain/pull.py is another way."""

from __future__ import annotations

from typing import Protocol

from pycontainer.cli.human import short_id, size
from pycontainer.cli.listing import printable
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from pycontainer.image.events import Event


class Listener(Protocol):
    """Is told what a pull does, from several threads."""

    def __call__(self, event: Event) -> None:
        """Something happened."""

    def close(self) -> None:
        """The pull has ended; may be called twice."""


PULL = {
    "layer": "Pulling fs layer",
    "exists": "Already exists",
    "waiting": "Waiting",
    "verified": "Download complete",
    "unpacked": "Pull complete",
}
PUSH = {
    "layer": "Preparing",
    "exists": "Layer already exists",
    "mounted": "Mounted from another repository",
    "uploaded": "Pushed",
}


class Lines:
    """A line for each state of a layer, in docker's words."""

    def __init__(self, stream: TextIO, words: dict[str, str] = PULL) -> None:
        """Write to ``stream``; ``words`` say what a kind of event means for a layer."""
        self._stream, self._words, self._layers = stream, words, set[str]()

    def __call__(self, event: Event) -> None:
        """Tell of a layer, of whatever is tried again, and of what is odd."""
        if event.kind in ("retry", "warning"):
            print(printable(event.text), file=self._stream, flush=True)
        if event.kind in ("layer", "exists", "waiting"):
            self._layers.add(event.digest)
        if event.kind in self._words and event.digest in self._layers:
            print(f"{short_id(event.digest)}: {self._words[event.kind]}", file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to take down."""


_DONE = {"unpacked": "done", "uploaded": "done", "mounted": "mounted", "exists": "already there"}


class Bars:
    """A bar for each layer, which fills twice: while it is downloaded, and while it is unpacked."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on ``stream``, a terminal; nothing is drawn before the first event."""
        self._stream = stream
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Move a bar."""
        task = self._tasks.get(event.digest)
        if event.kind in ("layer", "waiting") or (event.kind == "exists" and task is None):
            self._add(event)
        elif event.kind in ("retry", "warning"):
            self._open().console.print(printable(event.text), style="yellow", markup=False)
        elif self._progress and task is not None:
            if event.kind in ("download", "upload"):
                doing = f"{event.kind}ing"
                self._progress.update(task, completed=event.done, total=event.total or None, state=doing)
            elif event.kind == "verified":
                self._progress.update(task, state="verified")
            elif event.kind == "unpack":
                self._progress.update(task, state=f"unpacking {size(event.done)}")
            elif state := _DONE.get(event.kind):
                self._progress.update(task, state=state, completed=event.total or 1, total=event.total or 1)

    def _add(self, event: Event) -> None:
        here = event.kind == "exists"
        total = event.total or (1 if here else None)
        self._tasks[event.digest] = self._open().add_task(
            short_id(event.digest),
            total=total,
            completed=total or 0 if here else 0,
            state={"exists": "already here", "waiting": "another pull makes it"}.get(event.kind, "waiting"),
        )

    def _open(self) -> Progress:
        if self._progress is None:
            from rich.console import Console  # +38 ms, and only to draw bars
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                DownloadColumn(),
                TextColumn("{task.fields[state]}"),
                console=Console(file=self._stream),
            )
            self._progress.start()
        return self._progress

    def close(self) -> None:
        """Leave the bars as they are and give the cursor back."""
        if self._progress:
            self._progress.stop()
            self._progress = None


def for_stream(stream: TextIO, words: dict[str, str] = PULL) -> Listener:
    """What suits the stream."""
    return Bars(stream) if stream.isatty() else Lines(stream, words)
