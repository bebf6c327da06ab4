"""Reading what has happened (engine/events.py writes it), and waiting for what happens next."""

from __future__ import annotations

import contextlib
import json
import os
import time
from datetime import UTC, datetime

from pycontainer.engine import containers, events
from pycontainer.engine.moments import now
from pycontainer.errors import PycError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pycontainer.engine.options import Roots

PAUSE = 0.05  # seconds between two looks at the file


class Happening(Record):
    """One thing that happened.

    Attributes:
        stamp: when, in UTC with nanoseconds (RFC 3339); all have one length, so they compare as text.
        kind: ``container``, ``image``, ``network`` or ``volume``.
        action: what, as docker calls it.
        id: of what; a name where it has no ID.
        attributes: name, image, labels and whatever else docker says of it.
    """

    stamp: str
    kind: str
    action: str
    id: str
    attributes: dict[str, str]

    @property
    def nanoseconds(self) -> int:
        """When, since the epoch."""
        whole = datetime.strptime(self.stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        return int(whole.timestamp()) * 10**9 + int(self.stamp[20:29])

    def document(self) -> dict[str, Any]:
        """As the Engine API says it."""
        actor = {"ID": self.id, "Attributes": self.attributes}
        legacy = {"status": self.action, "id": self.id} if self.kind in ("container", "image") else {}
        if self.kind == "container":
            legacy["from"] = self.attributes.get("image", "")
        when = self.nanoseconds
        rest = {"Type": self.kind, "Action": self.action, "Actor": actor, "scope": "local"}
        return {**legacy, **rest, "time": when // 10**9, "timeNano": when}


def read(roots: Roots, *, since: str = "", until: str = "", follow: bool = False) -> Iterator[Happening]:
    """What happened between two times, the oldest first; with ``follow`` what happens from now on, too.

    Without ``until`` that never ends; with it, at that time.
    """
    known: dict[str, dict[str, str]] = {}
    held: dict[str, list[Happening]] = {}
    for line in _lines(events.path(roots), until, follow):
        said = _parse(roots, line, known)
        for happening in (said, *_given_back(said, held)) if said else ():
            if until and happening.stamp > until:
                return
            if happening.stamp >= since:
                yield happening


_LETS_GO = {"connect": "disconnect", "mount": "unmount"}


def _given_back(happening: Happening, held: dict[str, list[Happening]]) -> list[Happening]:
    """What its container lets go of with this event. The end of one is the end of all it had, and nobody says more.

    ``held`` is what containers have of networks and volumes, as told so far.
    """
    if happening.kind == "container":
        ended = held.pop(happening.id, ()) if happening.action == "die" else ()
        return [each._replace(stamp=happening.stamp, action=_LETS_GO[each.action]) for each in ended]
    having = held.setdefault(happening.attributes.get("container", ""), [])
    if happening.action in _LETS_GO:
        having.append(happening)
    elif happening.action in _LETS_GO.values():
        having[:] = [each for each in having if (each.kind, each.id) != (happening.kind, happening.id)]
    return []


def _lines(path: str, until: str, follow: bool) -> Iterator[bytes]:
    """The lines of both files, and on across the files that come."""
    for older in (path + ".1", path):
        file = _open(older)
        if file is None:
            continue
        try:
            yield from _rest(file)
        finally:
            if older != path:
                os.close(file)
    if file is None and follow and not (until and now() > until):
        file = _open(path, make=True)
    while file is not None:
        over = not follow or (until and now() > until)
        replaced = not _is(file, path)
        yield from _rest(file)
        if over:
            os.close(file)
            return
        if replaced and (newer := _open(path)) is not None:
            os.close(file)
            file = newer
        else:
            time.sleep(PAUSE)


def _open(path: str, *, make: bool = False) -> int | None:
    if make:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
    except FileNotFoundError:
        return None


def _is(file: int, path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), os.stat(path))
    return True


def _rest(file: int) -> Iterator[bytes]:
    """Whole lines from where the file was read to; a line is one write, so the end of the file is the end of one."""
    buffer = b""
    while data := os.read(file, 1 << 16):
        *lines, buffer = (buffer + data).split(b"\n")
        yield from lines


def _parse(roots: Roots, line: bytes, known: dict[str, dict[str, str]]) -> Happening | None:
    """One line; None for what is none, after a disk was full. ``known`` is what lines before it said of containers."""
    try:
        stamp, _, text = line.decode().partition(" ")
        said = json.loads(text)
        kind, action, what = said.pop("Type", "container"), said.pop("Action"), said.pop("id")
        attributes = {**said.pop("labels", {}), **said}
    except (ValueError, KeyError, TypeError):
        return None
    if kind == "container":
        if "name" in attributes:
            known[what] = {key: attributes[key] for key in attributes if key not in ("exitCode", "signal", "oldName")}
        elif what not in known:
            known[what] = _look_up(roots, what)
        attributes = known[what] | attributes
    return Happening(stamp, kind, action, what, dict(sorted(attributes.items())))


def _look_up(roots: Roots, container_id: str) -> dict[str, str]:
    """Of a container whose beginning is in no file any more."""
    with contextlib.suppress(PycError):
        container = containers.load(roots, container_id)
        return {**container.labels, "name": container.name, "image": container.image}
    return {}
