"""docs/kernels.md says what the code says."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

TABLE = Path(__file__).parents[2] / "docs" / "kernels.md"
ROW = re.compile(r"^\| (\d+)\.(\d+) \| .* \| `([\w.]+)\.(\w+)` \|$", re.MULTILINE)


def test_each_version_in_the_table_is_the_codes() -> None:
    rows = ROW.findall(TABLE.read_text())
    assert len(rows) >= 4
    for major, minor, module, name in rows:
        assert getattr(import_module(module), name) == (int(major), int(minor)), name


def test_no_version_in_the_code_is_missing_from_the_table() -> None:
    known = {(int(major), int(minor)) for major, minor, *_ in ROW.findall(TABLE.read_text())}
    package = Path(__file__).parents[2] / "pycontainer"
    for path in package.rglob("*.py"):
        for major, minor in re.findall(r"^[A-Z_]+ = \((\d), (\d+)\)  # the kernel", path.read_text(), re.MULTILINE):
            assert (int(major), int(minor)) in known, path
        assert not re.search(r"kernel(_version\(\))? (>=|<) \(\d", path.read_text()), f"{path}: give it a name"
