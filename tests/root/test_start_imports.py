"""What whole commands load, whatever imports it and when: tests/unit/test_imports.py knows only the modules' tops."""

from __future__ import annotations

import json
import marshal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pycontainer.bytecode import compiled
from tests.support.cli import Pyc

pytestmark = pytest.mark.root

PLAIN = "run --rm --network none IMAGE true"
MILLISECONDS = {"typing", "re", "enum", "json", "signal", "contextlib", "functools", "collections", "types", "click"}


def loaded(*argv: str) -> set[str]:
    subprocess.run([sys.executable, *argv], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    # that one keeps the code it read (pycontainer.bytecode), this one finds it kept
    done = subprocess.run([sys.executable, "-X", "importtime", *argv], stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def kilobytes(modules: set[str]) -> int:
    """Their code, as a start reads it."""
    sources = [spec.origin for name in modules if (spec := find_spec(name))]
    return sum(len(marshal.dumps(compiled(path))) for path in sources if path and path.endswith(".py")) // 1000


# A kilobyte takes 10 microseconds of each start, to be decoded and run. What is seldom needed belongs into a module
# that is loaded when it is; who raises a limit says in the commit what for.
LIMITS = {"pyc": (116, 1000), "pyc-oci": (72, 640)}


def within_limits(command: str, modules: set[str]) -> bool:
    """Whether there is neither more of them nor more in them than a plain run may load."""
    ours, most = {name for name in modules if name.startswith("pycontainer.")}, LIMITS[command]
    print(f"{command}: {len(ours)} modules of {most[0]}, {kilobytes(ours)} kilobytes of {most[1]}: {sorted(ours)}")
    return len(ours) <= most[0] and kilobytes(ours) <= most[1]


@pytest.mark.parametrize(
    "words",
    [
        PLAIN,
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
    assert words != PLAIN or within_limits("pyc", found)


def test_so_does_the_runtime(tmp_path: Path) -> None:
    runtime = str(Path(sys.executable).with_name("pyc-oci"))
    subprocess.run([runtime, "spec", "--bundle", tmp_path], check=True)
    spec = json.loads((tmp_path / "config.json").read_text())
    spec["process"] |= {"args": ["/bin/true"], "terminal": False, "rlimits": []}
    spec["root"] = {"path": "/", "readonly": True}
    (tmp_path / "config.json").write_text(json.dumps(spec))
    found = loaded(runtime, "--root", str(tmp_path / "state"), "run", "--bundle", str(tmp_path), "imports")
    assert "pycontainer.oci.create" in found
    assert found & MILLISECONDS == set()
    assert within_limits("pyc-oci", found)
