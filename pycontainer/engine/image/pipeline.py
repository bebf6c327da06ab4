"""Generators that run in threads of their own, each a few items ahead of whoever reads it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from pycontainer.errors import ImageError

_QUEUE = 8
_POLL = 0.1


@contextmanager
def in_thread(items: Generator[bytes, None, None], stop: threading.Event) -> Iterator[Iterator[bytes]]:
    """Let a generator run in a thread of its own, a few items ahead of whoever reads it."""
    pipe: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE)
    over = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not (over.is_set() or stop.is_set()):
            with suppress(queue.Full):
                pipe.put(item, timeout=_POLL)
                return True
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(None)
        except BaseException as error:
            put(error)
        finally:
            items.close()

    def read() -> Iterator[bytes]:
        while True:
            try:
                item = pipe.get(timeout=_POLL)
            except queue.Empty:
                if stop.is_set():
                    raise ImageError("the pull was given up") from None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        over.set()
        thread.join(timeout=1)  # if it hangs on the network, the end of the team will cut that
