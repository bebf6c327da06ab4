from __future__ import annotations

import subprocess
import sys

import pytest

# Each costs milliseconds that a start does not have: the one function that needs it imports it.
HEAVY = """
requests urllib3 http http.client pyroute2 rich asyncio tarfile subprocess logging pathlib hashlib prctl zstandard isal
shutil tempfile csv argparse traceback difflib email ssl multiprocessing threading.local concurrent
xml unittest sqlite3 urllib.request ipaddress decimal fractions random statistics textwrap.fill pycontainer.oci.spec
"""

ON_THE_WAY = {
    "run": "import pycontainer.cli.run, pycontainer.engine.run",
    "exec": "import pycontainer.cli.exec, pycontainer.engine.exec",
    "ps": "import pycontainer.cli.ps",
    "run in a network": "import pycontainer.engine.run, pycontainer.engine.network.endpoints, pycontainer.plan.network",
    "what follows a container's end": "import pycontainer.cli.monitor, pycontainer.engine.ended",
    "pyc-oci run": "import pycontainer.oci.front, pycontainer.oci.foreground",
    "a parsed command line": "from pycontainer.cli.run_flags import run_options; run_options(['-it', 'x'])",
}


def modules_after(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("what", ON_THE_WAY)
def test_nothing_heavy_is_imported_for(what):
    heavy = set(HEAVY.split()) - modules_after("import click")
    assert modules_after(ON_THE_WAY[what]) & heavy == set()


@pytest.mark.parametrize("module", ["requests", "pyroute2", "rich", "asyncio", "subprocess", "tarfile", "hashlib"])
def test_the_worst_are_absent_whoever_imports_them(module):
    assert module not in modules_after(ON_THE_WAY["run"])


MILLISECONDS = ("typing", "re", "enum", "json", "signal", "contextlib", "functools", "collections", "types")


@pytest.mark.parametrize("what", ON_THE_WAY)
def test_a_start_does_without_what_takes_milliseconds(what):
    assert modules_after(ON_THE_WAY[what]) & set(MILLISECONDS) == set()


@pytest.mark.parametrize(
    "flags", ["", "--network none", "--network mine --name one --hostname two -m 64m --pids-limit 9"]
)
def test_a_command_line_is_read_without_what_takes_milliseconds(flags):
    words = f"run --rm -e A=b -v /a:/b {flags} image true".split()
    code = f"from pycontainer.cli.run_flags import run_options; run_options({words[1:]})"
    assert modules_after(code) & {*MILLISECONDS, "click"} == set()


def test_help_imports_no_command():
    code = "from pycontainer.cli import call; call(['--help'])"
    ours = {name for name in modules_after(code) if name.startswith("pycontainer.cli.")}
    assert ours == {"pycontainer.cli.commands", "pycontainer.cli.flags", "pycontainer.cli.front"}


def test_run_does_without_click():
    code = "from pycontainer.cli import call; call(['run', '--memory', 'x', 'image']); import pycontainer.engine.run"
    assert "click" not in modules_after(code)


def test_run_imports_no_other_command():
    ours = modules_after("import pycontainer.cli.run")
    commands = {f"pycontainer.cli.{name}" for name in ("ps", "rm", "images", "pull", "inspect", "info", "template")}
    assert not ours & commands


def test_the_package_itself_imports_nothing():
    assert {name for name in modules_after("import pycontainer") if name.startswith("pycontainer")} == {"pycontainer"}
