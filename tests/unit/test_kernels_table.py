"""docs/kernels.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+)\.(\d+) \| .* \| `([\w.]+)\.(\w+)` \|$", re.MULTILINE)
CONSTANT = re.compile(r"^([A-Z_]+) = \((\d), (\d+)\)", re.MULTILINE)


def test_the_table_has_each_version_of_the_kernel_that_the_code_has() -> None:
    table = set(ROW.findall((TOP / "docs/kernels.md").read_text()))
    code = {
        (major, minor, ".".join(path.relative_to(TOP).with_suffix("").parts), name)
        for path in (TOP / "pycontainer").rglob("*.py")
        for name, major, minor in CONSTANT.findall(path.read_text())
    }
    assert table == code


def test_each_version_of_the_kernel_in_the_code_has_a_name() -> None:
    compared = re.compile(r"kernel(_version\(\))? (>=|<) \(\d")
    assert [path for path in (TOP / "pycontainer").rglob("*.py") if compared.search(path.read_text())] == []
