"""The arithmetic of the bench, its tables, and that the documents say what was measured."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench import plot, report
from bench.measure import Case, Failed, Table, command, turns
from bench.report import Report
from bench.trace import spent

TOP = Path(report.TOP)
CASE = Case(
    "run", "ms", {"pyc": [1.0, 2.0, 30.0], "podman": [4.0, 4.0, 8.0]}, {"docker": "not installed"}, {"podman": 0.4}
)


def test_ratios_are_of_medians_and_bars_are_judged_by_them() -> None:
    assert CASE.ratio("podman") == 0.5
    (verdict,) = CASE.verdicts()
    assert (verdict.found, verdict.bar, verdict.met) == (0.5, 0.4, False)
    faster = Case("rate", "per second", {"pyc": [300.0]}, limit=250.0, more=True)
    assert [verdict.met for verdict in faster.verdicts()] == [True]


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


def test_a_command_that_fails_says_its_last_words() -> None:
    with pytest.raises(Failed, match="exited 3: no way"):
        command([sys.executable, "-c", "import sys; print('no way', file=sys.stderr); sys.exit(3)"])()


def test_who_is_absent_has_an_empty_column() -> None:
    table = Table("t", "T", ("pyc", "podman", "docker"), [CASE])
    assert report.markdown(table).splitlines()[2] == "| run, ms | 2 (1 - 30) | 4 (4 - 8) x0.50 |  |"


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = Report({"processor": "2 x fast"}, 3, [Table("t", "T", ("pyc", "podman"), [CASE])])
    made.write(str(tmp_path / "r.json"))
    assert Report.read(str(tmp_path / "r.json")) == made
    assert '"pyc": [1.0, 2.0, 30.0]' in (tmp_path / "r.json").read_text()


def test_what_was_not_measured_this_time_stays(tmp_path: Path) -> None:
    old = Report({}, 3, [Table("a", "old", (), []), Table("b", "old", (), [])])
    new = Report({}, 3, [Table("b", "new", (), [])])
    assert {table.name: table.title for table in report.merge(old, new).tables} == {"a": "old", "b": "new"}


def test_the_picture_is_well_formed_and_to_scale() -> None:
    picture = ElementTree.fromstring(plot.bars("<&>", [CASE]))
    bars = [float(each.get("width", "0")) for each in picture.findall("{*}rect")][1:]
    assert bars[1] / bars[0] == pytest.approx(2.0, rel=0.01)


def test_imports_are_taken_from_the_phases_they_happen_in() -> None:
    marks = [("interpreter", 10_000_000, 0), ("state", 16_000_000, 4_000_000), ("end", 17_000_000, 4_000_000)]
    found = spent(marks, began=0)
    assert found == {"interpreter": 10.0, "imports": 4.0, "state": 2.0, "back in the caller": 1.0}


def test_the_documents_are_what_was_measured() -> None:
    measured = Report.read(str(TOP / report.RESULTS))
    for name in (report.PAGE, report.README):
        text = (TOP / name).read_text()
        assert report.filled(text, measured) == text, f"{name}: python -m bench --from {report.RESULTS} --write-docs"
        assert re.findall(r"<!-- bench:[a-z-]+ -->\n<!-- /bench -->", text) == []
    assert (TOP / report.PICTURE).read_text() == report.picture(measured)


def test_every_table_has_a_place_in_the_page() -> None:
    measured = json.loads((TOP / report.RESULTS).read_text())
    marks = re.findall(r"<!-- bench:([a-z-]+) -->", (TOP / report.PAGE).read_text())
    assert {table["name"] for table in measured["tables"]} == {*marks} - {"machine", "bars"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "no section nonsense"),
        (["--rounds", "0"], "at least 1"),
        (["--from", "/nowhere"], "/nowhere is no report"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], words: str) -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=TOP, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr.splitlines()[-1]
