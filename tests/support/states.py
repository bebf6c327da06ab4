"""Waiting for what a container becomes, by looking at its record: no sleeping longer than it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from pycontainer.engine import containers
from pycontainer.engine.containers import Container
from pycontainer.engine.options import Roots
from pycontainer.errors import NotFound
from tests.support.cli import Pyc
from tests.support.host import PATIENCE


def until(condition: Callable[[], bool], what: str = "it", seconds: float = 15) -> None:
    """Wait until ``condition`` holds, or fail."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.01)


def look(pyc: Pyc, name: str) -> Container:
    """The container as it is now."""
    return containers.find(Roots(pyc.root, pyc.runroot), name)


def exists(pyc: Pyc, name: str) -> bool:
    try:
        look(pyc, name)
    except NotFound:
        return False
    return True


def until_state(pyc: Pyc, name: str, state: str) -> Container:
    """Wait until the container is in ``state``."""
    until(lambda: exists(pyc, name) and look(pyc, name).state == state, f"{name} {state}")
    return look(pyc, name)


def inspect(pyc: Pyc, name: str) -> dict[str, Any]:
    """What ``pyc inspect`` says."""
    (document,) = json.loads(pyc("inspect", name).ok().stdout)
    return dict(document)
