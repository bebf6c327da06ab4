"""How many layers come at once: as many as it takes to keep this machine busy, and no more.

A layer on its way decompresses, takes digests and makes files in threads of its own, which fill one processor and a
half. Behind a quick network a second one would only be in its way; behind a slow one they mostly wait, and more
downloads bring more. Which of the two it is shows while it happens, in the processor time that we use.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE_MAX = 6
_PERIOD = 0.1  # seconds
_BUSY = 0.5  # of one processor: on a machine that others use as well, a layer does not get its one and a half


class Turns:
    """The right to bring a layer: whoever has none waits until another has finished, or until we hardly do anything."""

    def __init__(self, fixed: int = 0, processors: int = 0) -> None:
        """So many at once, and no more if it is ``fixed``; else one for two processors, and more where they idle."""
        processors = processors or os.cpu_count() or 1
        self.at_once = fixed or AT_ONCE_MAX
        self._adapts = not fixed
        self._free = threading.Semaphore(fixed or min(max(1, processors // 2), AT_ONCE_MAX))
        self._first_in_line = threading.Lock()  # so that each sees what the one before it has changed

    @contextmanager
    def one(self, stop: threading.Event) -> Iterator[None]:
        """From when it is this thread's turn. With ``stop`` set nobody waits any more.

        It lasts until the layer is made. One that ends with the download lets the next layer in at once, since most
        are smaller than the queues between the threads: that took a sixth longer.
        """
        with self._first_in_line:
            self._wait(stop)
        try:
            yield
        finally:
            self._free.release()

    def _wait(self, stop: threading.Event) -> None:
        used = time.process_time()
        while not self._free.acquire(timeout=_PERIOD):
            before, used = used, time.process_time()
            if stop.is_set() or (self._adapts and used - before < _BUSY * _PERIOD):
                return  # its release() will be one more than there was: as many stay
