from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pycontainer

SHOW = """
import sys
from pycontainer import modules
modules.use()
from pycontainer.cli import human
from pycontainer.core import _core
import pycontainer.engine.life as life
how = type(human.__spec__.loader).__name__
print(how, human.__file__ == human.__spec__.origin, life.__name__, life.__package__, getattr(human, "MARK", ""))
modules.keep()
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, with no file yet."""
    here = tmp_path / "pycontainer"
    shutil.copytree(os.path.dirname(pycontainer.__file__), here, ignore=shutil.ignore_patterns("modules.c*"))
    return here


def shown(package: Path, code: str = SHOW, **env: str) -> list[str]:
    environment = {"PYTHONPATH": str(package.parent), "PATH": os.environ["PATH"], **env}
    argv = [sys.executable, "-P", "-c", code]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout.split()


def kept(package: Path) -> list[Path]:
    return list(package.glob("modules.c*"))


USUAL = ["SourceFileLoader", "True", "pycontainer.engine.life", "pycontainer.engine"]
KEPT = ["Modules", *USUAL[1:]]


def test_the_second_command_takes_what_the_first_has_kept(package):
    assert shown(package) == USUAL
    (file,) = kept(package)
    before = file.stat()
    assert shown(package) == KEPT
    assert file.stat().st_ino == before.st_ino  # there was nothing to add


def test_a_command_that_needs_others_adds_them(package):
    shown(package)
    before = kept(package)[0].stat().st_size
    more = SHOW.replace("engine.life", "engine.keys")
    assert shown(package, more)[0] == "Modules"
    assert kept(package)[0].stat().st_size > before
    assert shown(package) == KEPT


def test_a_changed_source_counts_at_once(package):
    shown(package)
    with open(package / "cli/human.py", "a") as file:
        file.write("\nMARK = 'changed'\n")
    assert shown(package) == [*USUAL, "changed"]
    assert shown(package) == [*KEPT, "changed"]
    (package / "cli/human.py").unlink()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        shown(package)
    assert "ImportError: cannot import name 'human'" in failed.value.stderr


EVERY = """
import os, sys
from pycontainer import modules
modules.use()
here = os.path.dirname(modules.__file__)
paths = [os.path.relpath(f"{at}/{name}", here) for at, _, names in os.walk(here) for name in names]
names = sorted(path[:-3].replace("/", ".").removesuffix(".__init__") for path in paths if path.endswith(".py"))
names = ["pycontainer." + name for name in names if "build" not in name and name != "__init__"]
for name in sys.argv[1:] or names:
    __import__(name)
print(sum(module.__spec__ is None for name, module in sys.modules.items() if name in names))
modules.keep()
"""


def test_what_a_module_imports_is_brought_before_it_runs(package):
    assert shown(package, EVERY) == ["0"]
    assert int(shown(package, EVERY)[0]) > 100
    for name in ("pycontainer.cgroups.group", "pycontainer.plan.mounts", "pycontainer.cli.run_flags"):
        alone = EVERY.replace("sys.argv[1:]", repr([name]))  # whichever is the first of a circle
        assert int(shown(package, alone)[0]) > 5


def test_names_are_what_import_statements_would_make_of_them(package):
    (package / "inner").mkdir()
    (package / "inner/__init__.py").write_text("from os import path as where\nfrom pycontainer.inner import leaf\n")
    (package / "inner/leaf.py").write_text("import os\nfrom pycontainer import inner, __version__ as of\n")
    (package / "inner/lost.py").write_text("from pycontainer.inner.leaf import nothing\n")
    code = """
from pycontainer import modules
modules.use()
from pycontainer.inner import leaf, where
print(leaf.inner.leaf is leaf, leaf.of, where.__name__, sorted(vars(leaf)).index("__builtins__"))
try:
    import pycontainer.inner.lost
except ImportError as error:
    print(str(error).split(" (")[0].replace(" ", "_"))
modules.keep()
"""
    usual = shown(package, code)
    assert usual == [
        "True",
        pycontainer.__version__,
        "posixpath",
        "0",
        "cannot_import_name_'nothing'_from_'pycontainer.inner.leaf'",
    ]
    assert shown(package, code) == usual
    assert shown(package, "import pycontainer.containers\n" + code) == usual


def test_a_thread_finds_no_module_that_is_half_loaded(package):
    shown(package, EVERY)
    code = f"import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n{EVERY}"
    assert int(shown(package, code)[0]) == 0


def test_what_only_a_type_checker_reads_is_left_out(package):
    code = """
from pycontainer import modules
modules.use()
from pycontainer.core import kernel
from pycontainer.oci.options import ContainerOptions
from pycontainer.engine.recall import recalled
print(kernel.openat2.__annotations__, len(ContainerOptions.__annotations__) > 50, bool(kernel.openat2.__doc__))
modules.keep()
"""
    code += "assert recalled({}).memory == 0"  # by the annotations of a class
    assert shown(package, code)[-2:] == ["True", "True"]
    assert shown(package, code) == ["{}", "True", "True"]


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, b"x" * 5000, None])
def test_a_damaged_file_is_ignored_and_written_anew(package, damage):
    shown(package)
    (file,) = kept(package)
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    assert shown(package) == USUAL
    assert shown(package) == KEPT


def test_nothing_is_written_where_python_is_to_write_nothing(package):
    assert shown(package, PYTHONDONTWRITEBYTECODE="1") == USUAL
    assert kept(package) == []


def test_where_no_file_can_be_made_all_is_as_ever(package):
    (package / f"modules.{sys.implementation.cache_tag}").mkdir()
    assert shown(package) == USUAL
    assert [path.name for path in kept(package)] == [f"modules.{sys.implementation.cache_tag}"]


def test_other_code_than_usual_is_neither_taken_nor_kept(package):
    shown(package)
    code = SHOW.replace("modules.keep()", "assert False; modules.keep()")
    assert shown(package, code, PYTHONOPTIMIZE="1") == USUAL


@pytest.mark.parametrize("command", ["pycontainer", "pycontainer.oci"])
def test_the_commands_keep_what_they_import(package, command):
    env = {"PYTHONPATH": str(package.parent), "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-P", "-m", command, "--version"]
    assert b"version" in subprocess.run(argv, env=env, capture_output=True, check=True).stdout
    assert len(kept(package)) == 1


def test_who_imports_the_package_imports_as_ever():
    code = "import sys, pycontainer.containers; print(*[type(finder).__name__ for finder in sys.meta_path])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert "Modules" not in done.stdout
