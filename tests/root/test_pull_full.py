"""A pull onto a disk that runs out of bytes or inodes: one line says of which, and nothing is left half made."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pycontainer.engine.image.pull import pull
from pycontainer.errors import StoreError
from pycontainer.image import unsynced
from pycontainer.image.reference import Reference
from pycontainer.image.removal import remove
from pycontainer.image.store import Store
from tests.support.cli import Pyc
from tests.support.fake_registry import FakeRegistry
from tests.support.host import needs_command, needs_filesystem
from tests.support.states import until
from tests.support.tars import directory, member, tar

pytestmark = [pytest.mark.root, needs_filesystem("ext4"), needs_command("mkfs.ext4")]

FILES = 60
MANY = tar(directory(b"d"), *(member(b"d/%d" % n, random.Random(n).randbytes(30_000)) for n in range(FILES)))
ONE = tar(member(b"top", b"x"))
SAID = {"inodes": "of its .* inodes are free", "bytes": "MiB are free|the disk can spare"}
LEVELS = {"inodes": (*range(12), 15, 20, 30, 50, 70, 80), "bytes": (0, 1, 2, 5, 10, 50, 200, 400, 500, 700)}


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.add_image("app:1", [MANY, ONE])
        yield registry


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of 16 MiB with some 400 inodes."""
    with open(tmp_path / "disk", "wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "400", str(tmp_path / "disk")], check=True)
    (tmp_path / "place").mkdir()
    subprocess.run(["mount", "-o", "loop", str(tmp_path / "disk"), str(tmp_path / "place")], check=True)
    yield tmp_path / "place"
    until(lambda: subprocess.run(["umount", str(tmp_path / "place")], check=False).returncode == 0, "nobody uses it")


def leave(place: Path, resource: str, amount: int) -> None:
    """Fill the disk but for so many inodes, or blocks of 4 KiB."""
    filling = place / "fill"
    filling.mkdir()
    if resource == "inodes":
        for number in range(os.statvfs(place).f_favail - amount):
            (filling / str(number)).touch()
    else:
        fd = os.open(filling / "bytes", os.O_WRONLY | os.O_CREAT, 0o600)
        with suppress(OSError):
            disk = os.statvfs(place)
            os.posix_fallocate(fd, 0, (disk.f_bavail * disk.f_frsize & ~4095) - amount * 4096)
        os.close(fd)


def empty(place: Path) -> None:
    subprocess.run(["rm", "-r", str(place / "fill")], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("resource", ["inodes", "bytes"])
def test_a_disk_that_runs_out_anywhere_in_a_pull_is_one_line_and_nothing_stays(
    place: Path, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    monkeypatch.setattr(unsynced, "settle_later", lambda store: None)  # a process that outlives the test
    store, reference, failed = Store(f"{place}/root"), Reference.parse(f"{fake.host}/app:1"), 0
    for level in LEVELS[resource]:
        leave(place, resource, level)
        try:
            pull(store, reference)
        except StoreError as error:
            failed += 1
            assert "\n" not in error.message
            assert re.search(SAID[resource], error.message), error.message
            assert store.images() == []
            for directory_ in ("tmp", "layers", "oci/blobs/sha256"):
                assert not (place / "root" / directory_).exists() or os.listdir(place / "root" / directory_) == []
        empty(place)
        pull(store, reference)  # once there is room
        (layer,) = (layer for layer in store.find(str(reference)).layers if layer.facts.entries > 1)
        assert len(os.listdir(f"{layer.path_of_fs}/d")) == FILES
        remove(store, str(reference))
        subprocess.run(["rm", "-rf", store.root], check=True)
    assert failed >= len(LEVELS[resource]) - 3


@pytest.mark.parametrize("resource", ["inodes", "bytes"])
def test_a_load_an_import_and_a_run_that_find_no_room_give_back_what_they_took(
    place: Path, pyc: Pyc, fake: FakeRegistry, resource: str
) -> None:
    other = Pyc.beneath(f"{pyc.scratch}/other")
    other("pull", "-q", f"{fake.host}/app:1").ok()
    other("save", "-o", f"{pyc.scratch}/app.tar", f"{fake.host}/app:1").ok()
    Path(f"{pyc.scratch}/root.tar").write_bytes(MANY)
    small = Pyc(str(place / "root"), pyc.runroot, pyc.scratch)
    leave(place, resource, {"inodes": 40, "bytes": 400}[resource])
    for words in (
        ("load", "-i", f"{pyc.scratch}/app.tar"),
        ("import", f"{pyc.scratch}/root.tar"),
        ("run", "--rm", f"{fake.host}/app:1"),
    ):
        failed = small(*words)
        assert failed.code in (1, 125) and re.search(SAID[resource], failed.stderr), failed
        for left in ("tmp", "layers", "oci/blobs/sha256"):
            assert os.listdir(place / "root" / left) == [], (words, left)
    empty(place)


@pytest.mark.parametrize("resource", ["inodes", "bytes"])
def test_the_command_says_what_is_out_and_what_to_do(place: Path, pyc: Pyc, fake: FakeRegistry, resource: str) -> None:
    pyc = Pyc(str(place / "root"), pyc.runroot, pyc.scratch)
    leave(place, resource, 40)
    result = pyc("pull", f"{fake.host}/app:1")
    assert result.code == 1
    assert {"inodes": "inodes are free", "bytes": "MiB"}[resource] in result.stderr
    assert "hint" in result.stderr or "can spare" in result.stderr
    assert "Traceback" not in result.stderr and "bug" not in result.stderr
    empty(place)
    pyc("pull", f"{fake.host}/app:1").ok()
