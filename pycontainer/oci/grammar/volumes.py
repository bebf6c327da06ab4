"""Volumes: their names and what one is made of."""

from __future__ import annotations

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci.grammar.words import NAMES, is_name, key_value, plain


def volume_name(text: str) -> str:
    """A volume's name, by docker's rule."""
    if not is_name(text) or len(text) > 255:
        raise UsageError(
            f"{text!r} is no name for a volume: {NAMES}; a directory of the host is given by its absolute path"
        )
    return text


def volume_driver(text: str) -> str:
    """``local``: what keeps volumes on this host is the only driver there is."""
    if text not in ("", "local"):
        raise Unsupported(f"volume driver {text!r} is not supported: there is only local")
    return "local"


def volume_option(text: str) -> tuple[str, str]:
    """One ``-o`` of the local driver: ``type=tmpfs``, ``device=/dev/vdb``, ``o=size=10m,uid=1000``."""
    key, value = key_value(text)
    if key not in ("type", "device", "o"):
        raise UsageError(f"invalid option {key!r}: the local driver knows type, device and o")
    return key, plain(value)
