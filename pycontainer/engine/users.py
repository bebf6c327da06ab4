"""A private user namespace: who gets one, and which ids of the host its ids are (user_namespaces(7)).

Root in a container is then nobody on the host. Each container that runs has 65,536 ids of the host's to itself; its
files need none of them: id-mapped mounts show root's files as its root's, and store what it writes as root's
(mount_setattr(2)). So a range is taken when a container starts, given back when it has ended, and nothing is chowned.

``RUNROOT/users/<n>`` is a symbolic link to the ID of the container that has range n; it means nothing once that
container's ``RUNROOT/containers/<id>`` is gone.
"""

from __future__ import annotations

import fcntl
import os
from itertools import chain

from pycontainer.core.directories import entries, link_new
from pycontainer.core.failpoint import hit
from pycontainer.errors import HostLacks, UsageError
from pycontainer.light import suppress
from pycontainer.oci.build import USERS
from pycontainer.plan import slots
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.core.step import Slot
    from pycontainer.engine.options import Roots
    from pycontainer.oci.options import ContainerOptions
    from pycontainer.oci.user import User

FIRST = 0x7000_0000
"""The first id of the host that a container may have: above all that systemd gives to containers and services of its
own (systemd.io/UIDS-GIDS), and below 2^31, where some programs' ids become negative."""
RANGES = 4096

MEAN_THE_HOST = frozenset(
    "CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_AUDIT_WRITE CAP_BLOCK_SUSPEND CAP_BPF CAP_CHECKPOINT_RESTORE "
    "CAP_DAC_READ_SEARCH CAP_IPC_LOCK CAP_LINUX_IMMUTABLE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_MKNOD CAP_PERFMON "
    "CAP_SYSLOG CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_NICE CAP_SYS_PACCT CAP_SYS_RAWIO CAP_SYS_RESOURCE "
    "CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_WAKE_ALARM ALL".split()
)
"""Capabilities that the kernel looks for in the host's own user namespace: whoever asks for one wants to be there."""


def why_not(asked: ContainerOptions) -> str:
    """What in the options needs the host's own user namespace, in a word; "" if nothing does."""
    if asked.userns == "host":
        return "--userns host"
    if asked.privileged:
        return "--privileged"
    shared = {"--pid": asked.pid, "--ipc": asked.ipc, "--network": asked.network}
    for flag, value in shared.items():
        if value in ("host", "shareable") or value.startswith("container:"):  # who shares must be the same to files
            return f"{flag} {value}"
    if asked.devices or asked.device_cgroup_rules:
        return "--device"
    for capability in asked.cap_add:
        if capability in MEAN_THE_HOST:
            return f"--cap-add {capability}"
    for mount in asked.mounts:
        if mount.type in ("image", "overlay") or "shared" in mount.options or "rshared" in mount.options:
            return f"the mount at {mount.target}"
    return ""


def has_room(asked: ContainerOptions, user: User) -> bool:
    """Whether a namespace has room for who it runs as.

    Raises UsageError if ``--userns private`` asks for it all the same.
    """
    highest = max(user.uid, user.gid, *user.groups)
    if highest >= USERS and asked.userns == "private":
        raise UsageError(f"--userns private: it can't have id {highest} (at most {USERS - 1})")
    return highest < USERS


def foresee(asked: ContainerOptions) -> int:
    """What :func:`take` would return, for a plan that is only shown: no range is taken."""
    return 0 if why_not(asked) else FIRST


def take(roots: Roots, container_id: str, asked: ContainerOptions) -> int:
    """The first of the host's ids that the ids of the container's own user namespace are, or 0 if it gets none.

    Raises:
        UsageError: ``--userns private``, and something else that excludes it.
        HostLacks: all ranges are taken.
    """
    reason = why_not(asked)
    if reason and asked.userns == "private":
        raise UsageError(f"--userns private and {reason} exclude each other")
    return 0 if reason else FIRST + USERS * _claim(roots, container_id)


# --- ranges ---------------------------------------------------------------------------------------------------------


