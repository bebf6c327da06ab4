"""A proof: what the kernel itself shows of a step, read from outside before and after it.

The process that performs the step waits meanwhile, so nothing changes between the reading and the step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from pycontainer.core.step import Proof, Slot
from pycontainer.record import Record

MAX_BYTES = 1 << 20
ABSENT = "absent"  # the file, or the process, is not there: not yet, or no more
_DIRECTORIES = ("/root", "/cwd")  # links whose text is only a name; which directory they lead to is the news


class Evidence(Record):
    """What was found: the real path, and the text of a link, the lines of a file or the names in a directory."""

    path: str
    lines: tuple[str, ...]


class _Names(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return f"<{name}>"


def where(proof: Proof, pid: int | str, slots: Mapping[Slot, int]) -> str:
    """The path, with the pid and the numbers of descriptors in it; ``<name>`` for one that is not known."""
    return proof.path.format_map(_Names({slot.name: number for slot, number in slots.items()}, pid=pid))


def read(proof: Proof, pid: int, slots: Mapping[Slot, int]) -> Evidence:
    """Look now. Never fails: a reader that breaks what it looks at is no witness."""
    path = where(proof, pid, slots)
    try:
        return Evidence(path, tuple(_look(path, proof.line)))
    except OSError:
        return Evidence(path, (ABSENT,))


def _look(path: str, line: str) -> list[str]:
    if os.path.islink(path):
        return _link(path)
    if os.path.isdir(path):
        return _directory(path)
    return _lines(path, line)


def _directory(path: str) -> list[str]:
    """As ``ls`` shows it: /proc/PID/fd holds a link for each descriptor."""
    names = sorted(os.listdir(path), key=lambda name: (len(name), name))
    links = [name for name in names if os.path.islink(f"{path}/{name}")]
    return [f"{name} -> {os.readlink(f'{path}/{name}')}" if name in links else name for name in names]


def _link(path: str) -> list[str]:
    text = os.readlink(path)
    if path.endswith(_DIRECTORIES):
        there = os.stat(path)
        text += f" on device {os.major(there.st_dev)}:{os.minor(there.st_dev)}, inode {there.st_ino}"
    return [text]


def _lines(path: str, wanted: str) -> list[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return [line.strip() for line in file.read(MAX_BYTES).splitlines() if wanted in line]


def difference(before: Evidence, after: Evidence) -> list[str]:
    """A few lines for a person: what was, and what is."""
    old = [line for line in before.lines if line not in after.lines]
    new = [line for line in after.lines if line not in before.lines]
    if not old and not new:
        return [f"{after.path}: {'; '.join(after.lines) or 'nothing'} (as before)"]
    if before.path == after.path and len(old) <= 1 and len(new) <= 1:
        return [f"{after.path}: {''.join(old) or 'nothing'} -> {''.join(new) or 'nothing'}"]
    was = [f"{before.path}: {line}" for line in old]
    return [*was, *(f"{'->' if was else 'new'} {after.path}: {line}" for line in new)]
