"""/dev/shm of another container, which belongs to the IPC namespace that is shared with it (shm_overview(7))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Proof, Slot, Step
from pycontainer.plan import mounts

_SHM = Slot("its /dev/shm")


def take(namespace: str) -> tuple[Step, ...]:
    """/dev/shm of another container, whose mount namespace is at this path: it belongs to the IPC that is shared."""
    if not namespace:
        return ()
    own, theirs = Slot("own mount namespace"), Slot("its mount namespace")
    guards = k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOEXEC
    return (
        Step(
            "Take the other's /dev/shm",
            "A mount is cloned by who is in its namespace; there, its owner's symbolic links lead nowhere else",
            MONITOR,
            (
                calls.openat(k.AT_FDCWD, "/proc/self/ns/mnt", k.O_RDONLY, out=own),
                calls.openat(k.AT_FDCWD, namespace, k.O_RDONLY, out=theirs),
                calls.setns(theirs, k.CLONE_NEWNS),
                calls.open_tree(k.AT_FDCWD, "/dev/shm", k.OPEN_TREE_CLONE, out=_SHM),
                calls.setns(own, k.CLONE_NEWNS),
                calls.mount_setattr(_SHM, 0, set=guards, propagation=k.MS_PRIVATE),
                calls.close(theirs),
                calls.close(own),
            ),
            "setns(2)",
            field="mounts",
        ),
    )


def attach(namespace: str) -> tuple[Step, ...]:
    """Mount it."""
    if not namespace:
        return ()
    made = (*mounts.target_directory("/dev/shm"), calls.move_mount(_SHM, mounts.TARGET), calls.close(_SHM))
    why = "Shared memory is files, and both containers see the same"
    return (
        Step(
            "Mount /dev/shm",
            why,
            INIT,
            made,
            "shm_overview(7)",
            Proof("/proc/{pid}/mountinfo", "/dev/shm "),
            field="mounts",
        ),
    )
