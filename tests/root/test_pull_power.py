"""The power goes while an image is pulled: once it is back, the image is absent or whole, to the last byte.

The store is on an ext4 of its own, behind a loop device. What its backing file has at a moment is what a disk would
have had if the power had gone then: so a copy of it, mounted, is the disk after the cut. The memory of this host, with
all that was not written yet, is not in it. The journal is committed at random moments, as other programs' fsync(2)
does: that makes names and sizes durable before the content, which is how other engines came to images of empty files.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pycontainer.engine.image.pull import pull
from pycontainer.image import unsynced
from pycontainer.image.model import Image
from pycontainer.image.reference import Reference
from pycontainer.image.registry import Patience
from pycontainer.image.store import Store
from tests.support.fake_registry import FakeRegistry, Handler
from tests.support.host import needs_command, needs_filesystem
from tests.support.tars import directory, member, snapshot, tar

pytestmark = [pytest.mark.root, needs_filesystem("ext4"), needs_command("mkfs.ext4")]

HASTY = Patience(tries=2, pause=0.01, connect=2, stall=5)
CUTS = int(os.environ.get("PYC_TEST_CUTS", "10"))
SIZE = 24 << 20
RNG = random.Random(2)
CONTENTS = [{b"d/f%d" % number: RNG.randbytes(RNG.randrange(1, 20_000)) for number in range(80)} for _ in range(4)]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        tars = [tar(directory(b"d"), *(member(*file) for file in files.items())) for files in CONTENTS]
        registry.add_image("app:1", tars)
        registry.rules.append(_in_pieces(registry))
        yield registry


def _in_pieces(fake: FakeRegistry) -> Callable[[Handler], bool]:
    """Blobs come slowly, so that a pull lasts long enough to be cut in the middle."""

    def rule(handler: Handler) -> bool:
        blob = fake.blobs.get(handler.path.rpartition("/")[2])
        if blob is None or len(blob) < 100_000 or "Range" in handler.headers:
            return False
        handler.answer(200, b"", {"Content-Length": str(len(blob))})
        with suppress(OSError):
            for at in range(0, len(blob), 50_000):
                handler.wfile.write(blob[at : at + 50_000])
                time.sleep(0.03)
        return True

    return rule


class Disk:
    """An ext4 in a file, mounted."""

    def __init__(self, directory: Path) -> None:
        self.file, self.mounted = directory / "disk", directory / "mounted"
        with open(self.file, "wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.file)], check=True)
        self.mounted.mkdir()
        self._statistics = ""
        self.quiet = threading.Lock()

    @contextmanager
    def mount(self, options: str = "loop") -> Iterator[str]:
        subprocess.run(["mount", "-o", options, str(self.file), str(self.mounted)], check=True)
        try:
            device = os.path.basename(self._source())
            self._statistics = f"/sys/block/{device}/stat"
            yield str(self.mounted)
        finally:
            subprocess.run(["umount", str(self.mounted)], check=True)

    def _source(self) -> str:
        with open("/proc/self/mounts") as mounts:
            return next(line.split()[0] for line in mounts if line.split()[1] == str(self.mounted))

    def _traffic(self) -> tuple[str, str]:
        """Sectors written so far, and requests on their way."""
        with open(self._statistics) as file:
            words = file.read().split()
        return words[6], words[8]

    def copy(self, path: Path) -> None:
        """What is on it at one moment: a copy during which something was written is none."""
        with self.quiet:
            while True:
                before = self._traffic()
                subprocess.run(["cp", "--sparse=always", str(self.file), str(path)], check=True)
                if before == self._traffic() and before[1] == "0":
                    return


def commit_now_and_then(disk: Disk, rng: random.Random, stop: threading.Event) -> None:
    """Make the names of files durable at random moments, and of some files the content."""
    fd = os.open(f"{disk.mounted}/other", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not stop.wait(rng.uniform(0, 0.04)):
        with disk.quiet:
            os.write(fd, b"x")
            os.fsync(fd)
            write_back(disk, lambda: rng.random() < 0.2)
    os.close(fd)


def write_back(disk: Disk, chosen: Callable[[], bool] = lambda: True) -> None:
    """Make the content of some blobs and descriptions durable, but not of a layer's files: the worst mixture."""
    for pattern in ("oci/blobs/*/*", "layers/*/layer.json"):
        for path in disk.mounted.glob(f"root/{pattern}"):
            if chosen():
                with suppress(FileNotFoundError), open(path, "rb") as file:
                    os.fsync(file.fileno())


