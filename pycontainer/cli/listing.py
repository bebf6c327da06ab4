"""Lists as docker prints them: a table, one JSON object a line, IDs, or a template of the user's; and ``--filter``."""

from __future__ import annotations

import sys

from pycontainer.cli import out
from pycontainer.errors import PycError, UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

    Row = Mapping[str, Any]


def write(rows: Iterable[Row], headers: Mapping[str, Any], default: str, form: str) -> None:
    """Print the :func:`lines`."""
    for line in lines(rows, headers, default, form):
        out(for_stdout(line))


def lines(rows: Iterable[Row], headers: Mapping[str, Any], default: str, form: str) -> list[str]:
    """What shows ``rows``.

    Args:
        rows: field -> value; every row has all the fields of ``headers``.
        headers: field -> title of its column.
        default: the template of the table's lines, columns separated by tabs.
        form: what ``--format`` says: "" or ``table``, ``json``, ``table TEMPLATE`` or TEMPLATE.

    Raises UsageError for a template that is wrong.
    """
    # a shell hands over the two characters \t; docker means a tab by them
    form = form.strip().replace("\\t", "\t").replace("\\n", "\n")
    if form == "json":
        form = "{{json .}}"
    if form in ("", "table"):
        form = "table " + default
    if form.startswith("table "):
        render = _renderer(form.removeprefix("table ").lstrip(" "))
        cells = [render(headers), *map(render, rows)]
        return tabulate([printable(line, spared="\t\n").split("\t") for line in cells])
    return list(map(_renderer(form), rows))


def _renderer(text: str) -> Callable[[Row], str]:
    """What makes a line of a row. A template of fields and tabs, as our own are, needs no language for it."""
    names = [cell[3:-2] for cell in text.split("\t") if cell[:3] == "{{." and cell[-2:] == "}}"]
    if len(names) != text.count("\t") + 1 or not all(map(str.isidentifier, names)):
        return _template(text)

    def render(row: Row) -> str:
        if all(isinstance(row.get(name), str) for name in names):
            return "\t".join([row[name] for name in names])
        return _template(text)(row)

    return render


def _template(text: str) -> Callable[[Row], str]:
    from pycontainer.cli.template import Template  # +6 ms

    return Template(text).render


def printable(text: str, *, spared: str = "") -> str:
    """A label or a name must not move the cursor or colour the terminal; characters in ``spared`` may."""
    return "".join(char if char.isprintable() or char in spared else "\N{REPLACEMENT CHARACTER}" for char in text)


def for_stdout(text: str) -> str:
    """What a template made: as it is for a program, without what moves the cursor for a terminal."""
    return printable(text, spared="\t\n") if sys.stdout.isatty() else text


def tabulate(rows: Collection[list[str]], *, narrowest: int = 10) -> list[str]:
    """Columns three spaces apart and at least ``narrowest`` wide, as Go's tabwriter makes them for docker."""
    columns = max((len(row) for row in rows), default=0)
    widths = [max([narrowest, *(len(row[at]) + 3 for row in rows if at < len(row) - 1)]) for at in range(columns)]
    return ["".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1] for row in rows]


def of_filters(known: Iterable[str]) -> str:
    """The line about ``--filter`` in a list's help."""
    return "Show only those that match: " + ", ".join(sorted(known))


class Filters:
    """The ``--filter key=value`` of a list: values of one key are alternatives, keys add up."""

    def __init__(self, texts: Iterable[str], known: Collection[str]) -> None:
        """Sort the filters. Raises UsageError for a key that is not ``known``."""
        self._values: dict[str, list[str]] = {}
        for text in texts:
            key, equals, value = text.partition("=")
            key = key.strip().lower()
            if not equals:
                raise UsageError(f"invalid filter {text!r}: must be key=value")
            if key not in known:
                raise UsageError(f"invalid filter {key!r}", hint="filters here: " + ", ".join(sorted(known)))
            self._values.setdefault(key, []).append(value.strip())

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> list[str]:
        """The values of one key."""
        return self._values.get(key, [])

    def any(self, key: str, test: Callable[[str], bool]) -> bool:
        """Whether one of the key's values passes; true without any."""
        return key not in self._values or any(test(value) for value in self._values[key])

    def labels(self, labels: Mapping[str, str]) -> bool:
        """Whether all ``label=key`` and ``label=key=value`` are there."""
        for wanted in self.get("label"):
            key, equals, value = wanted.partition("=")
            if key not in labels or (equals and labels[key] != value):
                return False
        return True


def join_labels(labels: Mapping[str, str]) -> str:
    """``a=1,b=2``."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def tell(error: PycError) -> None:
    """Say what went wrong. Some of the words may be those of a registry, an image or an archive."""
    print("pyc: " + printable(error.message, spared="\n"), file=sys.stderr)
    if error.hint:
        print("  hint     " + printable(error.hint, spared="\n"), file=sys.stderr)


def for_each(names: Iterable[str], action: Callable[[str], None]) -> int:
    """Do something to each of the things named; one failure does not stop the others. Returns the exit code."""
    status = 0
    for name in names:
        try:
            action(name)
        except UsageError:
            raise
        except PycError as error:
            tell(error)
            status = 1
    return status
