"""Numbers: whole ones, sizes and durations."""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.words import matches
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

UNLIMITED = -1
"""What docker's grammars call "no limit"."""

INT64_MAX = 2**63 - 1

_SIZE = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?(?:([kmgtp])(?:i?b)?|b)?"
_UNITS = ("b", *"kmgtp")
_DURATION = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def integer(low: int, high: int) -> Callable[[str], int]:
    """Make the parser of a decimal number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        # int() would also take "1_000", " 1" and other scripts' digits
        digits = text[1:] if text.startswith(("+", "-")) else text
        if not (_is_digits(digits) and len(digits) <= 20):
            raise UsageError("not a whole number")
        number = int(text)
        if not low <= number <= high:
            raise UsageError(f"must be from {low} to {high}")
        return number

    return parse


def size(text: str) -> int:
    """``64m`` -> bytes. Suffixes k, m, g, t, p (also kb, kib) are powers of 1024, as everywhere in docker's flags."""
    number, unit = text[:-1], text[-1:].lower()
    if not (_is_digits(number) and unit in _UNITS):  # "64m", as most are, needs no regular expression
        match = matches(_SIZE, text.lower())
        if not match:
            raise UsageError("not a size (examples: 512k, 64m, 2g)")
        number, unit = match.groups("")
    scale = 1024 ** _UNITS.index(unit) if unit else 1
    result = int(number) * scale if number.isdigit() else int(float(number) * scale)
    if result > INT64_MAX:
        raise UsageError("larger than 2^63-1 bytes")
    return result


def size_or_unlimited(text: str) -> int:
    """A size, or -1 for no limit."""
    return UNLIMITED if text == "-1" else size(text)


def duration(text: str) -> float:
    """``1m30s`` -> 90.0 seconds: Go's durations."""
    if text == "0":
        return 0.0
    import re

    parts = re.findall(_DURATION, text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError("not a duration (examples: 500ms, 1m30s)")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
