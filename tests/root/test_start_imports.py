"""What whole commands load, whatever imports it and when: tests/unit/test_imports.py knows only the modules' tops."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import Pyc

pytestmark = pytest.mark.root

MILLISECONDS = {"typing", "re", "enum", "json", "signal", "contextlib", "functools", "collections", "types", "click"}


def loaded(*argv: str) -> set[str]:
    done = subprocess.run([sys.executable, "-X", "importtime", *argv], stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    "words",
    [
        "run --rm --network none IMAGE true",
        "run --rm --network none -m 64m -e A=b -v /tmp:/x IMAGE true",
        "exec sleeper true",
        "ps -a",
    ],
)
def test_a_command_does_without_what_takes_milliseconds(stocked: Pyc, image: str, words: str) -> None:
    stocked("run", "-d", "--rm", "--network", "none", "--name", "sleeper", image, "sleep", "100").ok()
    try:
        pyc = Path(sys.executable).with_name("pyc")
        state = ["--root", stocked.root, "--runroot", stocked.runroot]
        found = loaded(str(pyc), *state, *words.replace("IMAGE", image).split())
    finally:
        stocked("rm", "-f", "sleeper").ok()
    assert "pycontainer.cli" in found
    assert found & MILLISECONDS == set()


def test_so_does_the_runtime(tmp_path: Path) -> None:
    runtime = str(Path(sys.executable).with_name("pyc-oci"))
    subprocess.run([runtime, "spec", "--bundle", tmp_path], check=True)
    spec = json.loads((tmp_path / "config.json").read_text())
    spec["process"] |= {"args": ["/bin/true"], "terminal": False, "rlimits": []}
    spec["root"] = {"path": "/", "readonly": True}
    (tmp_path / "config.json").write_text(json.dumps(spec))
    found = loaded(runtime, "--root", str(tmp_path / "state"), "run", "--bundle", str(tmp_path), "imports")
    assert "pycontainer.oci.runtime" in found
    assert found & MILLISECONDS == set()
