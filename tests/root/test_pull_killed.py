"""A pull that is killed or interrupted at any moment: the image is absent or whole, and nothing finished is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pycontainer.image.model import Image
from pycontainer.image.store import Store
from tests.support.cli import Pyc
from tests.support.fake_registry import FakeRegistry, digest_of
from tests.support.interrupts import loading
from tests.support.tars import directory, member, symlink, tar

pytestmark = pytest.mark.root

CONTENT = random.Random(1).randbytes(700_000)
BASE = tar(directory(b"bin", mode=0o755), member(b"bin/sh", CONTENT, mode=0o755), symlink(b"l", b"bin"))
TOP = tar(member(b"bin/.wh.sh"), member(b"bin/new", CONTENT[::-1]), member(b"f", b"x", uid=3))
POINTS = int(os.environ.get("PYC_TEST_POINTS", "20"))
INTERRUPTS = int(os.environ.get("PYC_TEST_INTERRUPTS", "40"))


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.add_image("app:1", [BASE, TOP])
        yield registry


class Killer:
    """Starts pulls that die."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", "tests.support.killed_pull"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def pull(self, root: str, name: str, number: int = 1 << 30) -> tuple[str, int]:
        """Have a pull die in place of a change: the signal, and how many changes it came to."""
        assert self.process.stdin and self.process.stdout
        print(root, name, number, file=self.process.stdin, flush=True)
        died, changes = self.process.stdout.readline().split()
        return died, int(changes)


@pytest.fixture
def killer() -> Iterator[Killer]:
    killer = Killer()
    yield killer
    killer.process.communicate(timeout=10)


def check_whole(image: Image) -> None:
    """Every file of the image is there, to the last byte."""
    base, top = (layer.path_of_fs for layer in image.layers)
    assert sorted(os.listdir(base)) == ["bin", "l"] and sorted(os.listdir(top)) == ["bin", "f"]
    for path, content in ((f"{base}/bin/sh", CONTENT), (f"{top}/bin/new", CONTENT[::-1]), (f"{top}/f", b"x")):
        with open(path, "rb") as file:
            assert file.read() == content
    assert os.stat(f"{base}/bin/sh").st_mode & 0o777 == 0o755
    assert os.stat(f"{top}/f").st_uid == 3
    assert os.stat(f"{top}/bin/sh").st_rdev == 0
    assert os.readlink(f"{base}/l") == "bin"


def stored(store: Store) -> set[str]:
    """The digests of the blobs that are here."""
    try:
        return {f"sha256:{name}" for name in os.listdir(f"{store.oci}/blobs/sha256")}
    except FileNotFoundError:
        return set()


@pytest.mark.slow
def test_a_pull_killed_before_any_of_its_changes_leaves_the_image_absent_or_whole_and_is_completed(
    fake: FakeRegistry, killer: Killer, tmp_path: object
) -> None:
    name = f"{fake.host}/app:1"
    died, changes = killer.pull(f"{tmp_path}/whole", name)
    assert died == "0" and changes > 50
    expected = stored(Store(f"{tmp_path}/whole"))
    points = sorted(random.Random(7).sample(range(1, changes + 1), min(POINTS, changes)))
    for number in points:
        store = Store(f"{tmp_path}/{number}")
        died, changes = killer.pull(store.root, name, number)
        assert (died, changes) == ("9", number) or changes < number  # threads that wait make one more or less
        for image in store.images():
            check_whole(image)
        here = stored(store)
        for digest in here:
            with open(store.blob_path(digest), "rb") as file:
                assert digest_of(file.read()) == digest
        del fake.requests[:]
        assert killer.pull(store.root, name)[0] == "0"
        check_whole(store.find(name))
        assert not here & {path.rpartition("/")[2] for path in fake.paths("/blobs/")}  # what was finished is used
        assert os.listdir(store.staging) == []
        assert len(os.listdir(store.layers)) == 2
        assert stored(store) == expected
        shutil.rmtree(store.root)
    print(f"killed before {len(points)} changes, up to {points[-1]}")


@pytest.mark.slow
def test_ctrl_c_at_random_moments_is_exit_130_without_a_word_and_the_next_pull_completes(
    fake: FakeRegistry, pyc: Pyc
) -> None:
    fake.slow_down(100_000)
    name, rng = f"{fake.host}/app:1", random.Random(3)
    start = time.monotonic()
    pyc("pull", name).ok()
    duration = time.monotonic() - start
    interrupted = 0
    for _ in range(INTERRUPTS):
        if rng.random() < 0.5:  # else it goes on where the last one was interrupted
            pyc("rmi", name)
        process = pyc.start("pull", name)
        time.sleep(rng.uniform(0, 0.8 * duration))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        if not loading(err):
            assert process.returncode in (0, 130, -signal.SIGINT), (out, err)  # 0: it was done, or not yet a pyc
            assert err == b"", err
        interrupted += process.returncode != 0
        for image in Store(pyc.root).images():
            check_whole(image)
    assert interrupted > INTERRUPTS // 3
    print(f"{interrupted} of {INTERRUPTS} were interrupted")
    pyc("pull", name).ok()
    check_whole(Store(pyc.root).find(name))
    assert os.listdir(f"{pyc.root}/tmp") == []
