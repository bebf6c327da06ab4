"""Changing the limits of a cgroup that is in use.

In v2 its directory is there, and gets the files of a controller when that is handed down to it. In v1 it may have no
directory yet in the hierarchy of a controller that had nothing to limit: it gets one, and everybody moves in.
"""

from __future__ import annotations

import os
import time

from pycontainer.cgroups.usage import pids
from pycontainer.errors import HostLacks, UsageError
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycontainer.cgroups.group import Group, Tree

PATIENCE = 5.0  # seconds in which everybody must have moved, however they fork


def adjust(existing: Sequence[str], wanted: Group) -> None:
    """Write the limits of ``wanted``.

    Args:
        existing: the directories that the cgroup has.
        wanted: the same cgroup with the limits that it is to have.

    Raises HostLacks or UsageError for what the kernel does not take.
    """
    for tree in wanted.trees:
        if not tree.limits:
            continue
        if tree.hierarchy.version == 2:
            _hand_down(tree)
        elif not os.path.isdir(tree.directory):
            _make(tree)
        _limit(tree)
        if tree.hierarchy.version == 1 and tree.directory not in existing:
            _move(existing, tree.directory)


def _hand_down(tree: Tree) -> None:
    words = " ".join(f"+{name}" for name in tree.controllers if name in tree.hierarchy.controllers)
    for above in (tree.hierarchy.mount, *tree.parents):
        with suppress(OSError):  # then the limit's file is missing, and that is said
            _write(f"{above}/cgroup.subtree_control", words)


def _make(tree: Tree) -> None:
    for directory in tree.parents:
        os.makedirs(directory, exist_ok=True)
        for above, limit in tree.above:
            if above == directory:
                _write(f"{directory}/{limit.file}", limit.value)
    os.makedirs(tree.directory, exist_ok=True)


def _limit(tree: Tree) -> None:
    """Of two limits that depend on each other the right one to begin with depends on the values before."""
    refused = []
    for limit in tree.limits:
        path = f"{tree.directory}/{limit.file}"
        if not os.path.exists(path):
            raise HostLacks(f"{limit.option}: this cgroup has no {limit.file}")
        try:
            _write(path, limit.value)
        except OSError:
            refused.append(limit)
    for limit in refused:
        try:
            _write(f"{tree.directory}/{limit.file}", limit.value)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise UsageError(
                f"{limit.option}: the kernel does not take {limit.value} for {limit.file}: {reason}"
            ) from None


def _move(sources: Iterable[str], target: str) -> None:
    """Move everybody who is in the cgroup elsewhere; who is born meanwhile is where its parent was."""
    deadline = time.monotonic() + PATIENCE
    while left := set(pids(sources)) - set(pids([target])):
        for pid in left:
            with suppress(ProcessLookupError):
                _write(f"{target}/cgroup.procs", str(pid))
        if time.monotonic() > deadline:
            raise HostLacks(f"{target}: not everybody moves in")


def _write(path: str, value: str) -> None:
    with open(path, "w") as file:
        file.write(value)
