"""What every narrator needs: which step a call belongs to, which number a slot holds, and the proof of a step.

A narrator is told of each call by the performer's own report, so it tells what happened and nothing else.
"""

from __future__ import annotations

from pycontainer.core.performer import FIRST_GIVEN, Observer
from pycontainer.core.step import MONITOR, Call, Plan, Slot, Step
from pycontainer.core.wire import SKIPPED, Outcome
from pycontainer.explain import proof
from pycontainer.explain.decode import decode
from pycontainer.explain.values import Value
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.image.events import Event


class Told(Record):
    """One call, with all that is known of it.

    Attributes:
        at: index in the plan; negative for what starts the performer.
        step, call: of the plan.
        pid: the process that makes it, as the host numbers it.
        values: the decoded arguments.
        record: the result, or None for a plan that is not performed.
    """

    at: int
    step: Step
    call: Call
    pid: int
    values: dict[str, Value]
    record: Outcome | None

    @property
    def skipped(self) -> bool:
        """Not made, because a descriptor it needs was never opened."""
        return self.record is not None and self.record.error == SKIPPED

    @property
    def tolerated(self) -> bool:
        """Refused by the kernel, and the plan goes on."""
        return self.record is not None and self.record.error in self.call.tolerate

    @property
    def failed(self) -> bool:
        """Refused by the kernel, and that is the end of the plan."""
        return self.record is not None and self.record.error > 0 and not self.tolerated


class _Progress:
    """How far one process is in its step."""

    def __init__(self, step: Step) -> None:
        self.step, self.made, self.child = step, 0, 0
        self.before: proof.Evidence | None = None


class Narrator(Observer):
    """An Observer that follows a plan; what it says, and where, is for those below it."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._number: dict[int, int] = {}
        self._slots: dict[str, dict[Slot, int]] = {}
        self._progress: dict[str, _Progress] = {}

    def begin(self, plan: Plan, given: tuple[Slot, ...]) -> None:
        """See Observer."""
        self._number = {id(step): number for number, step in enumerate(plan, 1)}
        self._slots[MONITOR] = {slot: number for number, slot in enumerate(given, FIRST_GIVEN)}

    def before(self, index: int, step: Step, call: Call, pid: int) -> None:
        """See Observer."""
        self._enter(step, pid)

    def after(self, index: int, step: Step, call: Call, record: Outcome, pid: int) -> None:
        """See Observer."""
        now = self._enter(step, pid)
        told = Told(index, step, call, pid, decode(call, self._slots.get(step.role)), record)
        self._learn(step, call, record, now)
        now.made += 1
        executed = call.name == "execve" and record.error == 0
        if now.made < len(step.calls) and not told.failed and not executed:
            self.call_made(told, None, None)
            return
        # A process whose call failed has left: there is nothing to look at.
        after = self._look(step, now.child or pid) if not told.failed else None
        self.call_made(told, now.before, after)
        self.step_ended(step, now.before, after)
        del self._progress[step.role]

    def number(self, step: Step) -> int:
        """The step's place in the plan, from 1; 0 when it is not of the plan."""
        return self._number.get(id(step), 0)

    def _enter(self, step: Step, pid: int) -> _Progress:
        """Where ``step`` is; at its beginning, say so."""
        now = self._progress.get(step.role)
        if now is None or now.step is not step:
            now = self._progress[step.role] = _Progress(step)
            self.step_begins(step, pid)
            now.before = self._look(step, pid)
        return now

    def _look(self, step: Step, pid: int) -> proof.Evidence | None:
        return proof.read(step.proof, pid, self._slots.get(step.role, {})) if step.proof else None

    def _learn(self, step: Step, call: Call, record: Outcome, now: _Progress) -> None:
        """Keep the slots of each process as the performer keeps them."""
        if record.error == SKIPPED:
            return
        slots = self._slots.setdefault(step.role, {})
        if call.out and record.error == 0:
            slots[call.out] = record.value
        elif call.out:
            slots.pop(call.out, None)
        if call.child and record.error == 0:
            now.child = record.value if step.role == MONITOR else 0  # init's child has another number here
            self._slots[call.child] = {slot: value for slot, value in slots.items() if slot != call.out}

    # What a narrator says.

    def step_begins(self, step: Step, pid: int) -> None:
        """Nothing of ``step`` has been done; the process waits until this returns."""

    def call_made(self, told: Told, before: proof.Evidence | None, after: proof.Evidence | None) -> None:
        """One call; the last one of a step comes with the step's proof."""

    def step_ended(self, step: Step, before: proof.Evidence | None, after: proof.Evidence | None) -> None:
        """All of ``step`` has been done, or a call of it failed."""

    def pulled(self, event: Event) -> None:
        """Something happened in a pull, before there is a plan; explain/pull.py has it for people."""

    def close(self) -> None:
        """Nothing more will happen."""


class Several(Narrator):
    """Tells all of ``narrators``."""

    def __init__(self, *narrators: Narrator) -> None:
        """Tell them in this order."""
        self.narrators = narrators

    def begin(self, plan: Plan, given: tuple[Slot, ...]) -> None:
        """See Narrator."""
        for narrator in self.narrators:
            narrator.begin(plan, given)

    def before(self, index: int, step: Step, call: Call, pid: int) -> None:
        """See Observer."""
        for narrator in self.narrators:
            narrator.before(index, step, call, pid)

    def after(self, index: int, step: Step, call: Call, record: Outcome, pid: int) -> None:
        """See Observer."""
        for narrator in self.narrators:
            narrator.after(index, step, call, record, pid)

    def pulled(self, event: Event) -> None:
        """See Narrator."""
        for narrator in self.narrators:
            narrator.pulled(event)

    def close(self) -> None:
        """See Narrator."""
        for narrator in self.narrators:
            narrator.close()
