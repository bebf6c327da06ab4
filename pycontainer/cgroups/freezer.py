"""Letting everybody in a cgroup stand still: cgroup.freeze in v2, the freezer controller in v1.

Sources: Documentation/admin-guide/cgroup-v2.rst (cgroup.freeze), cgroup-v1/freezer-subsystem.rst.
"""

from __future__ import annotations

import os
import sys
import time

from pycontainer.cgroups.hierarchy import Hierarchies, detect, own_cgroup
from pycontainer.errors import HostLacks
from pycontainer.light import contextmanager, suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 5.0


@contextmanager
def frozen(hierarchies: Hierarchies, path: str) -> Iterator[None]:
    """While this lasts, no process of the cgroup at ``path`` runs, nor of those below it.

    A process of its own lets them go on: it does so as well if this one is killed.

    Args:
        path: the container's cgroup, from the top of each hierarchy.

    Raises HostLacks where nothing can freeze it, or something in it does not freeze.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        argv = [sys.executable, "-m", "pycontainer.cgroups.freezer", path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
        thawer = os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsid=True)
    finally:
        os.close(reader)
    try:
        freeze(hierarchies, path)
        yield
    finally:
        os.close(writer)
        os.waitpid(thawer, 0)


def freeze(hierarchies: Hierarchies, path: str) -> None:
    """Stop everybody in the cgroup at ``path``, until :func:`thaw`. Raises HostLacks as :func:`frozen` does.

    In v1 containers have no group of their own in the freezer's hierarchy; they get one for as long as this takes.
    """
    v2, v1 = hierarchies.v2, hierarchies.v1.get("freezer")
    if v2 and os.path.exists(f"{v2.mount}{path}/cgroup.freeze") and _pids(v2.mount + path):
        switch(v2.mount + path, frozen=True)
    elif v1:
        directory, members = v1.mount + path, [home.mount + path for home in hierarchies.v1.values() if home is not v1]
        os.makedirs(directory, exist_ok=True)
        _write(f"{directory}/freezer.state", "FROZEN")  # first: then nobody who was moved forks any more
        _wait(lambda: not _move(members, directory), directory)
        switch(directory, frozen=True)
    else:
        raise HostLacks("this host has no cgroup freezer")


def switch(directory: str, *, frozen: bool) -> bool:
    """Let everybody in one cgroup, whose own freezer it has, stand still or go on; False if it has none.

    Raises HostLacks if something in it does not come to a halt.
    """
    if os.path.exists(f"{directory}/cgroup.freeze"):
        _write(f"{directory}/cgroup.freeze", str(int(frozen)))
        _wait(lambda: f"frozen {int(frozen)}" in _read(f"{directory}/cgroup.events"), directory)
        return True
    if not os.path.exists(f"{directory}/freezer.state"):
        return False
    state = "FROZEN" if frozen else "THAWED"

    def is_settled() -> bool:
        _write(f"{directory}/freezer.state", state)  # each time: who has just been born may not be frozen
        return state in _read(f"{directory}/freezer.state")

    _wait(is_settled, directory)
    return True


def thaw(hierarchies: Hierarchies, path: str) -> None:
    """Let them go on; in v1 they leave the freezer's cgroup for our own there, and it is removed."""
    v2, v1 = hierarchies.v2, hierarchies.v1.get("freezer")
    with suppress(FileNotFoundError):
        if v2:
            _write(f"{v2.mount}{path}/cgroup.freeze", "0")
    directory = v1.mount + path if v1 else ""
    if v1 and os.path.isdir(directory):
        home = v1.mount + own_cgroup(v1, _read("/proc/self/cgroup"))
        _write(f"{directory}/freezer.state", "THAWED")
        _wait(lambda: not _move([directory], home) and _is_removed(directory), directory)


def _move(sources: list[str], target: str) -> bool:
    """Move everybody from some cgroups into another; whether somebody was moved."""
    found = {pid for source in sources for pid in _pids(source)}
    moved = False
    for pid in found - set(_here(target)):  # in this order: a child of one that was moved is there already
        with suppress(OSError):  # it has ended
            _write(f"{target}/cgroup.procs", str(pid))
            moved = True
    return moved


def _is_removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _wait(done: Callable[[], bool], directory: str) -> None:
    deadline, pause = time.monotonic() + _PATIENCE, 0.0001
    while not done():
        if time.monotonic() > deadline:
            raise HostLacks(f"{directory} does not come to a halt", hint="look for processes in state D")
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _pids(directory: str) -> list[int]:
    """Who is in a cgroup and those below it."""
    return [pid for place, _, _ in os.walk(directory) for pid in _here(place)]


def _here(directory: str) -> list[int]:
    try:
        return [int(word) for word in _read(f"{directory}/cgroup.procs").split()]
    except OSError:
        return []


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    while os.read(0, 1):
        pass
    thaw(detect(), sys.argv[1])
