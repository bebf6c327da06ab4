"""JSON for short-lived commands: the parser and encoder of the standard library, without its package.

``import json`` takes 6 ms, most of it for regular expressions that only its pure Python fallback uses. The C parts
are all that is needed here.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class _Rules:
    """What the C scanner asks its context for (json.decoder.JSONDecoder has the same)."""

    strict = True
    object_hook = None
    parse_float, parse_int = float, int

    def __init__(self, pairs: Callable[[list[tuple[str, Any]]], object] | None = None) -> None:
        self.object_pairs_hook = pairs
        self.memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> float:
        """NaN and Infinity are no JSON."""
        raise ValueError(f"{name} is not JSON")


def refuse(value: object) -> None:
    """What an encoder does with a value that JSON has no words for: raise TypeError."""
    raise TypeError(f"{type(value).__name__} is not JSON")


_scan = make_scanner(_Rules())  # type: ignore[arg-type]  # a JSONDecoder, for who only knows the package
_encode = make_encoder(None, refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False)
_SPACE = " \t\n\r"


def load(document: str, pairs: Callable[[list[tuple[str, Any]]], object] | None = None) -> Any:
    """The value of a JSON text; ``pairs`` makes the value of an object from its keys and values. Raises ValueError."""
    start = len(document) - len(document.lstrip(_SPACE))
    scan = make_scanner(_Rules(pairs)) if pairs else _scan  # type: ignore[arg-type]
    try:
        value, end = scan(document, start)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    except SystemError:  # it found a mistake and had no words for it: those are in the package
        from json import loads

        return loads(document)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if rest := document[end:].strip(_SPACE):
        raise ValueError(f"text after the JSON value: {rest[:20]!r}")
    return value


def joined(members: Mapping[str, str]) -> str:
    """An object on one line, from the JSON of its values."""
    return "{" + ", ".join([f"{encode_basestring_ascii(name)}: {text}" for name, text in members.items()]) + "}"


def dump(value: Any) -> str:
    """The value as JSON on one line. Raises TypeError and ValueError for what JSON has no words for."""
    return "".join(_encode(value, 0))
