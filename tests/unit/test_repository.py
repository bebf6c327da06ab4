"""The promises of the repository itself: its targets, its documents, its recipes, its rules about its own code."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from images import build
from images.layout import Layout
from pycontainer import cli
from tests.support.host import needs_cgroup, needs_command, needs_controller
from tests.support.leaks import leaks, snapshot

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def read(path: str) -> str:
    with open(os.path.join(TOP, path)) as file:
        return file.read()


def package_sources() -> Iterator[str]:
    for folder, _, names in os.walk(os.path.join(TOP, "pycontainer")):
        yield from (os.path.relpath(os.path.join(folder, name), TOP) for name in names if name.endswith(".py"))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))


@needs_command("make")
def test_make_alone_lists_every_target_that_a_person_types():
    listed = subprocess.run(["make"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert phony
    assert set(re.findall(r"^  make ([a-z-]+) ", listed, re.MULTILINE)) == set(phony.group(1).split()) == make_targets()


@pytest.mark.parametrize("script", [".ci/run", ".ci/packages", "tests/vm/provision"])
def test_scripts_are_executable_and_parse(script):
    assert os.access(os.path.join(TOP, script), os.X_OK)
    subprocess.run(["sh", "-n", script], cwd=TOP, check=True)


def test_an_unknown_set_of_packages_is_refused_by_name():
    done = subprocess.run([".ci/packages", "nonsense"], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def documents() -> list[str]:
    return [*sorted(os.path.relpath(path, TOP) for path in glob.glob(f"{TOP}/*.md") + glob.glob(f"{TOP}/docs/*.md"))]


@pytest.mark.parametrize("document", documents())
def test_what_a_document_points_at_exists(document):
    text = read(document)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not os.path.exists(os.path.join(TOP, os.path.dirname(document), link))] == []
    assert set(re.findall(r"(?:`| {4})make ([a-z-]+)", text)) <= make_targets()


def test_the_readme_shows_the_page_and_the_steps_as_they_are():
    readme = read("README.md")
    excerpts = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert excerpts
    assert [excerpt for excerpt in excerpts if excerpt not in read("pycontainer/plan/container.py")] == []
    titles = re.findall(r"^ {4}[ \d]\d\. (.+?) {3}\[", readme, re.MULTILINE)
    sources = "".join(read(path) for path in package_sources())
    assert titles
    assert [title for title in titles if f'"{title}"' not in sources] == []


@needs_cgroup(1)  # as the host had on which it was recorded: other cgroups take another number of steps
@needs_controller("memory", "pids", "devices")
def test_the_readme_counts_the_steps_as_they_are(tmp_path, capsys):
    readme = read("README.md")
    shown = re.findall(r"^ {4}( \d|\d\d)\. (.+?) {3}\[", readme, re.MULTILINE)
    roots = ["--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run"]
    assert cli.call([*roots, "run", "--rm", "--dry-run", "--hostname", "demo", "alpine", "sh", "-c", "id"]) == 0
    steps = re.findall(r"^( \d|\d\d)\. (.+?) {3}\[", capsys.readouterr().out, re.MULTILINE)
    assert [step for step in shown if step not in steps] == []
    before = next(number for number, title in steps if title == "Know that the program runs")
    names = "none one two three four five six seven eight nine ten".split()
    assert f"so {names[len(shown)]} of the {before} are shown" in readme


def test_the_readme_knows_how_long_the_performer_is():
    lines = sum(read(f"pycontainer/core/{name}.c").count("\n") for name in ("performer", "monitor", "init"))
    assert lines < 1000
    assert "A static C program of less than a thousand lines" in read("README.md")


def test_every_recipe_is_described():
    described = re.findall(r"^    ([a-z]+) {2,}\S", build.__doc__ or "", re.MULTILINE)
    assert described == list(build.RECIPES)


@needs_command("busybox")
def test_the_same_recipe_makes_the_same_bytes(tmp_path):
    digests = []
    for attempt in ("first", "second"):
        layout = Layout(str(tmp_path / attempt), 1_700_000_000)
        build.users(layout)
        layout.close()
        digests.append(sorted(os.listdir(tmp_path / attempt / "blobs/sha256")))
    assert digests[0] == digests[1]


@needs_command("skopeo", "busybox")
@pytest.mark.parametrize("tag", ["latest", "plain", "zstd", "multi"])
def test_skopeo_reads_our_layouts(tag):
    source = f"oci:{build.layout('busybox')}:{tag}"
    done = subprocess.run(["skopeo", "inspect", "--raw", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_process_left_behind_is_found():
    before = snapshot()
    sleeper = subprocess.Popen(["pyc", "30"], executable=shutil.which("sleep"))
    try:
        found = leaks(before, grace=0)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert any(line.startswith(f"process {sleeper.pid} ") for line in found)


def test_nobody_runs_a_shell_or_an_unsafe_loader():
    forbidden = re.compile(r"shell=True|os\.system\(|\bimport pickle\b|\.extractall\(|yaml\.load\(")
    assert [path for path in package_sources() if forbidden.search(read(path))] == []
