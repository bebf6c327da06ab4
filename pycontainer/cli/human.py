"""Numbers and times as docker words them."""

from __future__ import annotations

import time


def size(number: float) -> str:
    """Bytes with three digits and decimal units: ``7.83MB``."""
    unit = 0
    while number >= 1000 and unit < 5:
        number, unit = number / 1000, unit + 1
    text = f"{number:.3g}" if number < 999.5 else f"{number:.0f}"
    return text + ("B", "kB", "MB", "GB", "TB", "PB")[unit]


def binary_size(number: float) -> str:
    """Bytes with four digits and binary units: ``1.952GiB``."""
    unit = 0
    while number >= 1024 and unit < 5:
        number, unit = number / 1024, unit + 1
    return f"{number:.4g}" + ("B", "KiB", "MiB", "GiB", "TiB", "PiB")[unit]


def duration(seconds: float) -> str:
    """``3 weeks``, ``About an hour``, ``Less than a second``."""
    whole, hours = int(seconds), int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < 3600:
        minutes = whole // 60
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    if days < 7 * 2:
        return f"{days} days"
    if days < 30 * 2:
        return f"{days // 7} weeks"
    if days < 365 * 2:
        return f"{days // 30} months"
    return f"{days // 365} years"


def ago(moment: float) -> str:
    """How long ago, from seconds since the epoch: ``3 weeks ago``; "N/A" for 0."""
    return f"{duration(max(0.0, time.time() - moment))} ago" if moment else "N/A"


def date(moment: float) -> str:
    """Local time: ``2026-08-20 15:04:05 +0200 CEST``; "N/A" for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment)) if moment else "N/A"


def short_id(digest: str) -> str:
    """The 12 hex digits that people type: ``sha256:0123...`` -> ``0123456789ab``."""
    return digest.rpartition(":")[2][:12]


def ellipsis(text: str, length: int) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= length else text[: length - 1] + "…"