def cut(disk: Disk, fake: FakeRegistry, rng: random.Random, copies: list[Path], options: str) -> None:
    """Pull onto a disk, and copy it at random moments meanwhile and shortly after."""
    stop = threading.Event()
    with disk.mount(options) as mounted:
        store, name = Store(f"{mounted}/root"), Reference.parse(f"{fake.host}/app:1")
        committing = threading.Thread(target=commit_now_and_then, args=(disk, rng, stop))
        failures: list[BaseException] = []

        def work() -> None:
            try:
                pull(store, name)
            except BaseException as error:
                failures.append(error)

        pulling = threading.Thread(target=work)
        start = time.monotonic()
        committing.start()
        pulling.start()
        for moment, path in zip(sorted(rng.uniform(0.02, 0.8) for _ in copies[2:]), copies[2:], strict=True):
            time.sleep(max(0.0, start + moment - time.monotonic()))
            disk.copy(path)
        pulling.join()
        write_back(disk)
        disk.copy(copies[1])
        unsynced.settle(store)  # as a process in the background does soon after a pull
        disk.copy(copies[0])
        stop.set()
        committing.join()
        assert failures == []


def differences(image: Image, reference: list[dict[str, tuple[object, ...]]]) -> list[object]:
    """What is not as it should be in an image."""
    found = [snapshot(layer.path_of_fs) for layer in image.layers]
    return [
        (number, name, here.get(name), there.get(name))
        for number, (here, there) in enumerate(zip(found, reference, strict=True))
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


@pytest.mark.slow
def test_after_a_power_cut_at_a_random_moment_the_image_is_absent_or_whole(
    fake: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsynced, "settle_later", lambda store: None)  # a process that outlives the test
    name = f"{fake.host}/app:1"
    whole = pull(Store(f"{tmp_path}/whole"), Reference.parse(name), patience=HASTY)
    reference = [snapshot(layer.path_of_fs) for layer in whole.layers]
    rng, found, kept, mended = random.Random(6), 0, 0, 0
    disk = Disk(tmp_path)
    shutil.copyfile(disk.file, tmp_path / "pristine")
    copies = [tmp_path / f"copy{number}" for number in range(5)]
    for round_ in range(CUTS // len(copies)):
        disk.file.unlink()  # a new file each time: a loop device that is still being taken down would be used again
        shutil.copyfile(tmp_path / "pristine", disk.file)
        cut(disk, fake, rng, copies, ("loop", "loop,data=writeback")[round_ % 2])
        for path in copies:
            os.rename(path, disk.file)
            with disk.mount() as mounted, monkeypatch.context() as rebooted:
                rebooted.setattr(unsynced, "boot_id", lambda: "0" * 36)
                store = Store(f"{mounted}/root")
                for image in store.images():
                    assert differences(image, reference) == []
                    found += 1
                    kept += path == copies[0]
                image = pull(store, Reference.parse(name), patience=HASTY)
                assert differences(image, reference) == []
                mended += 1
                assert [left for left in os.listdir(f"{mounted}/root/tmp") if not left.startswith("blob.")] == []
                assert os.path.getsize(f"{store.oci}/oci-layout") > 0
    print(f"{mended} cuts: {found} times the image was there")
    assert found < mended
    assert kept == mended // len(copies)  # what is settled stays
