"""Several threads for one list of work, while the caller's thread tells its listener what they report."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from pycontainer.image.events import Event, Listener

Item = TypeVar("Item")


def work(
    items: Iterable[Item], do: Callable[[Item, Listener], None], size: int, listener: Listener, halt: Callable[[], None]
) -> None:
    """Do something with each item, ``size`` of them at a time.

    Args:
        items: what is to be done.
        do: does one, in some thread, and reports to the listener that it is given.
        size: how many threads, at most.
        listener: is told in the calling thread.
        halt: makes a ``do`` that is under way fail soon.

    Raises:
        whatever the first ``do`` that failed raised; the others are given up.
    """
    todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        todo.put(item)
    reports: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()

    def member() -> None:
        try:
            while not stop.is_set():
                do(todo.get_nowait(), reports.put)
        except queue.Empty:
            pass
        except BaseException as error:
            reports.put(error)
        finally:
            reports.put(None)

    threads = [threading.Thread(target=member, daemon=True) for _ in range(min(size, todo.qsize()))]
    working, failure = len(threads), None
    try:
        for thread in threads:
            thread.start()
        while working:
            report = reports.get()
            if report is None:
                working -= 1
            elif isinstance(report, Event):
                listener(report)
            elif failure is None:  # later ones are its consequences
                failure = report
                stop.set()
                halt()
    except BaseException:  # Ctrl-C, or a listener that failed
        stop.set()
        halt()
        for thread in threads:
            if thread.ident:
                thread.join(timeout=5)
        raise
    if failure:
        raise failure
