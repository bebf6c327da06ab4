"""The question before something is removed for good."""

from __future__ import annotations

import sys


def confirmed(warning: str) -> bool:
    """Whether the user answers ``y``. Where nobody is, or nothing is said, that is no."""
    print(f"{warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
