from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pycontainer.core.directories import make_private


@pytest.fixture
def busy() -> Iterator[None]:
    """Threads that give way to each other all the time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_several_at_once_make_what_is_above_theirs(tmp_path: Path, busy: None) -> None:
    with ThreadPoolExecutor(2) as pool:
        for number in range(300):
            list(pool.map(make_private, [f"{tmp_path}/{number}/above/{name}" for name in "ab"]))
            made = tmp_path / str(number) / "above"
            assert sorted(path.name for path in made.iterdir()) == ["a", "b"]
            assert {path.stat().st_mode & 0o777 for path in (made, *made.iterdir())} == {0o700}


def test_where_nothing_can_be_made_the_kernel_says_so() -> None:
    with pytest.raises(OSError, match="/proc/nowhere"):
        make_private("/proc/nowhere/below")
