"""A proof: what the kernel itself shows of a step, read from outside before and after it.

The process that performs the step waits meanwhile, so nothing changes between the reading and the step.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pycontainer.core.step import Proof

MAX_BYTES = 1 << 20
ABSENT = "absent"  # the file, or the process, is not there: not yet, or no more
_DIRECTORIES = ("/root", "/cwd")  # links whose text is only a name; which directory they lead to is the news


class Evidence(NamedTuple):
    """What was found: the path with the pid in it, and the text of a link or the lines of a file."""

    path: str
    lines: tuple[str, ...]


def read(proof: Proof, pid: int) -> Evidence:
    """Look now. Never fails: a reader that breaks what it looks at is no witness."""
    path = proof.path.format(pid=pid)
    try:
        return Evidence(path, tuple(_link(path) if os.path.islink(path) else _lines(path, proof.line)))
    except OSError:
        return Evidence(path, (ABSENT,))


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
