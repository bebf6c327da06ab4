"""The commands that look and clear away, on real images and containers."""

from __future__ import annotations

import json
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pyc, sh

pytestmark = pytest.mark.root


@pytest.fixture
def two(stocked: Pyc, image: str) -> Iterator[tuple[Pyc, str]]:
    """One container that runs, ``web``, and one that has exited with 3, ``job``."""
    flags = ("-l", "role=front", "-v", "/tmp:/data:ro", "-m", "64m")
    web = stocked.start("run", "--name", "web", *flags, image, "sleep", "60")
    assert stocked("run", "--name", "job", image, *sh("echo 12345 > /file; exit 3")).code == 3
    while "running" not in stocked("ps", "--format", "{{.State}}").stdout:
        time.sleep(0.01)
    yield stocked, image
    stocked("rm", "-f", "web", "job")
    web.communicate(timeout=20)


def test_containers_are_listed_found_and_removed(two: tuple[Pyc, str]) -> None:
    pyc, image = two
    assert pyc("ps", "--format", "{{.Names}}").lines == ["web"]
    assert sorted(pyc("ps", "-a", "--format", "{{.Names}} {{.State}}").lines) == ["job exited", "web running"]
    assert pyc("ps", "-f", "label=role=front", "-q").lines == [pyc("inspect", "-f", "{{.Id}}", "web").stdout[:12]]
    assert pyc("ps", "-f", "exited=3", "--format", "{{.Names}}").lines == ["job"]
    shown = pyc("ps", "-a", "-s", "-f", "name=job", "--format", "{{.Size}} {{.Status}}").stdout
    assert re.match(r"6B \(virtual \S+\) Exited \(3\) ", shown), shown
    assert pyc("ps", "--filter", f"ancestor={image}", "--format", "{{.Names}}").lines == ["web"]
    header, line = pyc("ps").lines
    assert header.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert '"sleep 60"' in line and line.index("Up ") == header.index("STATUS")


def test_a_running_container_is_removed_only_by_force(two: tuple[Pyc, str]) -> None:
    pyc, _ = two
    refused = pyc("rm", "web", "job")
    assert (refused.code, refused.stdout) == (1, "job\n")
    assert "web is running" in refused.stderr
    assert pyc("rm", "-f", "web").stdout == "web\n"
    assert pyc("ps", "-aq").stdout == ""


def test_a_container_is_described_as_docker_describes_it(two: tuple[Pyc, str]) -> None:
    pyc, image = two
    web, job = json.loads(pyc("inspect", "web", "job").ok().stdout)
    assert (web["Name"], web["Path"], web["Args"], web["Config"]["Image"]) == ("/web", "sleep", ["60"], image)
    assert web["State"]["Running"] and web["State"]["Pid"] > 1
    assert web["HostConfig"]["Memory"] == 64 << 20
    (mount,) = web["Mounts"]
    assert (mount["Source"], mount["Destination"], mount["RW"]) == ("/tmp", "/data", False)
    assert (job["State"]["Status"], job["State"]["ExitCode"]) == ("exited", 3)
    assert web["Image"] == json.loads(pyc("image", "inspect", image).stdout)[0]["Id"]


def test_an_image_in_use_stays(pyc: Pyc, image: str) -> None:
    pyc("run", "--name", "job", image, "true").ok()
    refused = pyc("rmi", image)
    assert refused.code == 1 and "job" in refused.stderr
    assert pyc("rmi", "-f", image).code == 0
    pyc("rm", "job").ok()


def test_images_are_named_listed_and_removed(pyc: Pyc, image: str) -> None:
    full = f"{image}:latest"
    assert pyc("pull", image).ok().lines[-2:] == [f"Status: Downloaded newer image for {full}", full]
    assert pyc("pull", "-q", image).stdout == f"{full}\n"
    pyc("tag", image, "me/app:1").ok()
    names = pyc("images", "--format", "{{.Repository}}:{{.Tag}}").lines
    assert sorted(names) == sorted([full, "me/app:1"])
    (document,) = json.loads(pyc("inspect", "me/app:1").ok().stdout)
    assert sorted(document["RepoTags"]) == sorted(names)
    assert pyc("images", "--no-trunc", "-q").lines == [document["Id"]]
    assert pyc("rmi", "me/app:1").lines == ["Untagged: me/app:1"]
    assert pyc("rmi", image).lines[:2] == [f"Untagged: {full}", f"Deleted: {document['Id']}"]
    assert pyc("images", "-q").stdout == ""


def test_the_sizes_and_columns_are_dockers(stocked: Pyc) -> None:
    header, line = stocked("images").lines[:2]
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert line.endswith("MB") and " ago " in line


def test_a_pull_shows_bars_on_a_terminal(pyc: Pyc, image: str) -> None:
    with pyc.terminal("pull", image) as terminal:
        terminal.expect("━.*done")
        terminal.expect("Status: Downloaded newer image")
        assert terminal.process.wait(timeout=20) == 0


def test_a_list_whose_reader_leaves_is_quiet(stocked: Pyc) -> None:
    with stocked.start("images") as it:
        assert it.stdout and it.stderr
        it.stdout.close()
        assert it.stderr.read() == b""


def test_all_images_are_removed_but_those_in_use(pyc: Pyc, image: str) -> None:
    pyc("pull", "-q", image, f"{image}:zstd").ok()
    pyc("tag", image, "one:1", "two:2").ok()
    assert pyc("image", "exists", "two:2").code == 0
    assert [pyc("image", "exists", "three").code, pyc("image", "exists", "No Name").code] == [1, 1]
    pyc("create", "--name", "user", f"{image}:zstd").ok()
    assert pyc("rmi", "--ignore", "three", "two:2").ok().lines == ["Untagged: two:2"]
    assert pyc("rmi", "three").code == 1
    assert "name images, or say --all" in pyc("rmi").stderr
    left = pyc("rmi", "--all")
    assert (left.code, "is used by container user" in left.stderr) == (1, True)
    assert len(pyc("images", "-q").ok().lines) == 1  # all were names of one image, whose last one stays


def test_what_an_image_says_of_itself_moves_no_cursor(pyc: Pyc, tmp_path: Path) -> None:
    evil = "\x1b]0;pwned\x07\x9b31m"
    with tarfile.open(tmp_path / "root.tar", "w"):
        pass
    made = pyc("import", "-m", evil, "-c", f'LABEL x="{evil}"', str(tmp_path / "root.tar"), "evil").ok().stdout.strip()
    pyc("create", "evil", "true").ok()
    for words in (
        ("events", "--since=1h", "--until=0s"),
        ("events", "--since=1h", "--until=0s", "--format={{.Actor.Attributes}}"),
        ("history", "evil"),
        ("history", "--no-trunc", "--format={{.Comment}}", "evil"),
        ("inspect", "evil"),
        ("inspect", "-f", "{{json .}}", "evil"),
        ("inspect", "-f", "{{.Config.Labels.x}}", "evil"),
    ):
        with pyc.terminal(*words) as terminal:
            terminal.wait()
            assert "pwned" in terminal.screen, words
            assert b"\x1b]" not in terminal.transcript and "\x9b".encode() not in terminal.transcript, words
    assert evil in pyc("inspect", "-f", "{{.Config.Labels.x}}", made).ok().stdout  # a program gets it as it is
