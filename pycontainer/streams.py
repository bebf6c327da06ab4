"""Standard input, output and error, for who was started without some of them, as ``>&-`` in a shell does it.

The next file that we open would get the number of one that is closed, and become what a container reads or writes.
"""

from __future__ import annotations

import os
import sys


def open_missing() -> None:
    """Let each that is closed be /dev/null. Called before anything else is opened; Python has None for them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
