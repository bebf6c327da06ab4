"""docs/security.md names tests, flags and figures: they exist."""

from __future__ import annotations

import re
from pathlib import Path

from bench.security import LINES
from pycontainer.oci.security import DEFAULT_CAPABILITIES

TOP = Path(__file__).parents[2]
TEXT = (TOP / "docs/security.md").read_text()


def test_every_test_that_the_history_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)` (test_\w+)", TEXT)
    assert len(named) > 60
    for file, name in named:
        (path,) = TOP.glob(f"tests/*/{file}")
        assert re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE), (file, name)


def test_the_score_has_every_line_that_is_counted() -> None:
    assert [line.title for line in LINES if f"| {line.title} |" not in TEXT] == []


def test_the_count_of_capabilities_is_right() -> None:
    assert f"| capabilities | {len(DEFAULT_CAPABILITIES)}: " in TEXT
