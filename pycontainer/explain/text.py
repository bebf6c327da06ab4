"""``--explain``: the plan as it is performed, for a person, on a stream; and ``--dry-run``: the plan before it is.

Nothing is printed once the program runs: the terminal is the program's then.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping

from pycontainer.core.performer import start_step
from pycontainer.core.step import Plan, Step
from pycontainer.errors import errno_name
from pycontainer.explain import proof, render
from pycontainer.explain.decode import decode
from pycontainer.explain.fold import Fold, fold
from pycontainer.explain.narrator import Narrator, Told
from pycontainer.explain.values import Held, Symbol
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import TextIO


EPROTO = 71  # what the performer says of a result that is not the one the plan expects
MAX_PROOF_LINES = 6
VALUES_SHOWN = 6


class Style(Record):
    """The escape sequences, or nothing."""

    bold: str = ""
    faint: str = ""
    warn: str = ""
    off: str = ""


def style_for(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Style:
    """Colour only for a terminal, and not where NO_COLOR is set (no-color.org)."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb" or not stream.isatty():
        return Style()
    return Style("\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m")


# --- words --------------------------------------------------------------------------------------------------------


def result(told: Told) -> str:
    """What came of a call, in words where it is not plain success."""
    record = told.record
    if record is None:
        fine = " or ".join(errno_name(number) for number in told.call.tolerate)
        return f" - {fine} is fine" if fine else ""
    if told.skipped:
        missing = [f"<{v.slot}>" for v in told.values.values() if isinstance(v, Held) and v.number is None]
        return f" - skipped: {' and '.join(missing) or 'what it needs'} was never opened"
    if told.failed and record.error == EPROTO:
        return f" = {record.value}, but only {told.call.expect} is good: failed"
    if record.error:
        said = f" = {errno_name(record.error)} ({os.strerror(record.error).lower()})"
        return said + (": tolerated" if told.tolerated else ": failed")
    return f" = {record.value}" if record.value or told.call.out else ""


def duration(ns: int) -> str:
    """Microseconds, with a digit more where they are few."""
    return f"{ns / 1000:.1f} us" if ns < 10_000 else f"{ns // 1000} us"


def who(step: Step, pid: int) -> str:
    """Who performs a step."""
    return f"{step.role} {pid}" if pid else step.role


# --- narrators ----------------------------------------------------------------------------------------------------


class TextNarrator(Narrator):
    """Prints each step when it begins, and its calls and proof when it has ended."""

    def __init__(self, stream: TextIO) -> None:
        """Print to ``stream``."""
        super().__init__()
        self._stream = stream
        self._style = style_for(stream)
        self._calls: dict[str, list[Told]] = {}
        self._headed: Step | None = None
        self._over = False

    def step_begins(self, step: Step, pid: int) -> None:
        """Print what comes and why."""
        self._calls[step.role] = []
        if not any(call.name == "execve" for call in step.calls):  # then nobody waits any more: see step_ended
            self._head(step, pid)

    def call_made(self, told: Told, before: proof.Evidence | None, after: proof.Evidence | None) -> None:
        """Keep the call, to see what repeats."""
        self._calls[told.step.role].append(told)

    def step_ended(self, step: Step, before: proof.Evidence | None, after: proof.Evidence | None) -> None:
        """Print the calls and the proof; after the program has started, nothing more."""
        calls = self._calls.pop(step.role)
        if self._headed is not step:  # the other process has done something meanwhile
            self._head(step, calls[-1].pid)
        self._print_calls(calls)
        if before and after:
            self._print_proof(proof.difference(before, after))
        if any(_is_watch(told) for told in calls):
            self._say("\nThe program runs. What follows is its own.\n", self._style.faint)
            self._over = True
        self._stream.flush()

    def _head(self, step: Step, pid: int) -> None:
        self._headed = step
        title = f"\n{self.number(step):2}. {render.shorten(step.title)}   [{who(step, pid)}]"
        self._say(title, self._style.bold, f"   # {step.field}" if step.field else "")
        self._say(textwrap.fill(step.why, 100, initial_indent=" " * 4, subsequent_indent=" " * 4))

    def _print_calls(self, calls: list[Told]) -> None:
        for group in fold(calls):
            for told, varying in zip(group.calls, group.varying, strict=True):
                self._print_call(told, varying, group.times)
            if group.times > 1:
                self._say(f"        {group.times} times{_listed(group)}", self._style.faint)

    def _print_call(self, told: Told, varying: str, times: int) -> None:
        values = told.values | ({varying: Symbol("*")} if varying else {})
        once = times == 1 or told.tolerated or told.skipped or told.failed
        said = result(told) if once else ""
        spent = f", {duration(told.record.ns)}" if told.record and told.record.ns and times == 1 else ""
        alarming = self._style.warn if told.failed or told.tolerated or told.skipped else ""
        line = f"      {render.line(told.call.name, values)}{said}"
        self._say(line, alarming, f"   # {render.man(told.call)}{spent}")

    def _print_proof(self, lines: list[str]) -> None:
        for line in lines[:MAX_PROOF_LINES]:
            self._say(f"      proof   {render.shorten(line)}", self._style.bold)
        if len(lines) > MAX_PROOF_LINES:
            self._say(f"              and {len(lines) - MAX_PROOF_LINES} more lines", self._style.faint)

    def _say(self, line: str, style: str = "", note: str = "") -> None:
        if self._over:
            return
        before, off = (style, self._style.off) if style else ("", "")
        note = f"{self._style.faint}{note}{self._style.off}" if note else ""
        print(f"{before}{line}{off}{note}", file=self._stream)


def _is_watch(told: Told) -> bool:
    """The monitor's read that ends when the program has been executed."""
    return told.call.name == "read" and told.call.expect == 0 and not told.failed


def _listed(group: Fold) -> str:
    shown = ", ".join(" and ".join(map(render.show, values)) for values in group.values[:VALUES_SHOWN])
    more = f", and {len(group.values) - VALUES_SHOWN} more" if len(group.values) > VALUES_SHOWN else ""
    spent = f" in {duration(group.ns)}" if group.ns else ""
    return f"{spent}, with * = {shown}{more}"


class _DryRun(TextNarrator):
    """The same, of a plan that nobody performs."""

    def tell(self, plan: Plan) -> None:
        self.begin(plan, ())
        for step in plan:
            self._head(step, 0)
            self._print_calls([Told(0, step, call, 0, decode(call), None) for call in step.calls])
            if step.proof:
                some = f", lines with {step.proof.line.strip()!r}" if step.proof.line.strip() else ""
                self._print_proof([f"{proof.where(step.proof, 'PID', {})}{some}"])


def dry_run(plan: Plan, stream: TextIO, name: str = "NAME") -> None:
    """Print what would be done; nothing is done, and no privilege is needed. ``name`` is the container's."""
    _DryRun(stream).tell((start_step(name), *plan))
