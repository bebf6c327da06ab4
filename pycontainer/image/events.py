"""What a pull or a push tells about itself while it happens, for progress bars, plain lines and the narrator."""

from __future__ import annotations

from collections.abc import Callable

from pycontainer.record import Record


class Event(Record):
    """One thing that happened.

    Attributes:
        kind: one of

            - ``request``: an HTTP request is sent; ``token``, ``retry``: why it is sent again
            - ``index``, ``platform``, ``manifest``, ``config``: what was found, on the way from name to layers
            - ``layer``: one that is needed, of ``total`` compressed bytes; ``exists``: one that is here already
            - ``waiting``: another process is making it
            - ``download``: ``done`` of ``total`` bytes; ``verified``: the blob has the digest and size promised
            - ``unpack``: ``done`` uncompressed bytes so far; ``unpacked``: the tar has the diff ID promised
            - ``upload``: ``done`` of ``total`` bytes; ``uploaded``: the registry has all of it and checked the digest;
              ``mounted``: the registry took it over from another repository
            - ``saved``: a blob was copied into an archive
            - ``warning``: something odd that is no error; ``image``: all is here, and named

        digest: what it is about, or "".
        done, total: bytes, 0 where they make no sense.
        text: the same for humans, one line, without the digest.
    """

    kind: str
    digest: str = ""
    done: int = 0
    total: int = 0
    text: str = ""


Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """The listener that does not listen."""
