"""JSON for short-lived commands: the parser and encoder of the standard library, without its package.

``import json`` takes 6 ms, most of it for regular expressions that only its pure Python fallback uses. The C parts
are all that is needed here.
"""

from __future__ import annotations

from _json import encode_basestring_ascii as _quoted
from _json import make_scanner

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, ClassVar


class _Strict:
    """What the C scanner asks its context for (json.decoder.JSONDecoder has the same)."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    memo: ClassVar[dict[str, str]] = {}

    @staticmethod
    def parse_constant(name: str) -> float:
        """NaN and Infinity are no JSON."""
        raise ValueError(f"{name} is not JSON")


_scan = make_scanner(_Strict)  # type: ignore[arg-type]
_SPACE = " \t\n\r"


def load(document: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    start = len(document) - len(document.lstrip(_SPACE))
    try:
        value, end = _scan(document, start)
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


def dump(value: Any) -> str:
    """The value as JSON on one line."""
    if isinstance(value, str):
        return str(_quoted(value))
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dump(str(key))}: {dump(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(dump, value)) + "]"
