"""The functions that a template may call: Go's own, and those that docker adds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pycontainer.cli.documents import to_json
from pycontainer.cli.template.values import TemplateError, show, truth


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "" if all(isinstance(each, str) for each in value.values()) else None)
        elif isinstance(value, list | tuple | str):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise TemplateError(f"index out of range: {show(key)}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise TemplateError(f"can't index {show(value)}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start, end = (*bounds, *(0, len(value))[len(bounds) :])[:2]
    if not 0 <= start <= end <= len(value):
        raise TemplateError(f"slice bounds out of range: {start}:{end}")
    return value[start:end]


def _compare(operator: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, str) != isinstance(right, str):
            raise TemplateError("incompatible types for comparison")
        return operator(left, right)

    return compare


def _equal(left: Any, *others: Any) -> bool:
    if not others:
        raise TemplateError("missing argument for comparison")
    return any(left == other and isinstance(left, bool) == isinstance(other, bool) for other in others)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _join(values: Any, separator: str = "") -> str:
    if not isinstance(values, list | tuple):
        raise TemplateError(f"join wants a list, not {show(values)}")
    return separator.join(map(show, values))


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _print(*values: Any) -> str:
    """fmt.Sprint: a space between two neighbours that are both no strings."""
    result = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            result += " "
        result += show(value)
    return result


def _printf(form: str, *values: Any) -> str:
    """Go's verbs v s d q t x X o b c f e g, with width, precision, and the flags - + 0 space."""
    left = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        return _verb(flags, width or "", verb, left.pop(0))

    text = re.sub(r"%([-+ 0#]*)(\d*(?:\.\d+)?)([a-zA-Z%])", one, form)
    return text + (f"%!(EXTRA {', '.join(map(show, left))})" if left else "")


def _verb(flags: str, width: str, verb: str, value: Any) -> str:
    flags = flags.replace("#", "") if verb in "vsqt" else flags
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb in "sv" or (verb == "t" and isinstance(value, bool)):
        return f"%{flags}{width}s" % show(value)
    if verb == "q":
        return f"%{flags}{width}s" % json.dumps(show(value), ensure_ascii=False)
    if number and (verb in "feg" or (verb in "dxXoc" and isinstance(value, int))):
        return str(f"%{flags}{width}{verb}" % value)
    if verb == "b" and number and isinstance(value, int):
        return f"%{flags}{width}s" % format(value, "b")
    if verb in "xX" and isinstance(value, str):
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    return f"%!{verb}({show(value)})"


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda left, right: not _equal(left, right),
    "lt": _compare(lambda left, right: left < right),
    "le": _compare(lambda left, right: left <= right),
    "gt": _compare(lambda left, right: left > right),
    "ge": _compare(lambda left, right: left >= right),
    "index": _index,
    "slice": _slice,
    "len": len,
    "print": _print,
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "printf": _printf,
    "json": to_json,
    "join": _join,
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: re.sub(r"(^|\s)(\S)", lambda match: match[1] + match[2].upper(), text),
    "pad": _pad,
    "truncate": _truncate,
}