def _claim(roots: Roots, container_id: str) -> int:
    """The number of a range that no other container has. Raises HostLacks when all are taken.

    It is noted with the live state before it is claimed: who is killed in between has told what to give back.
    """
    directory = f"{roots.runroot}/users"
    note = roots.live(container_id) + "/users"
    with suppress(FileNotFoundError):  # a policy starts it again: it has its range still
        number = int(os.readlink(note))
        if _owner(f"{directory}/{number}") == container_id:
            return number
        os.unlink(note)
    first = int(container_id[:8], 16) % RANGES
    for number in chain(tuple(_idle), range(first, RANGES), range(first)):
        os.symlink(str(number), note)
        hit("claim.noted")
        if _is_ours(roots, f"{directory}/{number}", container_id):
            hit("claim.taken")
            return number
        os.unlink(note)
    raise HostLacks(f"all {RANGES} ranges of user ids are taken")


def _is_ours(roots: Roots, claim: str, container_id: str) -> bool:
    """Claim a range that is free, or whose container has gone without giving it back."""
    for _ in range(2):
        with suppress(FileExistsError):
            link_new(container_id, claim)
            return True
        if not _drop_stale(roots, claim):
            break
    return False


def _drop_stale(roots: Roots, claim: str) -> bool:
    """Remove a claim if its container has no live state any more; whether that was so."""
    if os.path.exists(roots.live(_owner(claim))):
        return False
    directory = os.open(os.path.dirname(claim), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # who finds the same remains waits, and looks again
        if os.path.exists(roots.live(_owner(claim))):
            return False
        with suppress(FileNotFoundError):
            os.unlink(claim)
        return True
    finally:
        os.close(directory)


def _owner(claim: str) -> str:
    try:
        return os.readlink(claim)
    except FileNotFoundError:
        return "nobody"


def give_back(roots: Roots, container_id: str) -> None:
    """Let others have the range of a container that has ended."""
    with suppress(FileNotFoundError):
        claim = f"{roots.runroot}/users/{os.readlink(roots.live(container_id) + '/users')}"
        if os.readlink(claim) == container_id:
            os.unlink(claim)
            hit("claim.returned")


def give_back_stale(roots: Roots) -> None:
    """Let others have the ranges of containers whose live state somebody has deleted."""
    for name in filter(str.isdigit, entries(f"{roots.runroot}/users")):
        _drop_stale(roots, f"{roots.runroot}/users/{name}")


# --- maps that serve again --------------------------------------------------------------------------------------------

_idle: dict[int, int] = {}  # number of a range -> a user namespace with its map, while no container of ours has it
MOST = 16


class Map:
    """The map of one container's ids, kept by a process for its next container, which takes the same range if it can.

    An id-mapped mount takes its map from a user namespace. To make one for that takes a process, a tenth of a start;
    but that of a container which has started has the very map, and with a descriptor outlives it.
    """

    def __init__(self, first: int) -> None:
        """For the container whose first id is ``first``; 0 for one without a user namespace of its own."""
        self._range = (first - FIRST) // USERS if first else -1
        self._namespace = _idle.pop(self._range, -1)

    @property
    def given(self) -> dict[Slot, int]:
        """What the performer is handed: nothing, if the map has to be made."""
        return {slots.USERS: self._namespace} if self._namespace >= 0 else {}

    def learn(self, pid: int) -> None:
        """Take it from the container's first process, which may have ended but has not been waited for."""
        if self._range < 0 or self._namespace >= 0:
            return
        with suppress(OSError):
            process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                namespace = os.open("ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
                if self._is_of(process):
                    self._namespace = namespace
                else:
                    os.close(namespace)
            finally:
                os.close(process)

    def _is_of(self, process: int) -> bool:
        """Whether it is the process that we think: it has this map, and no other process has."""
        with open("uid_map", opener=lambda path, flags: os.open(path, flags, dir_fd=process)) as file:
            return [int(word) for word in file.read().split()] == [0, FIRST + USERS * self._range, USERS]

    def keep(self) -> None:
        """The container has ended, and given its range back: the next one may have both."""
        if self._namespace < 0:
            return
        if len(_idle) >= MOST or _idle.setdefault(self._range, self._namespace) != self._namespace:
            os.close(self._namespace)
