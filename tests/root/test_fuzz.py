"""Ten seconds of `make fuzz`, whose seeds and findings are in the repository: one that comes back is found here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fuzz.__main__ import fuzz
from tests.support.host import needs_command

pytestmark = [pytest.mark.root, pytest.mark.slow, needs_command("clang")]


def test_the_loader_takes_anything_without_reading_or_writing_beside_it(tmp_path: Path) -> None:
    done = fuzz(10, str(tmp_path))
    assert done.returncode == 0, done.stderr[-4000:]
    tried = re.search(r"number_of_executed_units:\s+(\d+)", done.stderr)
    reached = re.findall(r"cov: (\d+)", done.stderr)
    assert tried and int(tried[1]) > 100_000
    assert int(reached[-1]) > 50, "the seeds reach nothing: write them anew with python -m tests.fuzz --seeds"
