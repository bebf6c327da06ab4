"""The arithmetic of the bench, its tables, and that the documents say what was measured."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench import bars, plot, report, traced
from bench.__main__ import SECTIONS
from bench.bars import AT_LEAST, Bar
from bench.measure import Case, Failed, Table, at_once, command, turns, turns_of
from bench.peers import Engine
from bench.report import Report
from bench.trace import spent

TOP = Path(report.TOP)
CASE = Case("run", "ms", {"pyc": [1.0, 2.0, 30.0], "podman": [4.0, 4.0, 8.0]}, {"docker": "not installed"})
TABLE = Table("t", "T", ("pyc", "podman", "docker"), [CASE])


def verdict(bar: Bar, case: Case = CASE) -> tuple[float | None, str]:
    found = bars._judged(bar, case)
    return found.found, found.word


def test_ratios_are_of_medians_and_their_spread_of_rounds() -> None:
    assert CASE.ratio("podman") == 0.5
    assert CASE.ratios("podman") == (0.25, 3.75)


def test_the_spread_is_of_the_middle_eight_of_ten() -> None:
    case = Case("x", "ms", {"pyc": [float(number) for number in range(11)], "few": [3.0, 1.0]})
    assert (case.spread("pyc"), case.spread("few")) == ((1.0, 9.0), (1.0, 3.0))


def test_a_bar_has_a_figure_that_must_hold_and_an_aim() -> None:
    assert verdict(Bar("t", "run", "podman", 0.4, 0.3)) == (0.5, "MISSED")
    assert verdict(Bar("t", "run", "podman", 0.5, 0.3)) == (0.5, "met")
    assert verdict(Bar("t", "run", "podman", 0.6, 0.5)) == (0.5, "aim met")
    assert verdict(Bar("t", "run", "podman", None, 0.3)) == (0.5, "told")
    assert verdict(Bar("t", "run", "docker", 0.5)) == (None, "not measured")
    rate = Case("rate", "per second", {"pyc": [300.0]}, more=True)
    assert verdict(Bar("t", "rate", "", 250, 450, AT_LEAST), rate) == (300.0, "met")
    assert verdict(Bar("t", "rate", "", 350, 450, AT_LEAST), rate) == (300.0, "MISSED")


def test_all_take_turns_and_who_fails_is_left_out_with_the_reason() -> None:
    order: list[str] = []

    def good() -> float:
        order.append("good")
        return 1.0

    def bad() -> float:
        order.append("bad")
        if order.count("bad") == 3:
            raise Failed("had enough")
        return 1.0

    case = turns("x", "ms", {"good": good, "bad": bad}, 5)
    assert (case.samples, case.absent) == ({"good": [1.0] * 5}, {"bad": "had enough"})
    assert order.count("good") == 6  # one to warm up
    assert all({*order[at : at + 2]} == {"good", "bad"} for at in (0, 2))


def test_a_turn_can_give_several_figures() -> None:
    first, second = turns_of({"time": "s", "memory": "MiB"}, {"pyc": lambda: (1.0, 50.0)}, 2, warm=False)
    assert (first.samples, second.samples, second.unit) == ({"pyc": [1.0, 1.0]}, {"pyc": [50.0, 50.0]}, "MiB")


def test_after_a_failure_nothing_more_is_begun() -> None:
    begun, go = [], threading.Event()

    def fail() -> None:
        go.set()
        raise Failed("no")

    def wait() -> None:
        go.wait(10)
        begun.append(1)

    with pytest.raises(Failed):
        at_once([fail, *[wait] * 1000], 2)
    assert len(begun) < 1000


def test_a_command_that_fails_says_its_last_words() -> None:
    script = "import sys; print('no way', file=sys.stderr); sys.exit(3)"
    with pytest.raises(Failed, match="exited 3: no way"):
        command([sys.executable, "-c", script])()
    with pytest.raises(Failed, match="x run: no way"):
        Engine("x", [sys.executable, "-c", script], {}, "").taken("run")


def test_the_memory_of_a_command_is_its_own() -> None:
    script = "import time; kept = bytearray({} << 20); time.sleep(0.2)"
    small, large = (Engine("x", [sys.executable], {}, "").taken("-c", script.format(size))[1] for size in (1, 101))
    assert 90 < large - small < 110


def test_who_is_absent_has_an_empty_column() -> None:
    assert report.markdown(TABLE).splitlines()[2] == "| run, ms | 2 (1 - 30) | 4 (4 - 8) x0.50 |  |"


def test_growth_is_told_in_multiples_of_the_smallest() -> None:
    table = Table("growth-x", "", ("1", "10"), [Case("run", "ms", {"1": [2.0], "10": [3.0]})])
    assert report.markdown(table).splitlines()[2] == "| run, ms | 2 | 3 x1.50 |"


def made() -> Report:
    return Report({"load": "0.1", "processor": "2 x fast"}, 3, [TABLE], {"pull": "no registry"})


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made().write(str(tmp_path / "r.json"))
    assert Report.read(str(tmp_path / "r.json")) == made()
    assert '"pyc": [1.0, 2.0, 30.0]' in (tmp_path / "r.json").read_text()


def test_a_report_says_who_is_missing_and_what_failed_once() -> None:
    twice = made()._replace(tables=[TABLE, TABLE])
    assert list(report.missing(twice)) == ["not measured: docker: not installed", "failed: pull: no registry"]


def test_what_is_measured_again_takes_its_place_and_the_machine_says_so() -> None:
    old = Report({}, 3, [Table("a", "old", (), []), Table("b", "old", (), [])], {"a": "failed", "c": "failed"})
    new = Report({"load": "0.1"}, 3, [Table("a", "new", (), [])], {})
    both = report.merged(old, new, ["a"])
    assert [(table.name, table.title) for table in both.tables] == [("a", "new"), ("b", "old")]
    assert both.machine["measured again"].endswith("load 0.1: a")
    assert both.failures == {"c": "failed"}


def test_what_was_not_measured_is_not_claimed() -> None:
    text = "<!-- bench:claim -->\nold\n<!-- /bench -->\n<!-- bench:pull -->\nold\n<!-- /bench -->"
    assert "old" not in report.filled(text, made())
    assert report.filled(text, made()).count(report.NOTHING) == 2


def well_formed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def test_bars_are_to_scale() -> None:
    picture = well_formed(plot.bars("<&>", "", [CASE]))
    pyc, podman = (
        float(each.get("width", "0")) for each in picture.findall("{*}rect") if each.find("{*}title") is not None
    )
    assert podman / pyc == pytest.approx(2.0, rel=0.01)


def test_every_picture_can_be_drawn_of_what_there_is() -> None:
    phases = Table("trace", "", ("a", "b"), [Case("x", "ms", {"a": [1.0], "b": [2.0]}), Case("y", "ms", {"a": [1.0]})])
    grown = Table("growth-x", "", ("1", "10"), [Case("x", "ms", {"1": [1.0], "10": [2.0]})])
    full = Report({}, 1, [TABLE._replace(name="starts"), phases, grown], {})
    for draw in report.PICTURES.values():
        well_formed(draw(full))
        assert draw(full._replace(tables=[])) == ""


def test_imports_are_taken_from_the_phases_they_happen_in() -> None:
    marks = [("interpreter", 10_000_000, 0), ("state", 16_000_000, 4_000_000), ("end", 17_000_000, 4_000_000)]
    found = spent(marks, began=0)
    assert found == {"interpreter": 10.0, "imports": 4.0, "state": 2.0, "back in the caller": 1.0}


@pytest.mark.parametrize(("modules", "path"), [(modules, path) for modules, path, _, _ in traced.PHASES])
def test_what_a_traced_start_listens_to_is_there(modules: tuple[str, ...], path: str) -> None:
    for module in modules:
        owner, name = traced.found(module, path)
        assert callable(getattr(owner, name)), f"{module}.{path}: bench/traced.py says which phases end where"


def test_the_documents_are_what_was_measured() -> None:
    measured = Report.read(str(TOP / report.RESULTS))
    for name in (report.PAGE, report.README):
        text = (TOP / name).read_text()
        assert report.filled(text, measured) == text, f"{name}: python -m bench --from {report.RESULTS} --write-docs"
        assert re.findall(r"<!-- bench:[a-z-]+ -->\n<!-- /bench -->", text) == []
    for name, draw in report.PICTURES.items():
        assert (TOP / name).read_text() == draw(measured), name
        assert os.path.basename(name) in (TOP / report.PAGE).read_text()


def test_the_verdicts_in_the_results_are_those_of_the_bars() -> None:
    written = json.loads((TOP / report.RESULTS).read_text())
    judged = [(bar["case"], bar["beside"], bar["first"], bar["aim"], bar["verdict"]) for bar in written["bars"]]
    assert judged == [
        (found.bar.case, found.bar.beside, found.bar.first, found.bar.aim, found.word)
        for found in bars.judged(Report.read(str(TOP / report.RESULTS)).tables)
    ]


def test_every_bar_and_every_table_has_its_place() -> None:
    measured = Report.read(str(TOP / report.RESULTS))
    marks = re.findall(r"<!-- bench:([a-z-]+) -->", (TOP / report.PAGE).read_text())
    assert {table.name for table in measured.tables} == {*marks} - report.PARTS.keys()
    assert [bar for bar in bars.BARS if measured.case(bar.table, bar.case) is None] == []
    assert [place for place in report.CLAIMED.values() if measured.case(*place) is None] == []


def test_help_names_every_section() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--help"], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0
    assert [name for name in SECTIONS if not re.search(rf"^  {name} +[A-Z`]", done.stdout, re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "no section nonsense"),
        (["--rounds", "0"], "at least 1"),
        (["--from", "/nowhere"], "/nowhere is no report"),
        (["starts", "--write-docs"], "the documents are of whole runs"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], words: str) -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=TOP, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr.splitlines()[-1]
