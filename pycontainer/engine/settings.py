"""What an administrator decides for all containers: /etc/pycontainer/config.toml, and variables before it.

[network]
default = "bridge"               # PYC_NETWORK: what `run` without --network gets
publish_address = "127.0.0.1"    # PYC_PUBLISH_ADDRESS: where -p 8080:80 is reachable; 0.0.0.0 is everywhere
publish_past_firewall = false    # let published ports in where the host's firewall drops what it does not know
"""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

PATH = "/etc/pycontainer/config.toml"


def network(name: str, default: Any) -> Any:
    """A value of the section ``network``. Raises UsageError where the file can't be understood or the type is wrong."""
    variable = os.environ.get(f"PYC_{name.removeprefix('default_').upper()}")
    if variable is not None and isinstance(default, str):
        return variable
    value = _section("network").get(name.partition("_")[0] if name == "default_network" else name, default)
    if not isinstance(value, type(default)):
        raise UsageError(f"{_path()}: network.{name} must be of type {type(default).__name__}")
    return value


def _path() -> str:
    return os.environ.get("PYC_CONFIG") or PATH


def _section(name: str) -> dict[str, Any]:
    path = _path()
    try:
        with open(path, "rb") as file:
            import tomllib  # +5 ms, where there is such a file

            found = tomllib.load(file).get(name, {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from None
    return found if isinstance(found, dict) else {}
