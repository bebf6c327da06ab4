"""The part of Go's text/template that people use in ``--format``: https://pkg.go.dev/text/template

Fields, variables, pipelines, parentheses, ``if``/``else if``/``else``, ``range``, ``with``, comments, trim markers, the
functions of Go and those that docker adds. The data is plain: dicts, lists, strings, numbers, and callables for methods
such as ``{{.Label "x"}}``. Nothing in a template can reach Python: there is no attribute lookup and no eval.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pycontainer.errors import UsageError
from pycontainer.record import Record

Scope = dict[str, Any]


class TemplateError(UsageError):
    """A template that can't be parsed, or that asks for a field that is not there."""

    def __init__(self, message: str) -> None:
        super().__init__(f"template: {message}", hint="the language is Go's text/template; try --format json")


class Template:
    """A parsed template: ``Template("{{.Name}}").render({"Name": "x"})``."""

    def __init__(self, text: str) -> None:
        """Parse ``text``. Raises TemplateError."""
        tokens = list(_split(text))
        self._nodes, end = _parse_block(tokens, 0, ())
        if end != len(tokens):
            raise TemplateError(f"unexpected {{{{{tokens[end].text}}}}}")

    def render(self, data: Any) -> str:
        """Fill in ``data``. Raises TemplateError."""
        out: list[str] = []
        scope: Scope = {"$": data}
        for node in self._nodes:
            node(data, scope, out)
        return "".join(out)


Node = Callable[[Any, Scope, list[str]], None]
Expression = Callable[[Any, Scope], Any]


# --- actions ----------------------------------------------------------------------------------------------------------


class _Token(Record):
    """Text between actions, or the inside of one."""

    text: str
    action: bool


def _split(text: str) -> Iterator[_Token]:
    position = 0
    for match in re.finditer(r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|.)*?)\s*(\s-)?\}\}", text, re.S):
        before = text[position : match.start()]
        if position and text[:position].endswith("-}}"):
            before = before.lstrip()
        yield _Token(before.rstrip() if match[1] else before, False)
        if not match[2].startswith("/*"):
            yield _Token(match[2].strip(), True)
        position = match.end()
    rest = text[position:]
    if "{{" in rest:
        raise TemplateError(f"unclosed action: {rest[rest.index('{{') :]}")
    yield _Token(rest.lstrip() if position and text[:position].endswith("-}}") else rest, False)


def _parse_block(tokens: list[_Token], at: int, ends: tuple[str, ...]) -> tuple[list[Node], int]:
    """Parse up to an action whose word is one of ``ends``; return its position."""
    nodes: list[Node] = []
    while at < len(tokens):
        text, action = tokens[at]
        word = text.partition(" ")[0]
        if not action:
            nodes.append(_text(text))
        elif word in ("if", "with", "range"):
            node, at = _parse_control(tokens, at, word)
            nodes.append(node)
        elif word in ("end", "else"):
            if word not in ends:
                raise TemplateError(f"unexpected {{{{{text}}}}}")
            return nodes, at
        elif word in ("define", "template", "block", "break", "continue"):
            raise TemplateError(f"{word} is not supported")
        else:
            nodes.append(_output(text))
        at += 1
    if ends:
        raise TemplateError("unexpected end of the template: an {{end}} is missing")
    return nodes, at


def _text(text: str) -> Node:
    return lambda data, scope, out: out.append(text)


def _output(text: str) -> Node:
    assigned = re.match(r"(\$\w+)\s*:?=(.*)", text, re.S)
    if assigned:
        name, value = assigned[1], _Parser(assigned[2]).whole()

        def assign(data: Any, scope: Scope, out: list[str]) -> None:
            scope[name] = value(data, scope)

        return assign
    expression = _Parser(text).whole()
    return lambda data, scope, out: out.append(show(expression(data, scope)))


def _parse_control(tokens: list[_Token], at: int, word: str) -> tuple[Node, int]:
    """``if``, ``with`` or ``range`` with its branches; return the position of its ``end``."""
    head = tokens[at].text.removeprefix(word).strip()
    names: list[str] = []
    if assigned := re.match(r"(\$\w+)(?:\s*,\s*(\$\w+))?\s*:=(.*)", head, re.S):
        names, head = [name for name in assigned.groups()[:2] if name], assigned[3]
    condition = _Parser(head).whole()
    body, at = _parse_block(tokens, at + 1, ("else", "end"))
    otherwise: list[Node] = []
    if tokens[at].text.startswith("else"):
        rest = tokens[at].text.removeprefix("else").strip()
        if rest:  # {{else if x}} is {{else}}{{if x}} with one {{end}}
            tokens[at] = _Token(rest, True)
            node, at = _parse_control(tokens, at, rest.partition(" ")[0])
            otherwise = [node]
        else:
            otherwise, at = _parse_block(tokens, at + 1, ("end",))
    make = _range if word == "range" else _branch
    return make(condition, names, body, otherwise, dot=word == "with"), at


