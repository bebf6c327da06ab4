"""Variables of the environment and labels, one by one and as lines of a file."""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.words import key_value, no_nul, plain
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def environment(text: str, environ: Mapping[str, str] | None = None) -> str:
    """``NAME=value`` -> itself; ``NAME`` -> with the caller's value, or alone, which unsets the image's."""
    name, equals, _ = no_nul(text).partition("=")
    if not name:
        raise UsageError("no variable name")
    plain(name)
    values = os.environ if environ is None else environ
    return f"{name}={values[name]}" if not equals and name in values else text


def _lines(path: str) -> Iterable[tuple[int, str]]:
    """The lines of a --env-file or --label-file that say something, numbered from 1."""
    try:
        # the file may be a pipe: --env-file <(cmd)
        with open(path, "rb") as file:
            text = file.read(16 << 20).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"open {path}: {os.strerror(error.errno or 0).lower()}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").lstrip()
        if line and not line.startswith("#"):
            yield number, line


def environment_file(path: str) -> list[str]:
    """A file of ``NAME=value`` lines, taken as they are: no quotes, no expansion.

    ``NAME`` alone takes the caller's value, or is left out.
    """
    result = []
    for number, line in _lines(path):
        name = line.partition("=")[0]
        if any(map(str.isspace, name)):
            raise UsageError(f"{path}, line {number}: variable {name!r} contains whitespace")
        entry = environment(line)
        if "=" in entry:
            result.append(entry)
    return result


def label_file(path: str) -> list[tuple[str, str]]:
    """A file of ``key=value`` lines."""
    return [key_value(line) for _, line in _lines(path)]
