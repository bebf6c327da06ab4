"""Images that are named by where they are on this machine, instead of by a registry's name.

::

    oci:DIRECTORY[:NAME]   oci-archive:FILE[:NAME]   docker-archive:FILE[:NAME]   dir:DIRECTORY   docker-daemon:NAME

The words are containers-transports(5)'s. NAME is what the archive calls the image, needed if it has several.
"""

from __future__ import annotations

import os

from pycontainer.errors import InvalidReference, NotFound, UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from pycontainer.engine.image.daemon import DaemonSource
    from pycontainer.image.events import Event
    from pycontainer.image.model import Image
    from pycontainer.image.platform import Platform
    from pycontainer.image.reference import Reference
    from pycontainer.image.store import Store

    Source = TypeVar("Source", bound="FileSource | DaemonSource")

DAEMON = "docker-daemon"
TRANSPORTS = {"oci": "oci-archive", "oci-archive": "oci-archive", "docker-archive": "docker-archive", "dir": "dir"}
"""Transport -> format of the archive, which for ``oci`` and ``dir`` is a directory."""


class FileSource(Record):
    """An image in a file or directory.

    Attributes:
        form: the format it must be in.
        path: where it is.
        wanted: what it is called there, or "".
    """

    form: str
    path: str
    wanted: str

    @property
    def reference(self) -> Reference:
        """What it is called here: the whole name that was asked for, else one under ``localhost/``.

        The archive has no say in it, so it can't take a name from another image.
        """
        from pycontainer.image.reference import Reference

        if ":" in self.wanted or "/" in self.wanted:
            return Reference.parse(self.wanted)
        stem = os.path.basename(os.path.normpath(self.path)).lower().removesuffix(".tar")
        plain = "".join(char if char.isascii() and char.isalnum() else "-" for char in stem).strip("-")
        return Reference.parse(f"localhost/{plain or 'image'}:{self.wanted or 'latest'}")

    def take(
        self, store: Store, *, platform: Platform | None = None, progress: Callable[[Event], None] | None = None
    ) -> Image:
        """Bring it into the store.

        Raises:
            NotFound: there is no such file, or no such image in it. ImageError: it can't be used.
        """
        from pycontainer.engine.image.archives import open_archive, take  # +30 ms, and only for these

        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"can't open {self.path}: {(error.strerror or '').lower()}") from None
        try:
            with open_archive(store, fd, self.path, self.form) as archive:
                return take(store, archive, self.wanted, self.reference, platform=platform, progress=progress)
        finally:
            os.close(fd)


def open_source(text: str) -> FileSource | DaemonSource | None:
    """What a user means by ``oci:DIRECTORY`` and the like; None if it is the name of an image.

    Raises:
        UsageError: no path. InvalidReference: a name that can't be one.
    """
    transport, colon, rest = text.partition(":")
    if transport == DAEMON and colon:
        from pycontainer.engine.image.daemon import DaemonSource  # +35 ms, and only for these

        return _named(DaemonSource(rest), text)
    if not colon or transport not in TRANSPORTS:
        return None
    if not rest:
        raise UsageError(f"{text} names no file", hint=f"write {transport}:PATH or {transport}:PATH:NAME")
    path, wanted = _split(rest) if transport != "dir" else (rest, "")
    if transport in ("oci", "dir") and "/" not in path and not os.path.exists(path):
        return None  # an image called oci or dir, with a tag
    return _named(FileSource(TRANSPORTS[transport], path, wanted), text)


def _named(source: Source, text: str) -> Source:
    """The source, if an image can be called as it would be."""
    try:
        _ = source.reference
    except InvalidReference as error:
        raise InvalidReference(f"{text}: {error.message}") from None
    return source


def _split(text: str) -> tuple[str, str]:
    """A path and a name. Both may have colons, so the longest path that exists decides."""
    end = len(text)
    while end > 0:
        if os.path.exists(text[:end]):
            return text[:end], text[end + 1 :]
        end = text.rfind(":", 0, end)
    path, _, wanted = text.partition(":")
    return path, wanted
