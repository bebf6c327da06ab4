"""Telling our own behaviour at an interrupt from the interpreter's."""

from __future__ import annotations

import os
import re

import pycontainer

OURS = re.escape(os.path.dirname(pycontainer.__file__) + "/").encode()


def loading(err: bytes) -> bool:
    """Whether Python was interrupted before our first line, and says so in its own way: no line of ours is in it.

    Any program has that: some milliseconds of traceback, fatal errors, or a bare ``KeyboardInterrupt`` with code 1.
    """
    return b"KeyboardInterrupt" in err and not re.search(OURS, err)
