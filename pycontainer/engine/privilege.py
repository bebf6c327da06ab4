"""What a user must be to make containers, and to enter them."""

from __future__ import annotations

import os

from pycontainer.errors import HostLacks


def require_root() -> None:
    """Raises HostLacks unless this process may make containers."""
    if os.geteuid() != 0:
        raise HostLacks(
            "making a container needs root: this process may not mount or make namespaces",
            hint="run it with sudo; 'pyc run --dry-run' shows the plan without root",
        )
