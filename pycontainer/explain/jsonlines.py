"""``--explain=json:FILE``: one JSON object per call, complete, for tests and other programs."""

from __future__ import annotations

import json
import os

from pycontainer.errors import UsageError, errno_name
from pycontainer.explain import proof, render
from pycontainer.explain.narrator import Narrator, Told
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from pycontainer.image.events import Event


def create(path: str) -> TextIO:
    """The file for the lines, emptied.

    Raises UsageError when it can't be written.
    """
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--explain=json:{path}: {os.strerror(error.errno or 0).lower()}") from None


class JsonNarrator(Narrator):
    """Writes each call as soon as it was made."""

    def __init__(self, file: TextIO) -> None:
        """Write to ``file``, and close it at the end."""
        super().__init__()
        self._file = file

    def call_made(self, told: Told, before: proof.Evidence | None, after: proof.Evidence | None) -> None:
        """Write one line."""
        record = told.record
        entry: dict[str, object] = {
            "step": self.number(told.step),
            "title": told.step.title,
            "why": told.step.why,
            "index": told.at,
            "where": told.step.role,
            "pid": told.pid,
            "call": told.call.name,
            "args": render.as_json(told.values),
            "text": render.line(told.call.name, told.values),
            "man": render.man(told.call),
            "read": told.step.man,
            "field": told.step.field,
        }
        if record is not None:
            entry["skipped"] = told.skipped
            entry["errno"] = max(record.error, 0)
            entry["error"] = errno_name(record.error) if record.error > 0 else None
            entry["tolerated"] = told.tolerated
            entry["value"] = record.value
            entry["ns"] = record.ns
        if before and after:
            entry["proof"] = {"before": _evidence(before), "after": _evidence(after)}
        self._write(entry)

    def pulled(self, event: Event) -> None:
        """Write one line, with the kind of the event as ``pull``; how far a blob is, is no event here."""
        if event.kind not in ("download", "unpack"):
            self._write({"pull": event.kind, "digest": event.digest, "bytes": event.total, "text": event.text})

    def _write(self, entry: dict[str, object]) -> None:
        self._file.write(json.dumps(entry) + "\n")  # one write: a pull tells from several threads
        self._file.flush()

    def close(self) -> None:
        """Nothing more will happen."""
        self._file.close()


def _evidence(found: proof.Evidence) -> dict[str, object]:
    return {"path": found.path, "lines": list(found.lines)}