def _branch(condition: Expression, names: list[str], body: list[Node], otherwise: list[Node], *, dot: bool) -> Node:
    def node(data: Any, scope: Scope, out: list[str]) -> None:
        value = condition(data, scope)
        inner = scope | dict.fromkeys(names, value)
        for child in body if truth(value) else otherwise:
            child(value if dot and truth(value) else data, inner if names else scope, out)

    return node


def _range(condition: Expression, names: list[str], body: list[Node], otherwise: list[Node], *, dot: bool) -> Node:
    def node(data: Any, scope: Scope, out: list[str]) -> None:
        value = condition(data, scope)
        for key, item in _items(value):
            if names:
                scope = scope | dict(zip(reversed(names), (item, key), strict=False))
            for child in body:
                child(item, scope, out)
        if not truth(value):
            for child in otherwise:
                child(data, scope, out)

    return node


def _items(value: Any) -> list[tuple[Any, Any]]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return sorted(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    raise TemplateError(f"range can't iterate over {show(value)}")


# --- pipelines --------------------------------------------------------------------------------------------------------

_TOKENS = r"""\s*(?:
    ("(?:\\.|[^"\\])*") | `([^`]*)` | ('(?:\\.|[^'\\])') | (-?\d+(?:\.\d+)?)
    | (\$\w* | \.?[A-Za-z_]\w* | \.) | (\( | \) | \|)
)"""


class _Parser:
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
        if not self.tokens:
            raise TemplateError("an empty action: {{}}")
        expression = self.pipeline()
        if self.at != len(self.tokens):
            raise TemplateError(f"unexpected {self._peek()!r} in {self.text!r}")
        return expression

    def _peek(self) -> str:
        return self.tokens[self.at][0][0].strip() if self.at < len(self.tokens) else ""

    def pipeline(self) -> Expression:
        expression = self.command(None)
        while self._peek() == "|":
            self.at += 1
            expression = self.command(expression)
        return expression

    def command(self, piped: Expression | None) -> Expression:
        """A function and its arguments, or one operand. The value before a ``|`` is the last argument."""
        operands = [self.operand()]
        while self._peek() not in ("", ")", "|"):
            operands.append(self.operand())
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

    def operand(self) -> Expression:
        if self.at >= len(self.tokens):
            raise TemplateError(f"an operand is missing in {self.text!r}")
        match, _ = self.tokens[self.at]
        string, raw, character, number, name, mark = match.groups()
        self.at += 1
        if mark == "(":
            inner = self.pipeline()
            if self._peek() != ")":
                raise TemplateError(f"unclosed parenthesis in {self.text!r}")
            self.at += 1
            return self.fields(inner)
        if mark:
            raise TemplateError(f"unexpected {mark!r} in {self.text!r}")
        if name:
            return self.name(name)
        return _constant(string, raw, character, number)

    def name(self, name: str) -> Expression:
        if name.startswith("$"):
            return self.fields(_variable(name))
        if name == ".":
            return lambda data, scope: data
        if name.startswith("."):
            return self.fields(_field(lambda data, scope: data, name[1:]))
        if name in ("true", "false", "nil"):
            value = {"true": True, "false": False, "nil": None}[name]
            return lambda data, scope: value
        if name not in FUNCTIONS:
            raise TemplateError(f"function {name!r} not defined")
        return _Function(name)

    def fields(self, expression: Expression) -> Expression:
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


# --- values -----------------------------------------------------------------------------------------------------------


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


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON as docker writes it: compact, as its function ``json`` has it, or indented.

    DEL and the control characters from 0x80 may stand in JSON as they are; a terminal would obey them.
    """
    text = json.dumps(_plain(value), ensure_ascii=False, indent=indent, separators=None if indent else (",", ":"))
    return re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: Any) -> Any:
    return {key: item for key, item in value.items() if not callable(item)} if isinstance(value, Mapping) else value


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
