"""How a monitor calls us: the command lines that it becomes, or starts, when Python has something to decide."""

from __future__ import annotations

import os
import sys

from pycontainer.plan.monitor import Command
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots

LOCK = 3
"""Where ``pyc ended ID`` has the container's lock (plan/monitor.py)."""


def command(roots: Roots, *words: str) -> Command:
    """A command of ours, for the monitor to start. Nothing is imported from the directory that it is in."""
    python = (sys.executable, "-P", "-m", "pycontainer")
    path = f"PATH={os.environ.get('PATH', os.defpath)}"
    return Command((*python, "--root", roots.root, "--runroot", roots.runroot, *words), (path,))
