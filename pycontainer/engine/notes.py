"""Notes: what is no error, and a user had better know."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """Say it on stderr, on one line."""
    print(f"pyc: {text}", file=sys.stderr)
