"""Pulls that are killed just before a chosen change to their store: ``python -m tests.support.killed_pull``.

Each line of input is ``ROOT REFERENCE NUMBER``: pull, in a process of its own, and die of SIGKILL in place of the
change with that number. The line of output that answers is ``SIGNAL CHANGES``: what it died of, and at which change; 0
if it did not die, and how many there were.
Changes are the calls that make, fill, rename or remove a file or directory, as CPython's audit events tell them
(PEP 578); write(2) and fsync(2), which have none, are counted where they are called.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from pycontainer.engine.image.pull import pull
from pycontainer.image import layer as _layer  # noqa: F401  what a pull imports late, it imports here once for all
from pycontainer.image import unsynced
from pycontainer.image.compression import decompress as _decompress  # noqa: F401
from pycontainer.image.reference import Reference
from pycontainer.image.registry import Registry as _Registry  # noqa: F401
from pycontainer.image.store import Store

EVENTS = frozenset(
    "os." + name for name in "rename mkdir remove rmdir truncate link symlink chown chmod utime setxattr".split()
)
_CHANGING = os.O_CREAT | os.O_WRONLY | os.O_RDWR | os.O_TRUNC


class Doom:
    """Counts changes, and kills this process in place of one."""

    def __init__(self, number: int, counter: int) -> None:
        self.number, self.counter = number, counter
        self.changes = 0

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event in EVENTS or (event == "open" and args[2] & _CHANGING and args[0] != os.devnull):
            self.change()

    def change(self) -> None:
        self.changes += 1
        if self.changes >= self.number:
            self.tell()
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self) -> None:
        _write(self.counter, f"{self.changes}\n".encode())

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            self.change()
            return call(*args)

        return wrapper


_write = os.write


def main() -> None:
    unsynced.settle_later = lambda store: None
    for line in sys.stdin:
        root, name, number = line.split()
        reading, counter = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _pull(root, name, Doom(int(number), counter))
        os.close(counter)
        with os.fdopen(reading) as pipe:
            changes = pipe.readline().strip() or "0"
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(-status if status <= 0 else f"exit{status}", changes, flush=True)


def _pull(root: str, name: str, doom: Doom) -> None:
    sys.addaudithook(doom.hook)
    os.write = doom.counted(os.write)
    os.fsync = doom.counted(os.fsync)
    try:
        pull(Store(root), Reference.parse(name), jobs=1)
    finally:
        doom.tell()
        os._exit(1 if sys.exc_info()[0] else 0)


if __name__ == "__main__":
    main()
