"""What others do with files while something is done with them: names that change places, and leases."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

RENAME_EXCHANGE = 2
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def exchanging(one: Path, other: Path) -> Iterator[list[int]]:
    """Let two names change places as fast as the kernel can; yields how often that happened."""
    count, stop = [0], threading.Event()

    def spin() -> None:
        while not stop.is_set():
            count[0] += LIBC.renameat2(-100, bytes(one), -100, bytes(other), RENAME_EXCHANGE) == 0

    spinner = threading.Thread(target=spin)
    spinner.start()
    try:
        yield count
    finally:
        stop.set()
        spinner.join()


@contextlib.contextmanager
def leased(path: str) -> Iterator[None]:
    """Have a lease on a file, and do not give it up: the kernel lets whoever opens it wait (fcntl(2), F_SETLEASE)."""
    told = signal.signal(signal.SIGIO, signal.SIG_IGN)
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(file)
        signal.signal(signal.SIGIO, told)
