"""How Go prints values, what it holds for empty, and docker's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycontainer.errors import UsageError


class TemplateError(UsageError):
    """A template that can't be parsed, or that asks for a field that is not there."""

    def __init__(self, message: str) -> None:
        super().__init__(f"template: {message}", hint="the language is Go's text/template; try --format json")


def truth(value: Any) -> bool:
    """Go's idea of empty: false, 0, nil, and anything of length 0."""
    return bool(value)


def show(value: Any) -> str:
    """Go's ``%v``."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{show(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(show, value)) + "]"
    return str(value)
