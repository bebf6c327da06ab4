"""A call as one line of text, in the manner of C and strace(1), and as data for json.dumps.

Text cuts long strings and lists short, data is complete. A descriptor is shown by its number and the name of its
slot: ``7<new root>``, or ``<new root>`` before there is a number.
"""

from __future__ import annotations

import re

from pycontainer.core.step import Call
from pycontainer.explain.decode import decode
from pycontainer.explain.values import Held, Instructions, Slots, Symbol, Value


def as_json(value: Value) -> object:
    """The same for json.dumps: a slot becomes ``{"slot": name, "number": n}``."""
    if isinstance(value, Held):
        return {"slot": value.slot} if value.number is None else {"slot": value.slot, "number": value.number}
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


STRING_MAX, LIST_MAX, NAMES_MAX = 96, 8, 5
_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f])")


def shorten(line: str) -> str:
    """Container IDs and digests as their first 12 digits."""
    return _ID.sub(r"\1...", line)


def _quoted(string: str) -> str:
    """As C writes it; what is no printable text as escapes."""
    string = shorten(string)
    cut = string[:STRING_MAX]
    plain = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    escaped = "".join(plain.get(c) or (c if c.isprintable() else _escape(ord(c))) for c in cut)
    return f'"{escaped}"' + ("..." if len(string) > STRING_MAX else "")


def _escape(code: int) -> str:
    """A byte, one that was no UTF-8 included, or a character that would change the terminal."""
    return f"\\u{code:04x}" if 0xFF < code < 0xDC80 or code > 0xDCFF else f"\\x{code & 0xFF:02x}"


def show(value: Value) -> str:
    """One value on one line."""
    match value:
        case Symbol():
            names = value.split("|")
            return "|".join([*names[:NAMES_MAX], f"{len(names) - NAMES_MAX} more"]) if len(names) > 8 else str(value)
        case str():
            return _quoted(value)
        case Held():
            return f"<{value.slot}>" if value.number is None else f"{value.number}<{value.slot}>"
        case Instructions():
            return f"[{len(value)} instructions]"
        case list():
            more = [f"... {len(value) - LIST_MAX} more"] if len(value) > LIST_MAX else []
            return "[" + ", ".join([*map(show, value[:LIST_MAX]), *more]) + "]"
        case dict():
            return "{" + ", ".join(f"{name}={show(item)}" for name, item in value.items()) + "}"
        case _:
            return str(value)


def line(name: str, values: dict[str, Value]) -> str:
    """A call and its decoded arguments as one line of C."""
    return f"{name}({', '.join(map(show, values.values()))})"


def render(call: Call, slots: Slots | None = None) -> str:
    """``call`` as one line of C."""
    return line(call.name, decode(call, slots))


_PAGES = {
    "clone3": "clone(2)",
    "prlimit64": "prlimit(2)",
    "rt_sigprocmask": "sigprocmask(2)",
    "supervise": "core/monitor.c",
    "reap": "core/init.c",
}


def man(call: Call) -> str:
    """The manual page of a call; for the performer's own loops, their source."""
    return _PAGES.get(call.name, f"{call.name}(2)")
