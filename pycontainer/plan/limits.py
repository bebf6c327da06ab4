"""Limits of one process: rlimits and how soon it is killed for memory (setrlimit(2), proc_pid_oom_score_adj(5))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec


def rlimits(spec: Spec) -> tuple[Step, ...]:
    """Inherited by every process of the container."""
    limits = spec["process"].get("rlimits") or []
    for limit in limits:
        if limit["type"] not in k.RLIMITS:
            raise UsageError(f"process.rlimits: no limit is called {limit['type']!r}: setrlimit(2) lists them")
    if not limits:
        return ()
    return (
        Step(
            "Limit the process",
            "An rlimit counts per process or per user; the soft value can be raised up to the hard one",
            INIT,
            tuple(calls.prlimit64(k.RLIMITS[limit["type"]], limit["soft"], limit["hard"]) for limit in limits),
            "setrlimit(2)",
            Proof("/proc/{pid}/limits", "Max open files"),
            field="process.rlimits",
        ),
    )


def oom_score(spec: Spec, role: str = INIT) -> tuple[Step, ...]:
    """Through the host's /proc, so before the pivot. Only with the host's CAP_SYS_RESOURCE it may be lowered."""
    score = spec["process"].get("oomScoreAdj")
    if not score:
        return ()
    why = "When memory is out the kernel kills the process with the highest score; this is added to it"
    if role == MONITOR:
        why += ". A child begins with its parent's, and root of a user namespace may not lower it"
    return (_score("Say how soon to kill it", why, score, role),)


def own_oom_score(spec: Spec, own: int) -> tuple[Step, ...]:
    """The monitor's is again what it was, once it has a child."""
    if not spec["process"].get("oomScoreAdj"):
        return ()
    return (_score("Be killed as soon as before", "The score was meant for the child alone", own, MONITOR),)


def _score(title: str, why: str, score: int, role: str) -> Step:
    file = Slot("oom_score_adj")
    made = (
        calls.openat(k.AT_FDCWD, "/proc/self/oom_score_adj", k.O_WRONLY, out=file),
        calls.write(file, str(score)),
        calls.close(file),
    )
    return Step(
        title, why, role, made, "proc_pid_oom_score_adj(5)", Proof("/proc/{pid}/oom_score_adj"), "process.oomScoreAdj"
    )


def raise_hard(exceeded: tuple[tuple[str, int, int], ...]) -> tuple[Step, ...]:
    """Let the child begin with hard limits as high as its own will be, where ours are lower.

    ``exceeded`` are their names, our soft limits, which stay, and the hard ones.
    """
    if not exceeded:
        return ()
    return (
        Step(
            "Raise what it will lower",
            "Only the host's CAP_SYS_RESOURCE raises a hard limit, and the container's first process may not have it",
            MONITOR,
            tuple(calls.prlimit64(k.RLIMITS[name], soft, hard) for name, soft, hard in exceeded),
            "setrlimit(2)",
            Proof("/proc/{pid}/limits", "Max open files"),
            field="process.rlimits",
        ),
    )
