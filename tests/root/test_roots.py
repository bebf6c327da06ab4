"""The two directories of the state: a command that is given another of one must not take containers for remains."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support.cli import Pyc, Result
from tests.support.states import look, until

pytestmark = pytest.mark.root


def by(pyc: Pyc, root: str, runroot: str, *words: str) -> Result:
    """A command on other state."""
    argv = [pyc.argv()[0], "--root", root, "--runroot", runroot, *words]
    done = subprocess.run(argv, env=pyc.env(), cwd=pyc.scratch, capture_output=True, text=True, timeout=60)
    return Result(tuple(words), done.returncode, done.stdout, done.stderr)


@pytest.fixture
def box(stocked: Pyc, image: str) -> Pyc:
    """The command, with a container ``box`` that runs and goes with its end."""
    stocked("run", "-d", "--rm", "--name", "box", image, "sleep", "1000").ok()
    return stocked


def test_roots_may_share_a_runroot(box: Pyc, tmp_path: object) -> None:
    other = f"{tmp_path}/other"
    for words in (("ps", "-a"), ("system", "prune", "-f")):
        assert "box" not in by(box, other, box.runroot, *words).ok().stdout
        os.makedirs(other, exist_ok=True)
    refused = by(box, other, box.runroot, "rm", "-f", "box")
    assert "no such container" in refused.stderr
    assert look(box, "box").state == "running"


def test_a_root_that_is_not_mounted_is_no_reason_to_end_its_containers(box: Pyc) -> None:
    """What is in its place has the same path; it is another directory."""
    os.rename(box.root, box.root + ".away")
    try:
        os.mkdir(box.root)
        assert "box" not in box("ps", "-a").ok().stdout
    finally:
        shutil.rmtree(box.root)
        os.rename(box.root + ".away", box.root)
    assert look(box, "box").state == "running"


@pytest.mark.parametrize(
    "words",
    ["ps -a", "rm -f box", "start box", "stop box", "exec box true", "run --rm IMAGE true", "system prune -f"],
)
def test_a_root_has_one_runroot(box: Pyc, image: str, tmp_path: object, words: str) -> None:
    arguments = [image if word == "IMAGE" else word for word in words.split()]
    refused = by(box, box.root, f"{tmp_path}/run", *arguments)
    assert refused.code != 0
    assert f"containers of {box.root} run, and {box.runroot} keeps track of them" in refused.stderr
    assert f"--runroot {box.runroot}" in refused.stderr
    assert look(box, "box").state == "running"


def test_a_runroot_whose_containers_have_ended_can_be_left(box: Pyc, tmp_path: object) -> None:
    box("rm", "-f", "box").ok()
    by(box, box.root, f"{tmp_path}/run", "ps").ok()
    assert os.readlink(box.root + "/runroot") == f"{tmp_path}/run"
    box("ps").ok()
    assert os.readlink(box.root + "/runroot") == box.runroot


@pytest.mark.parametrize("flag", ["--root", "--runroot"])
def test_an_empty_root_is_a_mistake(pyc: Pyc, flag: str) -> None:
    done = subprocess.run([pyc.argv()[0], flag, "", "ps"], env=pyc.env(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 125
    assert f'invalid argument "" for "{flag}" flag: must not be empty' in done.stderr


def test_relative_roots_are_those_of_the_first_command(stocked: Pyc, image: str, tmp_path: object) -> None:
    """What a monitor starts has another working directory."""
    root, runroot = (os.path.relpath(path, stocked.scratch) for path in (stocked.root, stocked.runroot))
    by(stocked, root, runroot, "run", "-d", "--rm", "--name", "box", image, "true").ok()
    until(lambda: "box" not in stocked("ps", "-a").ok().stdout)
