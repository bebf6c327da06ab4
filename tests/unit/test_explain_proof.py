from __future__ import annotations

import os

from pycontainer.core.step import Proof, Slot
from pycontainer.explain.proof import Evidence, difference, read, where

PID = os.getpid()


def test_the_pid_and_the_numbers_of_slots_are_filled_in() -> None:
    proof = Proof("/proc/{pid}/fd/{new /dev}/")
    assert where(proof, 7, {Slot("new /dev"): 24}) == "/proc/7/fd/24/"
    assert where(proof, "PID", {}) == "/proc/PID/fd/<new /dev>/"


def test_a_link_is_read() -> None:
    assert read(Proof("/proc/{pid}/ns/uts"), PID, {}).lines == (os.readlink("/proc/self/ns/uts"),)


def test_a_directory_link_also_says_which_directory() -> None:
    (line,) = read(Proof("/proc/{pid}/root"), PID, {}).lines
    assert (
        line
        == f"/ on device {os.major(os.stat('/').st_dev)}:{os.minor(os.stat('/').st_dev)}, inode {os.stat('/').st_ino}"
    )


def test_of_a_file_only_the_lines_asked_for() -> None:
    (line,) = read(Proof("/proc/{pid}/status", "Pid:"), PID, {}).lines[:1]
    assert line == f"Pid:\t{PID}"


def test_a_directory_is_listed_with_where_its_links_lead() -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        assert f"{null} -> /dev/null" in read(Proof("/proc/{pid}/fd"), PID, {}).lines
    finally:
        os.close(null)


def test_what_is_not_there_is_absent() -> None:
    assert read(Proof("/proc/{pid}/fd/{never}/"), PID, {}).lines == ("absent",)


def test_the_difference_is_what_was_and_what_is() -> None:
    def shown(before: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
        return difference(Evidence("/x", before), Evidence("/x", after))

    assert shown(("a",), ("b",)) == ["/x: a -> b"]
    assert shown((), ("b",)) == ["/x: nothing -> b"]
    assert shown(("a",), ("a",)) == ["/x: a (as before)"]
    assert shown(("a",), ("a", "b", "c")) == ["new /x: b", "new /x: c"]
    assert shown(("a", "b"), ("c",)) == ["/x: a", "/x: b", "-> /x: c"]


def test_a_proof_of_two_processes_shows_both_paths() -> None:
    assert difference(Evidence("/proc/1/ns/pid", ("a",)), Evidence("/proc/2/ns/pid", ("b",))) == [
        "/proc/1/ns/pid: a",
        "-> /proc/2/ns/pid: b",
    ]
