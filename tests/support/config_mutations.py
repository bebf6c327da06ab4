"""Every field of a config.json, one at a time, gone wrong: of another kind, missing, or of an extreme value."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.mutations import Raw

WRONG: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], {}, [None], [[]], {"a": 1}, ["x"], [{}]]
NUMBERS: list[Any] = [
    1, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**31), -(2**63),
    -(2**63) - 1, 10**40, Raw(b"1" * 5000), Raw(b"1e999"),
]  # fmt: skip
TEXTS: list[Any] = [
    " ", "-1", "0", "\0", "a\0b", "a\nb", "\ud800", "é\u202e", "%s%n", "../../../x", "..", "/no/such/path", "a b",
    "x" * 300, "x" * 5000, "/" + "x" * 5000, "x,y=z", "\x1b[2J\x07",
]  # fmt: skip
GONE = object()


class Mutation(NamedTuple):
    """A changed spec; `field` is the name of what was changed, as ``mounts[0].type``."""

    field: str
    said: str
    spec: Any


def mutations(good: dict[str, Any], kept: tuple[str, ...] = ()) -> Iterator[Mutation]:
    """All of them, but for the fields that are ``kept``."""
    for path in _paths(good):
        field = _named(path)
        value = _at(good, path)
        if field in kept:
            continue
        more = NUMBERS if type(value) is int else TEXTS if type(value) is str else []
        for new in (GONE, *WRONG, *more):
            changed = copy.deepcopy(good)
            holder = _at(changed, path[:-1])
            if new is GONE:
                del holder[path[-1]]
            else:
                holder[path[-1]] = new
            yield Mutation(field, "missing" if new is GONE else repr(new)[:60], changed)


def is_named(field: str, message: str) -> bool:
    """Whether a message is about a field: it has its name, or that of what it is in, if that is more than a section."""
    if field.startswith("process.args") and 'exec: "' in message:
        return True  # in the words that engines look for
    if field.startswith("linux.namespaces[") and " namespace" in message:
        return True  # what needs the one that is missing
    if field.startswith("hooks.") and f"{field.split('.')[1].split('[')[0]} hook " in message:
        return True
    plain = re.sub(r"\[\d*\]", "", message)
    names = re.sub(r"\[\d*\]", "", field).split(".")
    least = 2 if names[0] in ("process", "linux") and len(names) > 1 else 1
    return any(".".join(names[:depth]) in plain for depth in range(least, len(names) + 1))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _named(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
