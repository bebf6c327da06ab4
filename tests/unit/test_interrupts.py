"""An interrupt at any moment ends a command without a traceback, and never leaves it waiting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pycontainer

HERE = Path(pycontainer.__file__).parent

AT_A_LINE = """
import os, signal, sys
script, at, *args = sys.argv[1:]
lines = 0
def trace(frame, event, arg):
    global lines
    if "/pycontainer/" not in frame.f_code.co_filename:
        return None
    lines += event == "line"
    if event == "line" and lines == int(at):
        signal.raise_signal(signal.SIGINT)
    return trace
def leave(status, leave=os._exit):
    sys.settrace(None)
    print(lines)
    sys.stdout.flush()
    leave(status)
os._exit = leave
sys.argv = [script, *args]
code = compile(open(script).read(), script, "exec")
sys.settrace(trace)
exec(code, {"__name__": "__main__"})
"""


def interrupted(script: Path, at: int, args: list[str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", AT_A_LINE, str(script), str(at), *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize(
    ("script", "command"),
    [("cli/pyc", "ps"), ("cli/pyc", "nonsense"), ("oci/pyc-oci", "list"), ("oci/pyc-oci", "nonsense")],
)
def test_an_interrupt_at_any_line_ends_it_without_a_traceback(script, command, tmp_path):
    args = ["--root", str(tmp_path), command]
    interrupted(HERE / script, 0, args)  # the first after a change keeps the code, for which it runs more lines
    interrupted(HERE / script, 0, args)  # keeps the code that it had to read: more lines than the next will have
    whole = interrupted(HERE / script, 0, args)
    lines = int(whole.stdout.splitlines()[-1])
    assert lines > 500
    codes = set()
    for at in [*range(3, lines, lines // 25), *range(lines - 5, lines + 1)]:
        done = interrupted(HERE / script, at, args)
        assert "Traceback" not in done.stderr, (at, done.stderr)
        codes.add(done.returncode)
    assert {-2, 130} <= codes <= {-2, 130, whole.returncode}  # the last after the work was done


AMID_AN_IMPORT = """
import signal, sys, time
from pycontainer.cli import interrupt
signal.signal(signal.SIGINT, interrupt)
try:
    import interrupts_itself
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted", sys.modules["interrupts_itself"].whole)
"""


def test_an_interrupt_amid_an_import_waits_for_its_end(tmp_path):
    module = "import signal, time\nsignal.raise_signal(signal.SIGINT)\ntime.sleep(0.01)\nwhole = True\n"
    (tmp_path / "interrupts_itself.py").write_text(module)
    argv = [sys.executable, "-c", AMID_AN_IMPORT]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == ("interrupted True\n", "")


WHILE_FINALIZING = """
import signal, sys, time, weakref
from pycontainer.cli import interrupt
signal.signal(signal.SIGINT, interrupt)
class Thing:
    def __del__(self):
        if "del" in sys.argv:
            signal.raise_signal(signal.SIGINT)
            print("deleted")
def finalized():
    signal.raise_signal(signal.SIGINT)
    print("finalized")
try:
    thing = Thing()
    if "finalize" in sys.argv:
        weakref.finalize(thing, finalized)
    del thing
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(("way", "done"), [("del", "deleted"), ("finalize", "finalized")])
def test_an_interrupt_while_something_is_finalized_is_not_lost(way, done):
    argv = [sys.executable, "-c", WHILE_FINALIZING, way]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    assert (said.stdout, said.stderr) == (f"{done}\ninterrupted\n", "")
