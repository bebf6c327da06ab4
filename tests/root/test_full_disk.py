"""A disk without a free byte, or without a free inode: what removes things still works, and gives the space back."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.cli import Pyc, sh
from tests.support.host import needs_command, needs_filesystem

pytestmark = pytest.mark.root

SIZE = 24 << 20


@pytest.fixture(
    params=["tmpfs", "inodes", pytest.param("ext4", marks=[needs_filesystem("ext4"), needs_command("mkfs.ext4")])]
)
def small(request: pytest.FixtureRequest, tmp_path: Path, image: str) -> Iterator[Pyc]:
    """A store on a disk of its own, with an image of two names, an untagged one, and two containers."""
    place = tmp_path / "pyc"
    place.mkdir()
    if request.param == "ext4":
        with open(tmp_path / "disk", "wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(tmp_path / "disk")], check=True)
        subprocess.run(["mount", "-o", "loop", str(tmp_path / "disk"), str(place)], check=True)
    else:
        limit = f"size={SIZE}" if request.param == "tmpfs" else "nr_inodes=2000"
        subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "tmpfs", str(place)], check=True)
    try:
        pyc = replace(Pyc.beneath(str(tmp_path / "rest")), root=str(place / "root"))
        pyc("pull", "-q", image).ok()
        for number in (1, 2):
            pyc("run", "--name", f"job{number}", image, *sh(f"dd if=/dev/zero of=/big bs=100k count={number}")).ok()
        pyc("commit", "job1", "kept:1").ok()
        pyc("tag", image, "more:1").ok()
        fill(place, inodes=request.param == "inodes")
        yield pyc
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, *, inodes: bool) -> None:
    """Until nothing more can be written."""
    (place / "fill").mkdir()
    with contextlib.suppress(OSError):
        for number in range(1 << 20):
            with open(place / f"fill/{number}", "wb", buffering=0) as file:
                while not inodes:
                    file.write(bytes(1 << 12))
    with pytest.raises(OSError, match="No space left"), open(place / "fill/more", "wb", buffering=0) as file:
        file.write(bytes(1 << 12))


def free(pyc: Pyc) -> int:
    found = os.statvfs(pyc.root)
    return found.f_bavail * found.f_bsize


def test_who_finds_no_room_is_told_where_and_what_makes_some(small: Pyc, image: str) -> None:
    for command in (("run", image, "true"), ("create", image)):
        done = small(*command)
        assert done.code == (125 if command[0] == "run" else 1)
        assert f"can't make the container below {small.root}: No space left on device: " in done.stderr
        assert "'pyc system prune'" in done.stderr and done.stderr.count("\n") == 2


def test_containers_and_images_are_removed_one_by_one(small: Pyc, image: str) -> None:
    assert small("run", "--rm", image, "true").code != 0
    small("rm", "job2").ok()
    small("rmi", "more:1").ok()
    small("rmi", "kept:1").ok()
    small("rm", "job1").ok()
    small("rmi", image).ok()
    assert small("images", "-q").stdout == small("ps", "-aq").stdout == ""
    assert os.listdir(f"{small.root}/layers") == [] and os.listdir(f"{small.root}/containers") == []
    assert os.listdir(f"{small.root}/oci/blobs/sha256") == []


def test_everything_is_pruned(small: Pyc) -> None:
    before = free(small)
    result = small("system", "prune", "--all", "--force").ok()
    assert "Deleted Containers:" in result.stdout and "Deleted Images:" in result.stdout
    assert small("images", "-q").stdout == small("ps", "-aq").stdout == ""
    assert free(small) > before + (2 << 20)


def test_a_running_container_is_removed(small: Pyc, image: str) -> None:
    small("rm", "job1").ok()  # makes room to start one
    with small.start("run", "--name", "box", image, *sh("cat /dev/zero > /zero; sleep 60")) as process:
        while "box" not in small("ps", "--format", "{{.Names}}").stdout and process.poll() is None:
            pass
        small("rm", "-f", "box").ok()
        process.communicate(timeout=20)
    assert small("ps", "-a", "--format", "{{.Names}}").lines == ["job2"]


def test_a_commit_that_finds_no_room_leaves_nothing_behind(small: Pyc) -> None:
    images, room = small("images", "-q", "--no-trunc").stdout, free(small)
    result = small("commit", "job2", "new")
    assert result.code == 1 and ("o space left" in result.stderr or "disk can spare" in result.stderr)
    assert small("images", "-q", "--no-trunc").stdout == images
    small("system", "prune", "--force").ok()
    assert free(small) >= room
