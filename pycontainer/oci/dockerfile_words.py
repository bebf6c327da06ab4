"""The words of a Dockerfile's instruction: quotes, backslashes and variables.

Source: docs.docker.com/reference/dockerfile, "Environment replacement". As in a shell, single quotes keep everything as
it is, double quotes keep spaces; ``$NAME``, ``${NAME}``, ``${NAME:-word}``, ``${NAME:+word}`` and ``${NAME:?text}`` are
replaced, and what is not set is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pycontainer.errors import UsageError

_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:\\.|[^"\\])*"|'[^']*')+|\\$""")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([-+?])([^{}]*))?\})", re.ASCII)


def lines_of(text: str) -> list[str]:
    """The instructions in a text: a line each, continued by a backslash at its end; comments are left out."""
    joined = re.sub(r"\\[ \t]*\n", "", text)
    return [line for line in joined.split("\n") if line.strip() and not line.lstrip().startswith("#")] or [text]


def split(text: str) -> list[str]:
    """The words between spaces, each as it was written.

    Raises:
        UsageError: a quote is not closed.
    """
    words, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        word = _WORD.match(text, at)
        if not word:
            raise _unclosed(text)
        words.append(word[0])
        at = word.end()
        if at < len(text) and not text[at].isspace():
            raise _unclosed(text)
    return words


def expand(word: str, variables: Mapping[str, str]) -> str:
    """A word without quotes and backslashes, and with what its variables are.

    Raises:
        UsageError: a quote or a brace is not closed; ``:?`` and the variable is not set.
    """
    result, at, quote = "", 0, ""
    while at < len(word):
        char, following = word[at], word[at + 1 : at + 2]
        if quote == "'" or char not in "\\'\"$" or (quote and char == "'"):
            quote, char = ("", "") if char == quote else (quote, char)
        elif char == "\\" and following and (not quote or following in '"$\\'):
            char, at = following, at + 1
        elif char in "'\"":
            quote, char = "" if quote else char, ""
        elif char == "$":
            char, at = _variable(word, at, variables)
        result, at = result + char, at + 1
    if quote:
        raise _unclosed(word)
    return result


def _variable(word: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """What stands for a variable, and where it ends."""
    found = _VARIABLE.match(word, at)
    if not found:
        if word[at + 1 : at + 2] == "{":
            raise UsageError(f"{word}: a variable is written ${{NAME}}, ${{NAME:-word}}, ${{NAME:+word}}")
        return "$", at
    name, how, other = found[1] or found[2], found[3], found[4] or ""
    value = variables.get(name, "")
    if how == "?" and not value:
        raise UsageError(f"{name}: {other or 'is not set'}")
    if (how == "-" and not value) or (how == "+" and value):
        value = expand(other, variables)
    return value, found.end() - 1


def _unclosed(text: str) -> UsageError:
    return UsageError(f"a quote is not closed: {text}")
