"""One runroot for each root: by another, every container of the root would look as if it had ended.

ROOT/runroot is a symbolic link to where the live state of its containers is. The reverse does not hold: several roots
may share a runroot, as the lock of a container says whose it is (life.py).
"""

from __future__ import annotations

import os

from pycontainer.core.directories import entries
from pycontainer.engine import life
from pycontainer.engine.options import Roots
from pycontainer.errors import Conflict
from pycontainer.light import suppress


def check(roots: Roots) -> bool:
    """Whether this is the runroot that the root's containers are known to have.

    Raises Conflict if it is another, and some of them live.
    """
    try:
        told = os.readlink(roots.root + "/runroot")
    except FileNotFoundError:
        return False
    if told == roots.runroot:
        return True
    for container_id in entries(roots.root + "/containers"):
        if life.is_alive(Roots(roots.root, told), container_id):
            raise Conflict(
                f"containers of {roots.root} run, and {told} keeps track of them, not {roots.runroot}",
                hint=f"give --runroot {told}, or another --root",
            )
    return False


def settle(roots: Roots) -> None:
    """From now on it is this one; unless there is no root yet, or one that is for reading only. Raises as `check`."""
    if check(roots):
        return
    link = roots.root + "/runroot"
    with suppress(OSError):
        os.symlink(roots.runroot, fresh := f"{link}.{os.getpid()}")
        os.rename(fresh, link)
