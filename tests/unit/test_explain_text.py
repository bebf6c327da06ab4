from __future__ import annotations

import errno
import io
import re

import pytest

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import Call, Proof, Slot
from pycontainer.core.wire import SKIPPED, Outcome
from pycontainer.explain.text import TextNarrator, dry_run, style_for
from tests.support.plans import step, tell

ROOT, TARGET, FD = Slot("root"), Slot("target"), Slot("fd")
WATCH = step("Know that it runs", calls.read(FD, 1, expect=0))


def narrate(*steps: object, results: dict[int, tuple[int, int]] | None = None, given: tuple[Slot, ...] = ()) -> str:
    stream = io.StringIO()
    tell(TextNarrator(stream), steps, given, results)  # type: ignore[arg-type]
    return stream.getvalue()


def dropped(*numbers: int) -> tuple[Call, ...]:
    return tuple(calls.prctl(k.PR_CAPBSET_DROP, number) for number in numbers)


def test_a_step_says_its_place_its_title_who_does_it_and_why() -> None:
    text = narrate(step("Name it", calls.sethostname("box"), role="init"))
    assert " 2. Name it   [init " in text
    assert "    why Name it\n" in text
    assert '      sethostname("box", 3)   # sethostname(2), 1.5 us\n' in text


def test_behind_a_step_is_the_field_that_asks_for_it() -> None:
    text = narrate(step("Name it", calls.sethostname("box"), role="init")._replace(field="hostname"))
    assert re.search(r" 2\. Name it   \[init \d+\]   # hostname\n", text)


def test_a_result_that_is_a_descriptor_is_shown_and_known_from_then_on() -> None:
    text = narrate(step("Open", calls.openat(k.AT_FDCWD, "/x", 0, out=FD), calls.close(FD)), results={0: (0, 33)})
    assert "O_CLOEXEC, 0) = 33 " in text
    assert "close(33<fd>)" in text


def test_given_descriptors_have_their_numbers_from_the_start() -> None:
    assert "close(9<root>)" in narrate(step("Close", calls.close(ROOT)), given=(ROOT,))


def test_a_child_knows_the_descriptors_of_its_parent() -> None:
    clone = step("Clone", calls.clone3(0, child="init", out=FD))
    text = narrate(clone, step("Close", calls.close(ROOT), role="init"), results={0: (0, 77)}, given=(ROOT,))
    assert "close(9<root>)" in text


def test_a_tolerated_failure_is_said_plainly() -> None:
    call = calls.mkdirat(ROOT, "proc", 0o755, tolerate=(errno.EEXIST,))
    assert "= EEXIST (file exists): tolerated" in narrate(step("Make", call), results={0: (errno.EEXIST, -1)})


def test_a_skipped_call_says_what_it_lacks() -> None:
    opened = calls.openat2(ROOT, "proc/kcore", k.O_PATH, out=TARGET, tolerate=(errno.ENOENT,))
    text = narrate(
        step("Mask", opened, calls.move_mount(ROOT, TARGET)),
        results={0: (errno.ENOENT, -1), 1: (SKIPPED, 0)},
        given=(ROOT,),
    )
    assert " - skipped: <target> was never opened" in text


def test_a_failure_is_said_with_its_name() -> None:
    text = narrate(step("Change the root", calls.pivot_root(".", ".")), results={0: (errno.EINVAL, -1)})
    assert 'pivot_root(".", ".") = EINVAL (invalid argument): failed' in text


def test_a_result_that_was_not_expected_is_a_failure_with_both_values() -> None:
    text = narrate(step("Wait", calls.read(FD, 1, expect=1)), results={0: (errno.EPROTO, 0)})
    assert "= 0, but only 1 is good: failed" in text


def test_calls_that_differ_in_one_argument_are_folded() -> None:
    text = narrate(step("Bound", *dropped(1, 2, 3, 4, 5, 6, 7, 8)))
    assert text.count("prctl(PR_CAPBSET_DROP, *)") == 1
    assert "8 times in 12 us, with * = CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH" in text
    assert "and 2 more" in text


