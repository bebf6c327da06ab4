"""By default a container's root reaches less here than under docker and podman, in everything that is counted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from bench.security import FILTER, LINES, everybody, looser, table
from tests.support.host import needs_command

pytestmark = [pytest.mark.peers, pytest.mark.root, pytest.mark.slow, needs_command("cc", "podman", "dockerd", "docker")]


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, dict[str, int]]]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        asked, absent = everybody(scratch)
        assert absent == {}
        yield asked


def test_nobody_is_stricter_in_anything(answers: dict[str, dict[str, int]]) -> None:
    assert looser(answers) == [], "\n".join(table(answers))


def test_all_was_asked_and_most_of_it_differs(answers: dict[str, dict[str, int]]) -> None:
    assert set(answers) == {"pyc", "docker", "podman", FILTER}
    assert all(line.key in answers[name] for line in LINES for name in ("pyc", "docker", "podman"))
    assert sum(answers["pyc"][line.key] < answers["docker"][line.key] for line in LINES) >= 8
