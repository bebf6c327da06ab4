"""A container's life: when it starts again, how much of what it says is kept."""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.numbers import integer, size
from pycontainer.oci.grammar.words import key_value


def restart_policy(text: str) -> str:
    """``no``, ``always``, ``unless-stopped``, ``on-unhealthy`` or ``on-failure[:N]``."""
    name, colon, count = text.partition(":")
    if name == "on-failure" and (not colon or (count.isascii() and count.isdigit() and len(count) < 10)):
        return text
    if text not in ("no", "always", "unless-stopped", "on-unhealthy"):
        raise UsageError("must be no, always, unless-stopped, on-unhealthy or on-failure[:N]")
    return text


def log_option(text: str) -> tuple[str, str]:
    """``max-size=10m`` (in bytes; -1 for any size) or ``max-file=3``; docker's other keys are about its own formats."""
    key, value = key_value(text)
    if key == "max-size":
        return key, str(0 if value == "-1" else _log_size(value))
    if key == "max-file":
        return key, str(integer(1, 10)(value))
    if key in ("compress", "mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "tag"):
        return key, value
    raise UsageError(f"unknown log option {key!r}: there are max-size and max-file")


def _log_size(text: str) -> int:
    bytes_ = size(text)
    if not 0 < bytes_ < 1 << 32:
        raise UsageError("max-size must be more than nothing and less than 4g, or -1 for any size")
    return bytes_
