"""Moments as text: UTC with nanoseconds (RFC 3339), all of one length, so that they compare as text."""

from __future__ import annotations

import time

from pycontainer.light import lru_cache

NEVER = "0001-01-01T00:00:00Z"
"""How Go writes that something has not happened."""


def now() -> str:
    """The time by the host's clock."""
    return _text(*divmod(time.time_ns(), 10**9))


def rfc3339(moment: float) -> str:
    """Seconds since the epoch; NEVER for 0."""
    return _text(*divmod(round(moment * 1e9), 10**9)) if moment else NEVER


def _text(seconds: int, nanoseconds: int) -> str:
    return f"{_second(seconds)}.{nanoseconds:09d}Z"


@lru_cache(maxsize=4)  # in a second there are many moments
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
