"""Words: names, paths, one of several, ``key=value``; what every other language is made of."""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable


def matches(pattern: str, text: str) -> re.Match[str] | None:
    """Fit the whole of ``text`` to a pattern."""
    import re  # +3 ms, for a command line that needs it

    return re.fullmatch(pattern, text)


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_OF_NAMES = frozenset(_LETTERS + _LETTERS.upper() + "0123456789_.-")


NAMES = "only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed, at least two characters"
"""What a name must be, for the message about one that is not."""


def is_name(text: str) -> bool:
    """[a-zA-Z0-9][a-zA-Z0-9_.-]+, docker's rule, without the 3 ms that ``re`` takes: most command lines have a name."""
    return len(text) > 1 and text[0] not in "_.-" and _OF_NAMES.issuperset(text)


def _is_host_name(text: str) -> bool:
    """[a-zA-Z0-9_] at both ends, and between them also ``.`` and ``-``."""
    return bool(text) and text[0] not in ".-" and text[-1] not in ".-" and _OF_NAMES.issuperset(text)


def plain(text: str) -> str:
    """Text without control characters: fit for a line of /etc/hosts, a message, a file name."""
    if any(character < " " or character == "\x7f" for character in text):
        raise UsageError("must not contain control characters")
    return text


def no_nul(text: str) -> str:
    """Text that a C string can carry."""
    if "\0" in text:
        raise UsageError("must not contain a NUL byte")
    return text


def container_name(text: str) -> str:
    """A container's name, by docker's rule."""
    name = text.removeprefix("/")
    if not is_name(name):
        raise UsageError(NAMES)
    return name


def host_name(text: str) -> str:
    """A host or domain name of at most 64 bytes: sethostname(2)."""
    if not _is_host_name(text):
        raise UsageError("not a host name: letters, digits, '-' and '.' only")
    if len(text) > 64:
        raise UsageError(f"{len(text)} bytes, but the kernel takes at most 64")
    return text


def absolute_path(text: str) -> str:
    """An absolute path, made shorter by the rules of names alone (no file is looked at)."""
    no_nul(text)
    if not text.startswith("/"):
        raise UsageError("must be an absolute path")
    return os.path.normpath("/" + text.lstrip("/"))


def workdir(text: str) -> str:
    """The directory that a process starts in."""
    return absolute_path(plain(text))


def target_path(text: str) -> str:
    """Where a mount goes in the container: an absolute path that is not the root."""
    path = absolute_path(plain(text))
    if path == "/":
        raise UsageError("destination can't be '/'")
    return path


def cgroup_parent(text: str) -> str:
    """A cgroup's path or a systemd slice: cgroups(7). It must stay below the root of the hierarchy."""
    if ".." in plain(text).split("/"):
        raise UsageError("must not contain '..'")
    return text


def choice(*words: str) -> Callable[[str], str]:
    """Make the parser that takes one of ``words``."""

    def parse(text: str) -> str:
        if text not in words:
            raise UsageError("must be " + ", ".join(words[:-1]) + (" or " if words[:-1] else "") + words[-1])
        return text

    return parse


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool, which is what docker's ``--flag=VALUE`` takes."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise UsageError("must be true or false")


def namespace(*words: str) -> Callable[[str], str]:
    """Make the parser of ``--pid`` and its sisters: one of ``words``; ``container:X`` takes a name."""

    def parse(text: str) -> str:
        if text.startswith("container:") and "container:X" in words:
            container_name(text.partition(":")[2])
            return text
        return choice(*words)(text) if text else ""

    return parse


def key_value(text: str) -> tuple[str, str]:
    """``key=value``; a key alone has the value ""."""
    key, _, value = no_nul(text).partition("=")
    if not key or key != key.strip():
        raise UsageError("the key is empty or has spaces around it")
    plain(key)
    return key, value


def assignment(text: str) -> tuple[str, str]:
    """``key=value``; both must be there."""
    key, value = key_value(text)
    if not value:
        raise UsageError("must be name=value")
    return key, value


def csv_fields(text: str) -> list[str]:
    """Take one line of CSV apart, as Go's encoding/csv reads it."""
    if '"' not in text:
        return text.split(",")
    import csv  # +1 ms, and only for a quoted field

    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UsageError(f"not a list of key=value: {error}") from None
