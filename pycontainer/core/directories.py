"""Directories of our state: nobody but their owner may look into them."""

from __future__ import annotations

import os


def make_private(path: str) -> None:
    """Make a directory, and those above it that are missing, with mode 0700; os.makedirs opens those above to all.

    Raises OSError.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        above = os.path.dirname(path)
        if not above or os.path.isdir(above):  # as in /proc, where nothing can be made
            raise
        make_private(above)
        make_private(path)


def entries(path: str) -> list[str]:
    """The names in a directory; none if it is not there. Raises OSError."""
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
