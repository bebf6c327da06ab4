"""What is between the braces: ``.Field``, ``$variable``, constants, and functions that are given them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pycontainer.cli.template.functions import FUNCTIONS
from pycontainer.cli.template.values import TemplateError, show

Scope = dict[str, Any]
"""The variables: ``$`` is the whole data."""

Expression = Callable[[Any, Scope], Any]
"""What is left of a parsed pipeline: ``.`` and the variables -> a value."""

_TOKENS = r"""\s*(?:
    ("(?:\\.|[^"\\])*") | `([^`]*)` | ('(?:\\.|[^'\\])') | (-?\d+(?:\.\d+)?)
    | (\$\w* | \.?[A-Za-z_]\w* | \.) | (\( | \) | \|)
)"""


class Parser:
    """A pipeline: ``.A.B | json``, ``index .X (len .Y)``, ``printf "%s" $x``."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, position = text.strip(), [], 0
        while position < len(self.text):
            match = re.compile(_TOKENS, re.X).match(self.text, position)
            if not match:
                raise TemplateError(f"can't read {self.text[position:]!r}")
            self.tokens.append((match, match.start() + len(match[0]) - len(match[0].lstrip())))
            position = match.end()
        self.at = 0

    tokens: list[tuple[re.Match[str], int]]

    def whole(self) -> Expression:
        """All of the text, as one pipeline. Raises TemplateError."""
        if not self.tokens:
            raise TemplateError("an empty action: {{}}")
        expression = self._pipeline()
        if self.at != len(self.tokens):
            raise TemplateError(f"unexpected {self._peek()!r} in {self.text!r}")
        return expression

    def _peek(self) -> str:
        return self.tokens[self.at][0][0].strip() if self.at < len(self.tokens) else ""

    def _pipeline(self) -> Expression:
        expression = self._command(None)
        while self._peek() == "|":
            self.at += 1
            expression = self._command(expression)
        return expression

    def _command(self, piped: Expression | None) -> Expression:
        """A function and its arguments, or one operand. The value before a ``|`` is the last argument."""
        operands = [self._operand()]
        while self._peek() not in ("", ")", "|"):
            operands.append(self._operand())
        if piped:
            operands.append(piped)
        first, *arguments = operands
        if isinstance(first, _Function):
            return first.call(arguments)

        def call(data: Any, scope: Scope) -> Any:
            value = first(data, scope)
            if callable(value):  # a method: {{.Label "x"}}
                return _apply(self.text, value, [argument(data, scope) for argument in arguments])
            if arguments:
                raise TemplateError(f"can't give an argument to a value: {self.text!r}")
            return value

        return call

    def _operand(self) -> Expression:
        if self.at >= len(self.tokens):
            raise TemplateError(f"an operand is missing in {self.text!r}")
        match, _ = self.tokens[self.at]
        string, raw, character, number, name, mark = match.groups()
        self.at += 1
        if mark == "(":
            inner = self._pipeline()
            if self._peek() != ")":
                raise TemplateError(f"unclosed parenthesis in {self.text!r}")
            self.at += 1
            return self._fields(inner)
        if mark:
            raise TemplateError(f"unexpected {mark!r} in {self.text!r}")
        if name:
            return self._name(name)
        return _constant(string, raw, character, number)

    def _name(self, name: str) -> Expression:
        if name.startswith("$"):
            return self._fields(_variable(name))
        if name == ".":
            return lambda data, scope: data
        if name.startswith("."):
            return self._fields(_field(lambda data, scope: data, name[1:]))
        if name in ("true", "false", "nil"):
            value = {"true": True, "false": False, "nil": None}[name]
            return lambda data, scope: value
        if name not in FUNCTIONS:
            raise TemplateError(f"function {name!r} not defined")
        return _Function(name)

    def _fields(self, expression: Expression) -> Expression:
        """``.A.B`` that follows without a space."""
        while self.at < len(self.tokens):
            match, start = self.tokens[self.at]
            name = match[5]
            if not name or not name.startswith(".") or name == "." or self.text[start - 1].isspace():
                break
            expression = _field(expression, name[1:])
            self.at += 1
        return expression


class _Function:
    """The name of a function where a command begins; alone it is called without arguments."""

    def __init__(self, name: str) -> None:
        self.name, self.function = name, FUNCTIONS[name]

    def call(self, arguments: list[Expression]) -> Expression:
        return lambda data, scope: _apply(self.name, self.function, [argument(data, scope) for argument in arguments])

    def __call__(self, data: Any, scope: Scope) -> Any:
        return _apply(self.name, self.function, [])


def _apply(name: str, function: Callable[..., Any], values: list[Any]) -> Any:
    try:
        return function(*values)
    except TemplateError:
        raise
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise TemplateError(f"error calling {name}: {error}") from None


def _variable(name: str) -> Expression:
    def get(data: Any, scope: Scope) -> Any:
        if name not in scope:
            raise TemplateError(f"undefined variable {name}")
        return scope[name]

    return get


def _constant(string: str | None, raw: str | None, character: str | None, number: str | None) -> Expression:
    value: Any
    if string is not None:
        value = _unquote(string[1:-1])
    elif character is not None:
        value = ord(_unquote(character[1:-1]))
    elif number is not None:
        value = float(number) if "." in number else int(number)
    else:
        value = raw
    return lambda data, scope: value


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unquote(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] in "xuU" and len(code) > 1 else _ESCAPES.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", one, text)


def _field(expression: Expression, name: str) -> Expression:
    def get(data: Any, scope: Scope) -> Any:
        value = expression(data, scope)
        if isinstance(value, Mapping):
            if name not in value and not _is_map(value):
                known = ", ".join(map(str, value)) if len(value) <= 40 else ""
                raise TemplateError(f"no field {name!r}" + (f"; there are {known}" if known else ""))
            return value.get(name)
        if value is None:
            raise TemplateError(f"nil has no field {name!r}")
        raise TemplateError(f"can't evaluate field {name!r} in {show(value)!r}")

    return get


def _is_map(value: Mapping[Any, Any]) -> bool:
    """Whether it stands for a map of Go's, as of labels, and no struct, whose fields have a capital or are known."""
    return not all(str(key)[:1].isupper() for key in value) or not value
