"""Becoming CRIU, which writes processes to files and makes them again from these (criu(8))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import MONITOR, Plan, Slot, Step
from pycontainer.plan.program import DEFAULT_PATH, LAST_FD
from pycontainer.plan.slots import ROOT

_PLACE = Slot("place")


def root_as_a_mount(rootfs: str, place: str) -> Plan:
    """CRIU begins the mounts of what it restores with the one that the root is; ``place`` is an empty directory."""
    return (
        Step(
            "Make the root directory a mount",
            "CRIU wants the new root as a mount; in a mount namespace of its own nobody else sees this one",
            MONITOR,
            (
                calls.unshare(k.CLONE_NEWNS),
                calls.mount(None, "/", None, k.MS_REC | k.MS_SLAVE),
                calls.open_tree(k.AT_FDCWD, rootfs, k.OPEN_TREE_CLONE | k.AT_RECURSIVE, out=ROOT),
                calls.mount_setattr(ROOT, k.AT_RECURSIVE, propagation=k.MS_PRIVATE),
                calls.openat(k.AT_FDCWD, place, k.O_PATH | k.O_DIRECTORY, out=_PLACE),
                calls.move_mount(ROOT, _PLACE),
            ),
            "open_tree(2)",
        ),
    )


def become(argv: tuple[str, ...], kept: dict[Slot, int]) -> Plan:
    """Execute CRIU with the descriptors ``kept``, each under a number above all that the performer was given."""
    return (
        Step(
            "Become CRIU",
            "It looks into processes, or makes them, and ends; what it gets of ours is what a restored one is to have",
            MONITOR,
            (
                calls.close_range(3, LAST_FD, k.CLOSE_RANGE_CLOEXEC),
                *(calls.dup3(slot, number) for slot, number in kept.items()),
                calls.execve(argv[0], argv, (f"PATH={DEFAULT_PATH}",)),
            ),
            "criu(8)",
        ),
    )
