"""Calls that repeat, told once: twenty-nine times the same prctl is one line, and a list of what varied."""

from __future__ import annotations

from collections.abc import Iterator

from pycontainer.explain.narrator import Told
from pycontainer.explain.values import Held, Value
from pycontainer.record import Record

MIN_SAVED = 2  # lines
MAX_PATTERN = 4  # calls in a pattern that is folded
_DERIVED = ("count", "len", "size")  # follow from another argument


class Fold(Record):
    """Calls that are made several times and differ in one argument each.

    Attributes:
        calls: the first round.
        times: how many rounds there are.
        varying: for each call of the round, the name of the argument that varies, or "".
        values: what varied, per round.
        ns: all of them together.
    """

    calls: tuple[Told, ...]
    times: int
    varying: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    ns: int


def _varying(a: Told, b: Told) -> set[str] | None:
    """The names of the arguments in which two calls differ, or None when they are not alike at all."""
    same_result = (a.record and a.record.error) == (b.record and b.record.error)
    if a.call.name != b.call.name or a.values.keys() != b.values.keys() or not same_result:
        return None
    return {name for name in a.values if name not in _DERIVED and _comparable(a, name) != _comparable(b, name)}


def _comparable(told: Told, name: str) -> Value:
    value = told.values[name]
    return value.slot if isinstance(value, Held) else value


def _rounds(calls: list[Told], size: int) -> tuple[int, tuple[str, ...]]:
    """How often the first ``size`` calls repeat, and what varies in each of them."""
    varying: list[set[str]] = [set() for _ in range(size)]
    times = 1
    while (times + 1) * size <= len(calls):
        differences = [_varying(calls[i], calls[times * size + i]) for i in range(size)]
        if any(d is None or len(d | v) > 1 for d, v in zip(differences, varying, strict=True)):
            break
        varying = [v | (d or set()) for d, v in zip(differences, varying, strict=True)]
        times += 1
    return times, tuple(next(iter(names), "") for names in varying)


def fold(calls: list[Told]) -> Iterator[Fold]:
    """Find what repeats; what does not is a fold of one."""
    while calls:
        size, times, varying = _pattern(calls)
        taken, calls = calls[: size * times], calls[size * times :]
        rounds = [taken[i : i + size] for i in range(0, len(taken), size)]
        values = tuple(_varied(one, varying) for one in rounds)
        yield Fold(tuple(taken[:size]), times, varying, values, sum(told.record.ns for told in taken if told.record))


def _varied(calls: list[Told], varying: tuple[str, ...]) -> tuple[Value, ...]:
    return tuple(told.values[name] for told, name in zip(calls, varying, strict=True) if name)


def _pattern(calls: list[Told]) -> tuple[int, int, tuple[str, ...]]:
    """The best way to fold from the first call on: calls per round, rounds, and what varies."""
    best: tuple[int, int, tuple[str, ...]] = (1, 1, ("",))
    for size in range(1, MAX_PATTERN + 1):
        times, varying = _rounds(calls, size)
        if not any(varying) or size * (times - 1) < MIN_SAVED or size * times <= best[0] * best[1]:
            continue
        if size > 1 and _rounds(calls[1:], size)[0] >= times:
            continue  # the round begins later: this call is the end of what was before
        best = size, times, varying
    return best
