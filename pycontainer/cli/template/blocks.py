"""A template as a whole: text, and actions that print a pipeline, or choose and repeat blocks of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pycontainer.cli.template.pipelines import Expression, Parser, Scope
from pycontainer.cli.template.values import TemplateError, show, truth
from pycontainer.record import Record


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
        name, value = assigned[1], Parser(assigned[2]).whole()

        def assign(data: Any, scope: Scope, out: list[str]) -> None:
            scope[name] = value(data, scope)

        return assign
    expression = Parser(text).whole()
    return lambda data, scope, out: out.append(show(expression(data, scope)))


def _parse_control(tokens: list[_Token], at: int, word: str) -> tuple[Node, int]:
    """``if``, ``with`` or ``range`` with its branches; return the position of its ``end``."""
    head = tokens[at].text.removeprefix(word).strip()
    names: list[str] = []
    if assigned := re.match(r"(\$\w+)(?:\s*,\s*(\$\w+))?\s*:=(.*)", head, re.S):
        names, head = [name for name in assigned.groups()[:2] if name], assigned[3]
    condition = Parser(head).whole()
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
