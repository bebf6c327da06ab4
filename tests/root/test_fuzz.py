"""Some seconds of `make fuzz`, whose seeds and findings are in the repository: one that comes back is found here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fuzz.__main__ import fuzz
from tests.support.host import needs_command

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize(
    ("target", "tries", "reach"),
    [
        # of the performer's loader nothing beside the plan is read or written
        pytest.param("plan", 100_000, 50, marks=needs_command("clang")),
        # of the two in Python, whatever they read is a value or one error of ours
        ("layer", 1_000, 200),
        ("registry", 5_000, 200),
    ],
)
def test_what_reads_hostile_bytes_takes_anything(target: str, tries: int, reach: int, tmp_path: Path) -> None:
    if target != "plan":
        pytest.importorskip("atheris", reason="needs atheris, which has no wheel for this machine")
    done = fuzz(target, 10, str(tmp_path))
    said = done.stderr + done.stdout
    assert done.returncode == 0, said[-4000:]
    tried = re.search(r"number_of_executed_units:\s+(\d+)", said)
    reached = re.findall(r"cov: (\d+)", said)
    assert tried and int(tried[1]) > tries
    assert int(reached[-1]) > reach, "the seeds reach nothing: write them anew with python -m tests.fuzz --seeds"
