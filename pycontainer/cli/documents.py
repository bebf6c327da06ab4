"""JSON as docker writes it, without the package ``json``, which takes 6 ms to load."""

from __future__ import annotations

from _collections_abc import Mapping
from _json import encode_basestring, make_encoder

from pycontainer.jsontext import refuse
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_compact = make_encoder(None, refuse, encode_basestring, None, ":", ",", False, False, False)
_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def to_json(value: Any, indent: int = 0) -> str:
    """Compact, as docker's function ``json`` has it, or indented.

    DEL and the control characters from 0x80 may stand in JSON as they are; a terminal would obey them.
    """
    plain = {key: item for key, item in value.items() if not callable(item)} if isinstance(value, Mapping) else value
    text = _indented(plain, indent, "\n") if indent else "".join(_compact(plain, 0))
    return text.translate(_ESCAPED)


def _indented(value: Any, indent: int, line: str) -> str:
    """With each item on a line of its own; ``line`` is a new one at the depth of the value."""
    deeper = line + " " * indent
    if isinstance(value, dict) and value:
        items = [f"{encode_basestring(str(key))}: {_indented(item, indent, deeper)}" for key, item in value.items()]
        return "{" + deeper + f",{deeper}".join(items) + line + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + deeper + f",{deeper}".join([_indented(item, indent, deeper) for item in value]) + line + "]"
    return "".join(_compact(value, 0))
