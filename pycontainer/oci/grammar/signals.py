"""Signals, by name and by number: signal(7)."""

from __future__ import annotations

import _signal  # `signal` itself: +2 ms

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.words import matches


def signal_name(text: str) -> str:
    """``TERM``, ``SIGTERM`` or ``15`` -> ``SIGTERM``. Real-time signals as ``RTMIN+3``: signal(7)."""
    name = text.upper().removeprefix("SIG")
    realtime = matches(r"RTMIN\+([0-9]{1,2})|RTMAX-([0-9]{1,2})", name)
    if realtime and int(realtime[1] or realtime[2]) <= 30:
        return "SIG" + name
    if name.isascii() and name.isdigit() and int(name) in _signal.valid_signals():
        number = int(name)
        named = (known for known in dir(_signal) if _is_signal(known) and getattr(_signal, known) == number)
        return next(named, f"SIGRTMIN+{number - 34}")
    if not _is_signal("SIG" + name):
        raise UsageError("no such signal")
    return "SIG" + name


def signal_number(name: str) -> int:
    """``SIGTERM`` -> 15, and real-time signals as signal(7) counts them."""
    if match := matches(r"SIGRT(MIN\+|MAX-)([0-9]{1,2})", name):
        return 34 + int(match[2]) if match[1] == "MIN+" else 64 - int(match[2])
    return int(getattr(_signal, name))


def _is_signal(name: str) -> bool:
    return name.startswith("SIG") and not name.startswith("SIG_") and hasattr(_signal, name)
