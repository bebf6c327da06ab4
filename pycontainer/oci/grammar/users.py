"""Users and groups, as ``--user`` and ``--group-add`` take them. Who they are is decided by the image: oci/user.py."""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.words import matches, plain

MAX_ID = 2**32 - 2
"""The largest user or group id; 2**32-1 is the kernel's "no id": user_namespaces(7)."""


def user(text: str) -> str:
    """``user[:group]``, names or numbers. Who they are is decided by the image: oci/user.py."""
    plain(text)
    for part in text.split(":", 1):
        if matches(r"[+-]?[0-9]+", part) and not 0 <= int(part) <= MAX_ID:
            raise UsageError(f"id {part} is outside 0 to {MAX_ID}")
    if text.startswith(":") or text.count(":") > 1:
        raise UsageError("must be user[:group]")
    return text


def group(text: str) -> str:
    """A group's name or number."""
    if not text or ":" in text:
        raise UsageError("must be a group's name or number")
    return user(text)
