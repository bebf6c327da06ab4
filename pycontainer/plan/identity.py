"""Who the process is and what it may do: ids, capabilities and no_new_privs (credentials(7))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.capabilities import CAPABILITIES, CAPABILITY_NUMBER
from pycontainer.core.step import INIT, Proof, Step
from pycontainer.light import lru_cache
from pycontainer.plan.slots import INIT_END
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycontainer.core.step import Call
    from pycontainer.oci.spec import Spec

EINVAL, ENOSYS, EDQUOT, EPERM = 22, 38, 122, 1


class Caller(Record):
    """Who makes a container or enters it: root of the machine, but for what is said here (user_namespaces(7)).

    Attributes:
        unprivileged: no power over the host's mounts and processes; the container's first process has some, in its
            user namespace.
        in_users: in a user namespace itself, where nobody makes device nodes.
        keeps_groups: nobody may change groups in the container, since one may be there to keep somebody out.
    """

    unprivileged: bool = False
    in_users: bool = False
    keeps_groups: bool = False


ROOT = Caller()


def hide() -> tuple[Step, ...]:
    """Until execve, which makes it an ordinary process again."""
    return (
        Step(
            "Let nobody look into it",
            "Another container may share its PID namespace, and must not reach the host's files through this process",
            INIT,
            (calls.prctl(k.PR_SET_DUMPABLE, 0),),
            "PR_SET_DUMPABLE(2const)",
        ),
    )


def keyring(container: str) -> tuple[Step, ...]:
    """A session keyring of its own."""
    return (
        Step(
            "Leave the host's keys behind",
            "Keyrings are inherited like descriptors: with a new, empty one no key of the caller's is reachable",
            INIT,
            (calls.keyctl(k.KEYCTL_JOIN_SESSION_KEYRING, f"_ses.{container}", tolerate=(ENOSYS, EDQUOT, EPERM)),),
            "session-keyring(7)",
        ),
    )


def bound(spec: Spec) -> tuple[Step, ...]:
    """Shrink the bounding set, which needs CAP_SETPCAP, so before the other sets shrink."""
    return _bounded(_mask(_set(spec, "bounding")))


@lru_cache(maxsize=64)
def _bounded(kept: int) -> tuple[Step, ...]:
    dropped = [number for number in range(len(CAPABILITIES)) if not kept >> number & 1]
    if not dropped:
        return ()
    return (
        Step(
            "Bound what can ever be gained",
            "A capability that is not in the bounding set can't be regained, not even by a set-user-ID-root program",
            INIT,
            tuple(calls.prctl(k.PR_CAPBSET_DROP, number, tolerate=(EINVAL,)) for number in dropped),
            "capabilities(7)",
            Proof("/proc/{pid}/status", "CapBnd"),
            field="process.capabilities.bounding",
        ),
    )


def root_of_the_namespace(spec: Spec, *, tied: bool) -> tuple[Step, ...]:
    """Whoever comes into a user namespace is nobody, with all capabilities; what it makes must belong to somebody.

    ``tied``: the process dies with its parent.
    """
    if not any(namespace["type"] == "user" for namespace in spec["linux"].get("namespaces") or ()):
        return ()
    return (
        Step(
            "Become root of the user namespace",
            "Files that a process makes belong to its user, and nobody's user can own none",
            INIT,
            (calls.setresgid(0), calls.setresuid(0), *(_tie_again() if tied else ())),
            "user_namespaces(7)",
            Proof("/proc/{pid}/status", "Uid"),
        ),
    )


def _tie_again() -> tuple[Call, ...]:
    """Changing ids or capabilities forgets the signal that ties us to the monitor (PR_SET_PDEATHSIG(2const)).

    If that has died meanwhile, nobody has its end of the socket any more, and even an empty write fails: write(2).
    """
    return calls.prctl(k.PR_SET_PDEATHSIG, k.SIGKILL), calls.write(INIT_END, b"")


def become(spec: Spec, *, tied: bool = True, caller: Caller = ROOT) -> tuple[Step, ...]:
    """Groups, then group, then user, then capabilities: each step needs what the next gives up.

    ``tied``: the process dies with its parent. The groups of a caller who keeps them stay, unless some are asked for.
    """
    user = spec["process"]["user"]
    groups, umask = tuple(user.get("additionalGids") or ()), user.get("umask", 0o022)
    sets = [_mask(_set(spec, name)) for name in ("effective", "permitted", "inheritable", "ambient")]
    return (
        _take_ids(user.get("uid", 0), user.get("gid", 0), groups if groups or not caller.keeps_groups else None, umask),
        _give_up(*sets, tied),
    )


@lru_cache(maxsize=64)
def _take_ids(uid: int, gid: int, groups: tuple[int, ...] | None, umask: int) -> Step:
    return Step(
        "Become the user",
        "Groups first: once the user id is gone, so is the right to change them",
        INIT,
        (
            calls.umask(umask),
            *((calls.setgroups(groups),) if groups is not None else ()),
            calls.setresgid(gid),
            *((calls.prctl(k.PR_SET_KEEPCAPS, 1),) if uid else ()),
            calls.setresuid(uid),
        ),
        "credentials(7)",
        Proof("/proc/{pid}/status", "Uid"),
        field="process.user",
    )


@lru_cache(maxsize=64)
def _give_up(effective: int, permitted: int, inheritable: int, ambient: int, tied: bool) -> Step:
    raised = ambient & permitted & inheritable  # the kernel takes no others
    return Step(
        "Give up root's powers",
        "Root's power is about forty capabilities; a container keeps the few that ordinary programs need",
        INIT,
        (
            calls.capset(effective, permitted, inheritable),
            *(
                calls.prctl(k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_RAISE, number)
                for number in range(len(CAPABILITIES))
                if raised >> number & 1
            ),
            *(_tie_again() if tied else ()),
        ),
        "capabilities(7)",
        Proof("/proc/{pid}/status", "CapEff"),
        field="process.capabilities",
    )


def no_new_privs(spec: Spec) -> tuple[Step, ...]:
    """The bit that can't be unset."""
    if not spec["process"].get("noNewPrivileges"):
        return ()
    return (
        Step(
            "Gain nothing by execve",
            "From here on a set-user-ID bit or a file capability gives no privilege, to any descendant",
            INIT,
            (calls.prctl(k.PR_SET_NO_NEW_PRIVS, 1),),
            "PR_SET_NO_NEW_PRIVS(2const)",
            Proof("/proc/{pid}/status", "NoNewPrivs"),
            field="process.noNewPrivileges",
        ),
    )


def _set(spec: Spec, name: str) -> Iterable[str]:
    capabilities = spec["process"].get("capabilities") or {}
    return capabilities.get(name) or ()  # type: ignore[return-value]


def _mask(capabilities: Iterable[str]) -> int:
    return _mask_of(tuple(capabilities))


@lru_cache(maxsize=64)
def _mask_of(capabilities: tuple[str, ...]) -> int:
    mask = 0
    for capability in capabilities:
        if capability in CAPABILITY_NUMBER:
            mask |= 1 << CAPABILITY_NUMBER[capability]
    return mask
