"""What we unpack of a real system's files is, entry by entry, what GNU tar, umoci and podman make of them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

from pycontainer.engine.image.pull import pull
from pycontainer.image import unsynced
from pycontainer.image.layer import unpack_layer
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store
from tests.support.fake_registry import FakeRegistry
from tests.support.tars import snapshot

pytestmark = [pytest.mark.peers, pytest.mark.root]

NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")


def needs(*commands: str) -> None:
    for command in commands:
        if not shutil.which(command):
            pytest.skip(f"{command} is not installed")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """A layer from this host's own files, and what such files seldom have: devices, capabilities, holes, odd names."""
    extra = str(tmp_path_factory.mktemp("extra"))
    os.makedirs(f"{extra}/odd/deep/er")
    for name, kind, device in (
        ("null", stat.S_IFCHR, (1, 3)),
        ("loop", stat.S_IFBLK, (7, 0)),
        ("fifo", stat.S_IFIFO, (0, 0)),
    ):
        os.mknod(f"{extra}/odd/{name}", kind | 0o640, os.makedev(*device))
    for name in ("cap", "suid", "caf\udce9", "long" * 50, "attributes"):
        with open(f"{extra}/odd/{name}", "w") as file:
            file.write(name if name.isascii() else "latin")
        os.chown(f"{extra}/odd/{name}", 1000, 100000)
    os.chmod(f"{extra}/odd/suid", 0o6755)
    os.setxattr(f"{extra}/odd/cap", "security.capability", NET_RAW)
    os.setxattr(f"{extra}/odd/attributes", "user.note", b"b\0c")
    os.link(f"{extra}/odd/cap", f"{extra}/odd/deep/er/hard")
    os.symlink("../nowhere", f"{extra}/odd/dangling")
    with open(f"{extra}/odd/holes", "wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    os.chmod(f"{extra}/odd/deep", 0o1777)
    os.utime(f"{extra}/odd/deep", ns=(10**9, 10**18 + 123_456_789))
    how = ["--format=posix", "--pax-option=delete=atime,delete=ctime", "--xattrs", "--xattrs-include=*"]
    what = ["-C", "/", "etc", "usr/share/zoneinfo", "usr/sbin", "usr/bin/passwd", "usr/bin/su", "-C", extra, "odd"]
    command = ["tar", "-c", *how, *what]
    yield subprocess.run(command, capture_output=True, check=False).stdout  # 1 means: a file changed as it was read


@pytest.fixture
def ours(archive: bytes, tmp_path: object) -> dict[str, tuple[object, ...]]:
    os.mkdir(f"{tmp_path}/ours")
    fd = os.open(f"{tmp_path}/ours", os.O_RDONLY)
    facts = unpack_layer(fd, iter([archive]))
    os.close(fd)
    assert {"usr/bin/passwd", "usr/bin/su", "odd/suid", "odd/cap"} <= set(facts.setuid)
    return without_implied(snapshot(f"{tmp_path}/ours"))


def without_implied(tree: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """Directories that the archive does not mention have the time at which somebody made them."""
    return {name: found for name, found in tree.items() if name not in (".", "usr", "usr/bin", "usr/share")}


def test_gnu_tar_agrees(archive: bytes, ours: dict[str, tuple[object, ...]], tmp_path: object) -> None:
    os.mkdir(f"{tmp_path}/theirs")
    command = ["tar", "-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", f"{tmp_path}/theirs"]
    subprocess.run(command, input=archive, check=True)
    theirs = without_implied(snapshot(f"{tmp_path}/theirs"))
    assert len(theirs) > 2000
    assert ours == theirs


def test_umoci_agrees(archive: bytes, ours: dict[str, tuple[object, ...]], tmp_path: object) -> None:
    needs("umoci", "skopeo")
    store = Store(f"{tmp_path}/root")
    with FakeRegistry() as fake:
        fake.add_image("app:1", [archive])
        image = pull(store, Reference.parse(f"{fake.host}/app:1"))
        name = f"{store.oci}:{fake.host}/app:1"
        command = ["umoci", "raw", "unpack", "--image", name, f"{tmp_path}/theirs"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    unsynced.settle(store)
    assert done.returncode == 0, done.stderr
    theirs = without_implied(snapshot(f"{tmp_path}/theirs"))
    assert ours == theirs
    assert without_implied(snapshot(image.layers[0].path_of_fs)) == theirs
