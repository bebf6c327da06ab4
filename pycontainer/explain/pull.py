"""The narration of a pull: how a name becomes an image, each step with its reason, each blob with its digest."""

from __future__ import annotations

from pycontainer.explain.text import style_for
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from pycontainer.image.events import Event

# kind of event -> what it means, said when the first of its kind happens; where to read more
_WHY = {
    "request": (
        "Ask the registry",
        "A registry is a web server: everything has a path below /v2/, named by a tag or by its own sha256",
        "distribution-spec, Pull",
    ),
    "token": (
        "Get a token",
        "The registry wants to know who asks; for public images it gives a token to anybody",
        "distribution, Token Authentication",
    ),
    "retry": ("Try again", "A busy server is asked again, a little later each time", "RFC 9110, Retry-After"),
    "index": (
        "Read the index",
        "One name serves many kinds of machines: an index has a manifest for each",
        "index.md",
    ),
    "platform": ("Choose the platform", "The entry for this kernel and processor, or the one asked for", "index.md"),
    "manifest": (
        "Read the manifest",
        "It names the config and the layers by their sha256, so whoever trusts it can trust them from anywhere",
        "manifest.md",
    ),
    "config": ("Read the config", "How the image wants to be run, and what each layer must unpack to", "config.md"),
    "layer": ("Fetch the layers", "A layer is a compressed tar of what changed on top of the one below", "layer.md"),
    "exists": ("Keep what is here", "The same digest is the same content, whichever image brought it", "descriptor.md"),
    "waiting": ("Wait for another pull", "Another process makes this layer: once is enough", "flock(2)"),
    "verified": (
        "Verify the blobs",
        "The sha256 and the size of what came are what was promised",
        "descriptor.md",
    ),
    "unpacked": (
        "Unpack the layers",
        "The sha256 of the tar is the diff ID in the config: what was unpacked is what the image's author packed",
        "config.md, layer.md",
    ),
    "warning": ("Take note", "Something is odd, and no error", ""),
    "image": (
        "Name the image",
        "Its ID is the sha256 of its config: the same ID is the same image anywhere",
        "config.md",
    ),
}
_STEPS = frozenset(("download", "unpack"))  # how far something is; the end of it is an event of its own


class PullNarrator:
    """Prints each event of a pull; its events come from several threads, each leaves in one write."""

    def __init__(self, stream: TextIO) -> None:
        """Print to ``stream``."""
        self._stream, self._style = stream, style_for(stream)
        self._explained: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Tell of the event; of the first of its kind, also why it happens."""
        if event.kind in _STEPS:
            return
        head = "" if event.kind in self._explained else self._head(event.kind)
        self._explained.add(event.kind)
        self._stream.write(f"{head}      {_line(event)}\n")
        self._stream.flush()

    def _head(self, kind: str) -> str:
        title, why, read = _WHY.get(kind, (kind.capitalize(), "", ""))
        note = f"   {self._style.faint}# {read}{self._style.off}" if read else ""
        return f"\n    {self._style.bold}{title}{self._style.off}   [pyc]{note}\n    {why}\n"

    def close(self) -> None:
        """Nothing to take down."""


def _line(event: Event) -> str:
    digest = f"{event.digest[: len('sha256:') + 12]}...  " if event.digest else ""
    amount = f", {event.total:,} bytes" if event.total and event.kind != "unpacked" else ""
    return f"{digest}{event.text}{amount}"
