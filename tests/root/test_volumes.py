"""Volumes as a user of docker knows them, on the real kernel."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.cli import Pyc, sh

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _no_volume_stays(stocked: Pyc):
    yield
    if os.path.isdir(stocked.root + "/containers") and (left := os.listdir(stocked.root + "/containers")):
        stocked("rm", "-f", *left)
    stocked("volume", "prune", "-a", "-f").ok()
    assert os.listdir(stocked.root + "/volumes") == []


def names(stocked: Pyc, *filters: str) -> list[str]:
    words = [word for text in filters for word in ("--filter", text)]
    return stocked("volume", "ls", "-q", *words).ok().lines


def test_a_named_volume_outlives_its_containers(stocked: Pyc, image: str) -> None:
    stocked("run", "--rm", "-v", "data:/d", image, *sh("echo kept > /d/file")).ok()
    assert stocked("run", "--rm", "-v", "data:/e:ro", image, "cat", "/e/file").ok().stdout == "kept\n"
    assert names(stocked) == ["data"]


def test_a_read_only_volume_can_not_be_written(stocked: Pyc, image: str) -> None:
    for option in ("-v=data:/d:ro", "--mount=type=volume,source=data,target=/d,readonly"):
        result = stocked("run", "--rm", option, image, *sh("echo x > /d/file"))
        assert result.code != 0
        assert "ead-only" in result.stderr


def test_a_volume_without_a_name_goes_with_a_container_that_is_removed_at_its_end(stocked: Pyc, image: str) -> None:
    seen = stocked("run", "--rm", "-v", "/d", image, *sh("grep -c ' /d ' /proc/self/mountinfo")).ok()
    assert seen.stdout == "1\n"
    assert names(stocked) == []


def test_a_volume_without_a_name_stays_unless_rm_is_told(stocked: Pyc, image: str) -> None:
    for name, option, left in (("one", "-v", 0), ("two", "-f", 1)):
        stocked("run", "--name", name, "--mount", "target=/d", image, "true").ok()
        assert len(names(stocked)) == 1
        stocked("rm", option, name).ok()
        assert len(names(stocked)) == left


def test_a_volume_in_use_is_not_removed_and_its_users_are_named(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "user", "-v", "data:/d", image, "true").ok()
    refused = stocked("volume", "rm", "data")
    assert refused.code == 1
    assert "user (" in refused.stderr
    assert "pyc rm user" in refused.stderr
    assert names(stocked, "dangling=true") == []
    stocked("rm", "user").ok()
    assert names(stocked, "dangling=true") == ["data"]
    assert stocked("volume", "rm", "data").ok().stdout == "data\n"


def test_create_makes_what_inspect_and_ls_show(stocked: Pyc) -> None:
    assert stocked("volume", "create", "--label", "a=1", "--label", "b=", "data").ok().stdout == "data\n"
    (found,) = json.loads(stocked("volume", "inspect", "data").ok().stdout)
    assert found["Labels"] == {"a": "1", "b": ""}
    assert found["Mountpoint"] == f"{stocked.root}/volumes/data/_data"
    assert os.stat(found["Mountpoint"]).st_mode & 0o7777 == 0o755
    assert os.stat(f"{stocked.root}/volumes/data").st_mode & 0o7777 == 0o700
    assert {key: found[key] for key in ("Driver", "Name", "Options", "Scope")} == {
        "Driver": "local",
        "Name": "data",
        "Options": None,
        "Scope": "local",
    }
    assert stocked("volume", "ls").ok().lines == ["DRIVER    VOLUME NAME", "local     data"]
    form = '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Label "a"}} {{.Links}}'
    assert stocked("volume", "ls", "--format", form).ok().stdout == "data local local a=1,b= 1 0\n"
    assert stocked("volume", "inspect", "-f", "{{.Name}}", "data").ok().stdout == "data\n"
    for filter, shown in (
        ("label=a", 1), ("label=a=2", 0), ("name=at", 1), ("name=x", 0), ("driver=local", 1), ("driver=x", 0)
    ):  # fmt: skip
        assert len(names(stocked, filter)) == shown, filter
    assert stocked("volume", "inspect", "nothing").code == 1
    assert stocked("volume", "rm", "nothing").code == 1
    stocked("volume", "rm", "-f", "nothing").ok()


def test_prune_takes_what_has_no_name_and_with_all_the_rest(stocked: Pyc) -> None:
    anonymous = stocked("volume", "create").ok().stdout.strip()
    stocked("volume", "create", "--label", "keep", "kept").ok()
    stocked("volume", "create", "other").ok()
    first = stocked("volume", "prune", "-f").ok().lines
    assert first == ["Deleted Volumes:", anonymous, "", "Total reclaimed space: 0B"]
    stocked("volume", "prune", "-a", "-f", "--filter", "label!=keep").ok()
    assert names(stocked) == ["kept"]
    assert stocked("volume", "prune", "-a", stdin="n\n").code == 1
    assert names(stocked) == ["kept"]
