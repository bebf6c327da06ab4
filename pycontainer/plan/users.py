"""User namespaces: which ids of the host the ids in a container are (user_namespaces(7)).

Only a process outside of a user namespace may say so, by writing to a file of a process inside; here the monitor. It
can't name that file, whose path has the process's number in it, so the process opens its own directory of /proc, and
the monitor takes a copy of the descriptor.
"""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, KEEPER, MONITOR, Call, Proof, Slot, Step
from pycontainer.light import cache
from pycontainer.plan.mounts import has_users, is_mapped, users_of
from pycontainer.plan.slots import INIT_END, INIT_PIDFD, MONITOR_END, USERS
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import IDMapping, Spec

KEEPER_PID, KEEPER_PIDFD = Slot("keeper's pid"), Slot("keeper's pidfd")
_SELF, _NAMESPACE, _TAKEN, _MAP = Slot("/proc/self"), Slot("its user namespace"), Slot("/proc/pid"), Slot("map")
EAGAIN = 11
_AT_SELF, _AT_NAMESPACE = 40, 41
"""Numbers that the monitor knows without being told, above all descriptors that a keeper can have."""


def for_mounts(spec: Spec, given: frozenset[Slot]) -> tuple[Step, ...]:
    """A user namespace for each way in which mounts show the owners of files, but those that are ``given``.

    Nobody lives in them.
    """
    linux = spec["linux"]
    wanted = {}
    if has_users(spec):
        wanted[USERS] = linux.get("uidMappings") or [], linux.get("gidMappings") or []
    for mount in spec.get("mounts") or ():
        if is_mapped(mount) and users_of(mount) is not USERS:
            wanted[users_of(mount)] = mount.get("uidMappings") or [], mount.get("gidMappings") or []
    steps: list[Step] = []
    for slot, (uids, gids) in wanted.items():
        if slot in given:
            continue
        steps += (*_begin_keeper(), _map_keeper(slot, uids, gids), *_end_keeper())
    return tuple(steps)


@cache
def _begin_keeper() -> tuple[Step, ...]:
    return (
        Step(
            "Make a user namespace to map owners by",
            "An id-mapped mount takes its map from one, and only a process can make one: a child that lives for that",
            MONITOR,
            (
                calls.clone3(k.CLONE_NEWUSER, child=KEEPER, out=KEEPER_PID),
                calls.pidfd_open(KEEPER_PID, out=KEEPER_PIDFD),
            ),
            "clone(2)",
            field="mounts[].uidMappings",
        ),
        Step(
            "Show it to the monitor",
            "Its own files of /proc are the only ones that it can name without knowing its number",
            KEEPER,
            (
                calls.prctl(k.PR_SET_PDEATHSIG, k.SIGKILL),
                calls.close(MONITOR_END),
                *_show(_SELF, "/proc/self", k.O_PATH | k.O_DIRECTORY, _AT_SELF),
                *_show(_NAMESPACE, "/proc/self/ns/user", k.O_RDONLY, _AT_NAMESPACE),
                calls.write(INIT_END, b"u"),
            ),
            "pidfd_getfd(2)",
        ),
    )


def _map_keeper(slot: Slot, uids: list[IDMapping], gids: list[IDMapping]) -> Step:
    return Step(
        "Say which ids its ids are",
        "The maps are written once; then the descriptor keeps the namespace, and the child can go",
        MONITOR,
        (
            calls.ppoll(MONITOR_END, KEEPER_PIDFD),  # there is no end of file: the other end is the monitor's, too
            calls.recvfrom(MONITOR_END, 1, k.MSG_DONTWAIT, expect=1),
            calls.pidfd_getfd(KEEPER_PIDFD, _AT_NAMESPACE, out=slot),
            *_write(KEEPER_PIDFD, _AT_SELF, uids, gids),
            calls.write(MONITOR_END, b"e"),
        ),
        "user_namespaces(7)",
        Proof("/proc/{keeper's pid}/uid_map"),
        field="mounts[].uidMappings",
    )


@cache
def _end_keeper() -> tuple[Step, ...]:
    return (
        Step(
            "Wait to be let go",
            "Its maps are written and its descriptor is open, so it may end",
            KEEPER,
            (calls.read(INIT_END, 1, expect=1),),
            "socketpair(2)",
        ),
        Step(
            "See its end",
            "Nobody else would, and it would stay in the list of processes",
            MONITOR,
            (
                calls.waitid(KEEPER_PIDFD),
                calls.close(KEEPER_PIDFD),
                calls.recvfrom(INIT_END, 1, k.MSG_DONTWAIT, tolerate=(EAGAIN,)),  # if killed, it has left that to init
            ),
            "waitid(2)",
        ),
    )


def _at_self(spec: Spec) -> int:
    """The same for init, which has a descriptor of each mount that was taken before it was made, too."""
    return _AT_SELF + len(spec.get("mounts") or ())


def show_itself(spec: Spec) -> tuple[Step, ...]:
    """Init lets the monitor write the maps of its own user namespace."""
    return (
        Step(
            "Show itself to the monitor",
            "It is nobody in its user namespace yet: which ids of the host it has, somebody outside has to say",
            INIT,
            (*_show(_SELF, "/proc/self", k.O_PATH | k.O_DIRECTORY, _at_self(spec)), calls.write(INIT_END, b"u")),
            "user_namespaces(7)",
        ),
    )


def map_init(spec: Spec) -> tuple[Step, ...]:
    """The monitor writes them."""
    linux = spec["linux"]
    return (
        Step(
            "Say which ids its ids are",
            "Root in the container is one of these ids of the host's: somebody who owns nothing and may do nothing",
            MONITOR,
            (
                calls.read(MONITOR_END, 1, expect=1),
                *_write(INIT_PIDFD, _at_self(spec), linux.get("uidMappings") or [], linux.get("gidMappings") or []),
            ),
            "user_namespaces(7)",
            Proof("/proc/{init's pid}/uid_map"),
            field="linux.uidMappings",
        ),
    )


def hide_itself(spec: Spec) -> tuple[Step, ...]:
    """Init closes what it has shown."""
    return (
        Step(
            "Close the way to the host's /proc",
            "From there, files of the host's can be reached",
            INIT,
            (calls.close(_SELF), calls.close(_at_self(spec))),
            "proc(5)",
        ),
    )


def _show(slot: Slot, path: str, flags: int, number: int) -> tuple[Call, ...]:
    return calls.openat(k.AT_FDCWD, path, flags, out=slot), calls.dup3(slot, number)


def _write(pidfd: Slot, shown_at: int, uids: list[IDMapping], gids: list[IDMapping]) -> tuple[Call, ...]:
    return _write_lines(pidfd, shown_at, _lines(uids), _lines(gids))


def _lines(maps: list[IDMapping]) -> str:
    return "".join([f"{part['containerID']} {part['hostID']} {part['size']}\n" for part in maps])


def _write_lines(pidfd: Slot, shown_at: int, uids: str, gids: str) -> tuple[Call, ...]:
    result: list[Call] = [calls.pidfd_getfd(pidfd, shown_at, out=_TAKEN)]
    for name, lines in (("gid_map", gids), ("uid_map", uids)):
        result.append(calls.openat(_TAKEN, name, k.O_WRONLY, out=_MAP))
        result += (calls.write(_MAP, lines), calls.close(_MAP))  # all in one write, or the kernel takes none
    return (*result, calls.close(_TAKEN))