def test_two_calls_are_not_folded() -> None:
    assert narrate(step("Bound", *dropped(1, 2))).count("prctl(PR") == 2


def test_a_pattern_of_calls_is_folded_from_where_it_begins() -> None:
    rounds = [
        call
        for path in ("proc/a", "proc/b", "proc/c")
        for call in (calls.openat2(ROOT, path, k.O_PATH, out=TARGET), calls.move_mount(FD, TARGET))
    ]
    text = narrate(step("Mask", calls.move_mount(FD, TARGET), *rounds), given=(ROOT, FD))
    lines = [line.strip().split("(")[0] for line in text.splitlines() if line.startswith("      ")]
    assert lines == ["move_mount", "openat2", "move_mount", '3 times in 9.0 us, with * = "proc/a", "proc/b", "proc/c"']


def test_a_call_with_another_result_is_not_folded_away() -> None:
    results = {3: (errno.EPERM, -1)}
    assert "= EPERM" in narrate(step("Bound", *dropped(1, 2, 3, 4)), results=results)


def test_calls_that_differ_in_two_arguments_are_all_printed() -> None:
    nodes = [calls.mknodat(ROOT, name, k.S_IFCHR | 0o666, 1, n) for name, n in (("null", 3), ("zero", 5), ("full", 7))]
    assert narrate(step("Make", *nodes)).count("mknodat(<") == 3


def test_a_proof_shows_what_the_kernel_shows() -> None:
    text = narrate(step("Look", calls.setsid(), proof=Proof("/proc/{pid}/status", "Pid:")))
    assert "/status: Pid:" in text and "(as before)" in text


def test_a_proof_that_can_not_be_read_breaks_nothing() -> None:
    assert "absent" in narrate(step("Look", calls.setsid(), proof=Proof("/proc/{pid}/no/such/file")))


def test_nothing_is_printed_once_the_program_runs() -> None:
    text = narrate(WATCH, step("Watch over it", calls.reap(FD)), given=(FD,))
    assert text.rstrip().endswith("What follows is its own.")
    assert "Watch over it" not in text


def test_a_step_that_another_process_interrupts_is_told_whole() -> None:
    stream = io.StringIO()
    narrator = TextNarrator(stream)
    execute = step("Become the program", calls.execve("/bin/x", ("x",), ()), role="init")
    narrator.begin((execute,), ())
    narrator.before(0, execute, execute.calls[0], 1)
    tell(narrator, (step("Let go", calls.close(FD)),), (FD,))
    narrator.after(0, execute, execute.calls[0], Outcome(0, 0, 0, 0), 1)
    assert stream.getvalue().count("Become the program   [") == 1
    assert stream.getvalue().index("Let go") < stream.getvalue().index("Become the program")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "colour"),
    [
        (Tty(), {}, True),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"NO_COLOR": ""}, True),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(stream: io.StringIO, environment: dict[str, str], colour: bool) -> None:
    assert bool(style_for(stream, environment).bold) == colour


def test_a_dry_run_prints_the_same_list_without_results() -> None:
    stream = io.StringIO()
    opened = calls.openat2(ROOT, "proc", k.O_PATH, out=TARGET, tolerate=(errno.ENOENT,))
    dry_run((step("Open", opened, proof=Proof("/proc/{pid}/fd")), step("Bound", *dropped(1, 2, 3))), stream, "demo")
    text = stream.getvalue()
    assert " 1. Start the performer   [pyc]" in text and '"pyc-monitor", "demo"' in text
    assert 'openat2(<root>, "proc", {' in text and " = " not in text.replace("* = ", "")
    assert "}, 24) - ENOENT is fine   # openat2(2)" in text
    assert "      proof   /proc/PID/fd\n" in text
    assert "3 times, with * = CAP_DAC_OVERRIDE" in text
