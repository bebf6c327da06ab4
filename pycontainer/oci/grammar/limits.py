"""Limits: of setrlimit(2), of CPUs, of disks."""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.numbers import INT64_MAX, UNLIMITED, integer
from pycontainer.oci.grammar.words import matches
from pycontainer.record import Record

RLIM_INFINITY = 2**64 - 1
"""The runtime-spec's (and the kernel's) spelling of an unlimited rlimit: getrlimit(2)."""


class Rlimit(Record):
    """One ``--ulimit``: the spec's name (``RLIMIT_NOFILE``), soft and hard limit, in the unit of setrlimit(2)."""

    type: str
    soft: int
    hard: int


_RLIMITS = "as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack"


def ulimit(text: str) -> Rlimit:
    """``nofile=1024:4096`` or ``nofile=1024`` -> both limits; -1 is unlimited: setrlimit(2)."""
    name, equals, limits = text.partition("=")
    soft_text, colon, hard_text = limits.partition(":")
    if not equals or not soft_text or (colon and not hard_text):
        raise UsageError("must be name=soft[:hard]")
    if not matches(_RLIMITS, name):
        raise UsageError(f"no limit is called {name!r}")
    number = integer(UNLIMITED, INT64_MAX)
    soft, hard = number(soft_text), number(hard_text or soft_text)
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise UsageError(f"the soft limit must be less than or equal to the hard limit: {soft} > {hard}")
    soft, hard = (RLIM_INFINITY if limit == UNLIMITED else limit for limit in (soft, hard))
    return Rlimit("RLIMIT_" + name.upper(), soft, hard)


def blkio_weight(text: str) -> int:
    """A disk weight from 10 to 1000, or 0 for the default."""
    return 0 if text == "0" else integer(10, 1000)(text)


def cpu_period(text: str) -> int:
    """The period of the kernel's CPU bandwidth control in microseconds, or 0 for its default."""
    return 0 if text == "0" else integer(1000, 1_000_000)(text)


def swappiness(text: str) -> int | None:
    """From 0 to 100, or -1 for the host's."""
    number = integer(-1, 100)(text)
    return None if number == -1 else number


def cpus(text: str) -> int:
    """``1.5`` -> 1 500 000 000 billionths of a CPU."""
    match = matches(r"([0-9]{0,9})(?:\.([0-9]{0,9}))?", text)
    if not match or not any(match.groups()):
        raise UsageError("not a decimal number of CPUs with at most 9 places (example: 1.5)")
    whole, fraction = match.groups()
    return int(whole or 0) * 10**9 + int((fraction or "").ljust(9, "0"))


def index_list(text: str) -> str:
    """A list of CPUs or memory nodes such as ``0-3,8``: cpuset(7), "List format". Bounded at 8192 as the kernel is."""
    for part in text.split(","):
        match = matches(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
        if not match:
            raise UsageError("not a list such as 0-3,8")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise UsageError(f"{part} runs backwards")
        if last > 8191:
            raise UsageError(f"{last} is larger than any CPU or node number (8191)")
    return text
