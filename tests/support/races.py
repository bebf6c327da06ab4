"""Names that change places while something is done with them."""

from __future__ import annotations

import contextlib
import ctypes
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
