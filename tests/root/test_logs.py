"""The log: what is in it and in which form, how it is read, and what a flood does to it."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from pycontainer.engine import logs
from pycontainer.engine.options import Roots
from tests.root.test_life import monitor_of
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE
from tests.support.states import look, until, until_state

pytestmark = pytest.mark.root

RECORD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] ")


def files(pyc: Pyc, name: str = "box") -> list[Path]:
    """Of its log, the oldest first."""
    return [Path(path) for path in logs.files(f"{pyc.root}/containers/{look(pyc, name).id}")]


def test_the_file_is_in_the_format_of_the_cri(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "box", image, *sh("echo out; echo err >&2; printf unfinished")).ok()
    (file,) = files(stocked)
    lines = file.read_bytes().splitlines()
    assert all(RECORD.match(line) for line in lines)
    assert sorted(line[31:] for line in lines) == [b"stderr F err", b"stdout F out", b"stdout P unfinished"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_both_streams_come_back_as_they_were(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("echo out; echo err >&2; printf '\\000\\377 end'")).ok()
    until_state(stocked, "box", "exited")
    result = stocked("logs", "box")
    assert (result.stdout, result.stderr) == ("out\n\0\udcff end", "err\n")


def test_a_terminals_output_is_logged_too(stocked: Pyc, image: str) -> None:
    stocked("run", "-dt", "--name", "box", image, "echo", "hello").ok()
    until_state(stocked, "box", "exited")
    assert stocked("logs", "box").stdout == "hello\r\n"


def test_long_lines_are_pieces_in_the_file_and_whole_again_when_read(stocked: Pyc, image: str) -> None:
    script = "for i in 1 2 3; do head -c 100000 /dev/zero | tr '\\0' $i; echo; done"
    stocked("run", "-d", "--name", "box", image, *sh(script)).ok()
    until_state(stocked, "box", "exited")
    assert stocked("logs", "box").lines == [str(digit) * 100000 for digit in (1, 2, 3)]
    assert b" stdout P " in files(stocked)[0].read_bytes()
    assert stocked("logs", "-n", "1", "box").lines == ["3" * 100000]
    stamped = stocked("logs", "-t", "box").lines
    assert len(stamped) == 3 and all(re.match(r"\S+Z \d", line) for line in stamped)


@pytest.mark.parametrize(("tail", "expected"), [("0", 0), ("1", 1), ("7", 7), ("300", 100), ("all", 100), ("-1", 100)])
def test_tail(stocked: Pyc, image: str, tail: str, expected: int) -> None:
    stocked("run", "-d", "--name", "box", image, "seq", "100").ok()
    until_state(stocked, "box", "exited")
    assert stocked("logs", "--tail", tail, "box").lines == [str(n) for n in range(101 - expected, 101)]


def test_a_tail_counts_the_line_that_has_not_ended(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "box", image, *sh("printf 'one\\ntwo'")).ok()
    assert stocked("logs", "-n", "1", "box").stdout == "two"
    assert stocked("logs", "-n", "2", "box").stdout == "one\ntwo"


def test_a_carriage_return_ends_no_record_and_begins_no_forged_one(stocked: Pyc, image: str) -> None:
    forged = r"1999-01-01T00:00:00.000000000Z stdout F forged"
    stocked("run", "--name", "box", image, *sh(rf"for n in 1 2 3; do printf 'line %s\r{forged}\n' $n; done")).ok()
    shown = stocked("logs", "-t", "--tail", "1", "box").ok().stdout
    assert shown.endswith("forged\n") and "line 3" in shown and not shown.startswith("1999")


def test_since_and_until_by_time_and_by_age(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("for i in 1 2 3; do echo $i; sleep 0.2; done")).ok()
    until_state(stocked, "box", "exited")
    stamps = [line.split()[0] for line in stocked("logs", "-t", "box").lines]
    assert stocked("logs", "--since", stamps[1], "box").lines == ["2", "3"]
    assert stocked("logs", "--until", stamps[1], "box").lines == ["1", "2"]
    assert stocked("logs", "--since", stamps[1], "--until", stamps[1], "box").lines == ["2"]
    assert stocked("logs", "--since", "1h", "box").lines == ["1", "2", "3"]
    assert stocked("logs", "--until", "1h", "box").lines == []
    assert stocked("logs", "--since", "yesterday", "box").code == 125


def test_following_ends_with_the_container_and_misses_nothing(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("for i in $(seq 50); do echo $i; sleep 0.01; done")).ok()
    result = stocked("logs", "-f", "box")
    assert result.ok().lines == [str(number) for number in range(1, 51)]


def test_following_goes_on_through_restarts(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", "--restart", "on-failure:2", image, *sh("echo begun; exit 1")).ok()
    assert stocked("logs", "-f", "box").lines == ["begun"] * 3


def test_following_until_a_time(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, "sleep", "60").ok()
    began = time.monotonic()
    stocked("logs", "-f", "--until", f"{time.time() + 1:.3f}", "box").ok()
    assert 0.2 < time.monotonic() - began < 6 * PATIENCE


def test_several_containers_with_their_names(stocked: Pyc, image: str) -> None:
    for name in ("one", "three"):
        stocked("run", "-d", "--name", name, image, *sh(f"echo of {name}; sleep 0.3; printf last")).ok()
    expected = ["one   | last", "one   | of one", "three | last", "three | of three"]
    assert sorted(stocked("logs", "-f", "one", "three").lines) == expected
    assert stocked("logs", "one", "three").lines == [expected[1], expected[0], expected[3], expected[2]]
    assert stocked("logs", "one", "nobody").code == 1


def test_details_are_those_that_were_asked_for(stocked: Pyc, image: str) -> None:
    wanted = ("--log-opt", "env=WHERE,NOT", "--log-opt", "labels=who", "-e", "WHERE=here", "-l", "who=me")
    stocked("run", "--name", "box", *wanted, image, "echo", "hello").ok()
    assert stocked("logs", "--details", "box").stdout == "WHERE=here,who=me hello\n"


@pytest.mark.parametrize("driver", ["json-file", "k8s-file", "local"])
def test_drivers_that_write_files_are_one(stocked: Pyc, image: str, driver: str) -> None:
    stocked("run", "--name", "box", "--log-driver", driver, image, "echo", "hello").ok()
    assert stocked("logs", "box").stdout == "hello\n"


def test_no_log_is_kept_where_none_is_wanted(stocked: Pyc, image: str) -> None:
    assert stocked("run", "--name", "box", "--log-driver", "none", image, "echo", "hello").stdout == "hello\n"
    assert files(stocked) == []
    refused = stocked("logs", "box")
    assert refused.code == 1 and "keeps no log" in refused.stderr
    assert stocked("run", "--log-driver", "syslog", image, "true").code == 125
    for option in ("max-file=11", "max-size=5g", "max-size=0", "nonsense=1"):
        assert stocked("run", "--log-opt", option, image, "true").code == 125


def test_old_lines_make_room_for_new_ones_and_no_line_is_torn(stocked: Pyc, image: str) -> None:
    options = ("--log-opt", "max-size=64k", "--log-opt", "max-file=3")
    stocked("run", "-d", "--name", "box", *options, image, "seq", "100000", "130000").ok()
    until_state(stocked, "box", "exited")
    found = files(stocked)
    assert [path.name for path in found] == ["log.2", "log.1", "log"]
    assert all(path.stat().st_size <= 65536 + 40000 for path in found)
    numbers = [int(line) for line in stocked("logs", "box").lines]
    assert numbers == list(range(numbers[0], 130001)) and len(numbers) > 2000
    assert [int(line) for line in stocked("logs", "-n", "2500", "box").lines] == numbers[-2500:]


def test_a_follower_is_led_across_rotations(stocked: Pyc, image: str) -> None:
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=10")
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; [ $((i % 100)) -eq 0 ] && sleep 0.05; done"
    stocked("run", "-d", "--name", "box", *options, image, *sh(script)).ok()
    assert [int(line) for line in stocked("logs", "-f", "box").lines] == list(range(1, 3001))


def test_a_file_that_is_deleted_or_a_disk_that_is_full_stops_nobody(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("i=0; while :; do echo $((i+=1)); sleep 0.01; done")).ok()
    until(lambda: len(stocked("logs", "box").lines) > 2)
    os.unlink(files(stocked)[0])
    pid = look(stocked, "box").pid
    before = Path(f"/proc/{pid}/io").read_text()
    until(lambda: Path(f"/proc/{pid}/io").read_text() != before, "more output")
    assert stocked("logs", "box").code == 0
    stocked("stop", "-t", "0", "box").ok()


def memory(pid: int) -> int:
    """The resident memory of a process that is its own, in KiB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


@pytest.mark.slow
def test_a_flood_in_bounded_files_and_bounded_memory(stocked: Pyc, image: str) -> None:
    line = "x" * 99
    flood = f"yes {line} | head -c 100000000; echo the end; sleep 60"
    stocked("run", "-d", "--name", "box", image, *sh(flood)).ok()
    monitor, highest = monitor_of(look(stocked, "box").pid), 0

    def ended() -> bool:
        nonlocal highest
        highest = max(highest, memory(monitor))
        sizes = [path.stat().st_size for path in files(stocked) if path.exists()]
        assert sum(sizes) <= 3 * 10_050_000
        entries = logs.read(Roots(stocked.root, stocked.runroot), look(stocked, "box"), tail=1)
        return any(entry.text == b"the end\n" for entry in entries)

    until(ended, "the end", seconds=120)
    assert highest < 1024
    *lines, last = stocked("logs", "box").lines
    assert last == "the end" and set(lines) == {line} and len(lines) > 100_000
    os.kill(look(stocked, "box").pid, signal.SIGKILL)
