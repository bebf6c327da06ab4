"""Limits of one process: rlimits and how soon it is killed for memory (setrlimit(2), proc_pid_oom_score_adj(5))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Proof, Slot, Step
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
        ),
    )


def oom_score(spec: Spec) -> tuple[Step, ...]:
    """Through the host's /proc, so before the pivot."""
    score = spec["process"].get("oomScoreAdj")
    if not score:
        return ()
    file = Slot("oom_score_adj")
    return (
        Step(
            "Say how soon to kill it",
            "When memory is out the kernel kills the process with the highest score; this is added to it",
            INIT,
            (
                calls.openat(k.AT_FDCWD, "/proc/self/oom_score_adj", k.O_WRONLY, out=file),
                calls.write(file, str(score)),
                calls.close(file),
            ),
            "proc_pid_oom_score_adj(5)",
            Proof("/proc/{pid}/oom_score_adj"),
        ),
    )
