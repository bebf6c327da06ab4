"""How many layers are downloaded at once."""

from __future__ import annotations

import threading
import time

import pytest

from pycontainer.engine.image import turns
from pycontainer.engine.image.turns import Turns


@pytest.fixture
def processor_time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What this process uses in each period: first nothing."""
    clock = [0.0, 0.0]

    def read() -> float:
        clock[1] += clock[0]
        return clock[1]

    monkeypatch.setattr(time, "process_time", read)
    monkeypatch.setattr(turns, "_PERIOD", 0.02)
    return clock


class Layers:
    """Some that want to be downloaded, each until it is let go."""

    def __init__(self, count: int, rule: Turns) -> None:
        self.under_way: list[int] = []
        self.stop = threading.Event()
        self.over = [threading.Event() for _ in range(count)]
        self.threads = [threading.Thread(target=self._bring, args=(number, rule)) for number in range(count)]
        for thread in self.threads:
            thread.start()
            time.sleep(0.002)  # in this order

    def _bring(self, number: int, rule: Turns) -> None:
        with rule.one(self.stop):
            self.under_way.append(number)
            self.over[number].wait(10)
            self.under_way.remove(number)

    def settled(self) -> list[int]:
        """Who is being downloaded when nothing has changed for ten periods."""
        seen: list[int] = []
        while (now := list(self.under_way)) != seen:
            seen = now
            time.sleep(0.2)
        return now

    def end(self) -> None:
        for over in self.over:
            over.set()
        for thread in self.threads:
            thread.join(10)
        assert not self.under_way


@pytest.mark.parametrize(("processors", "at_once"), [(1, 1), (2, 1), (8, 4), (64, 6)])
def test_busy_processors_get_no_more_to_do(processor_time: list[float], processors: int, at_once: int) -> None:
    processor_time[0] = 1.0
    layers = Layers(7, Turns(processors=processors))
    assert layers.settled() == list(range(at_once))
    layers.over[0].set()
    assert layers.settled() == list(range(1, at_once + 1))
    layers.end()


def test_idle_processors_mean_that_the_network_is_slow(processor_time: list[float]) -> None:
    layers = Layers(4, Turns(processors=2))
    assert layers.settled() == [0, 1, 2, 3]
    layers.end()


def test_a_number_that_was_asked_for_is_kept(processor_time: list[float]) -> None:
    layers = Layers(4, Turns(2, processors=16))
    assert layers.settled() == [0, 1]
    layers.end()


def test_nobody_waits_once_all_is_given_up(processor_time: list[float]) -> None:
    processor_time[0] = 1.0
    layers = Layers(3, Turns(1))
    assert layers.settled() == [0]
    layers.stop.set()
    assert layers.settled() == [0, 1, 2]
    layers.end()
