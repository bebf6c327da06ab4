"""Failpoints: the moments between two steps at which a test lets a command die.

``PYC_FP=create.recorded`` kills the process when it gets there, as power and the kernel do: without a word and without
an ``except``. ``PYC_FP=name:ACTION:COUNT`` acts at the COUNTth time, and in another way: ``kill``; ``pause``, by
SIGSTOP; ``error`` or the name of an errno, which is raised. Without the variable a point costs one look at a global.

tests/root/test_crash.py goes through all of them.
"""

from __future__ import annotations

import os

_armed = os.environ.get("PYC_FP", "")
_passed = 0


def hit(name: str) -> None:
    """Here ends one step and the next has not begun. Raises OSError if that is asked for."""
    if _armed:
        _act(name)


def _act(name: str) -> None:
    global _passed
    wanted, action, count = [*_armed.split(":"), "", ""][:3]
    if name != wanted:
        return
    _passed += 1
    if _passed != int(count or 1):
        return
    import errno
    import signal

    if action in ("", "kill"):
        signal.raise_signal(signal.SIGKILL)
    elif action == "pause":
        signal.raise_signal(signal.SIGSTOP)
    else:
        number = errno.EIO if action == "error" else getattr(errno, action)
        raise OSError(number, os.strerror(number), name)
