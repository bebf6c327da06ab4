from __future__ import annotations

import errno
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycontainer.rootfs.view import MergedView

pytestmark = pytest.mark.root


def put(root: Path, path: str, content: str = "x") -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content)


def link(root: Path, path: str, target: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, root / path)


def whiteout(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    os.mknod(root / path, stat.S_IFCHR | 0o600, os.makedev(0, 0))


def opaque(root: Path, path: str) -> None:
    (root / path).mkdir(parents=True, exist_ok=True)
    os.setxattr(root / path, "trusted.overlay.opaque", b"y")


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Three layers, topmost first, with one of every way of hiding something."""
    top, middle, bottom = (tmp_path / name for name in ("top", "middle", "bottom"))
    for root in (top, middle, bottom):
        root.mkdir()
    put(bottom, "etc/passwd", "bottom")
    put(bottom, "etc/group", "bottom group")
    put(middle, "etc/group", "middle group")
    put(bottom, "gone/file")
    put(bottom, "etc/deleted")
    whiteout(middle, "etc/deleted")
    whiteout(middle, "gone")
    put(bottom, "opaque/old")
    opaque(middle, "opaque")
    put(middle, "opaque/new")
    put(top, "opaque/newest")
    put(bottom, "was-dir/inside")
    put(middle, "was-dir", "now a file")
    put(bottom, "was-file", "a file")
    put(top, "was-file/inside", "now a directory")
    put(bottom, "islands/low")
    put(middle, "islands")
    put(top, "islands/high")  # the file between them separates the two directories
    put(bottom, "back/low")
    whiteout(middle, "back")
    put(top, "back/high")
    opaque(top, "opaque-top")
    put(bottom, "opaque-top/x")
    put(bottom, "usr/bin/sh", "shell")
    link(bottom, "bin", "usr/bin")
    link(top, "absolute", "/usr/bin/sh")
    link(top, "outside", "../../../../../../etc/passwd")
    link(top, "usr/up", "..")
    link(top, "loop", "loop")
    link(top, "a", "b")
    link(middle, "b", "c/")
    link(bottom, "c", "usr")
    link(top, "to-file", "etc/passwd/")
    link(top, "dangling", "nowhere")
    link(top, "replaced", "etc")
    put(bottom, "replaced/x")
    (top / "mode").mkdir(mode=0o700)
    (bottom / "mode").mkdir(mode=0o755)
    os.mkfifo(bottom / "fifo")
    os.mknod(bottom / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    return [top, middle, bottom]


@contextmanager
def overlay(layers: list[Path], at: Path) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(
        ["mount", "-t", "overlay", "-o", "ro,lowerdir=" + ":".join(map(str, layers)), "overlay", str(at)], check=True
    )
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


PATHS = """
/ . etc /etc/ /etc/passwd etc//group ./etc/./passwd etc/deleted gone gone/file opaque opaque/old opaque/new
opaque/newest was-dir was-dir/inside was-file was-file/inside islands/low islands/high islands back/low back/high
opaque-top/x opaque-top bin bin/sh absolute outside usr/up usr/up/etc/passwd loop loop/x a a/bin/sh b b/ c/bin to-file
dangling dangling/x replaced replaced/x replaced/passwd mode etc/passwd/ etc/passwd/x etc/passwd/.. etc/../etc/passwd
../../etc/passwd usr/bin/../../etc/group fifo zero nowhere
""".split()


def outcome(act: object, *args: object, **kwargs: object) -> object:
    try:
        status = act(*args, **kwargs)  # type: ignore[operator]
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return stat.S_IFMT(status.st_mode), status.st_mode, status.st_size if stat.S_ISREG(status.st_mode) else 0


@pytest.mark.parametrize("follow", [True, False])
def test_the_view_shows_what_overlayfs_shows(layers: list[Path], tmp_path: Path, follow: bool) -> None:
    with MergedView([str(layer) for layer in layers]) as view, overlay(layers, tmp_path / "merged") as merged:
        # chroot, so that the kernel resolves links and ".." as the container would
        root = os.open("/", os.O_RDONLY)
        ours = {path: outcome(view.stat, path, follow=follow) for path in PATHS}
        try:
            os.chroot(merged)
            os.chdir("/")
            theirs = {path: outcome(os.stat, path, follow_symlinks=follow) for path in PATHS}
        finally:
            os.fchdir(root)
            os.chroot(".")
            os.close(root)
    assert ours == theirs
    assert sum(isinstance(result, tuple) for result in ours.values()) > 25
    assert {"ENOENT", "ENOTDIR"} <= set(map(str, ours.values()))


def test_content_comes_from_the_topmost_layer_that_has_it(layers: list[Path]) -> None:
    with MergedView([str(layer) for layer in layers]) as view:
        assert view.read("/etc/group", 100) == b"middle group"
        assert view.read("/etc/passwd", 100) == view.read("outside", 100) == b"bottom"
        assert view.resolve("a/bin/sh") == view.resolve("absolute") == "/usr/bin/sh"
        assert view.resolve("usr/up") == "/"
        assert view.exists("bin/sh") and not view.exists("gone") and not view.exists("dangling")


def test_only_regular_files_are_opened_and_nothing_blocks(layers: list[Path]) -> None:
    with MergedView([str(layer) for layer in layers]) as view:
        for path, number in [
            ("fifo", errno.EINVAL),
            ("zero", errno.EINVAL),
            ("etc", errno.EISDIR),
            ("x\0y", errno.EINVAL),
        ]:
            with pytest.raises(OSError) as caught:
                view.read(path, 100)
            assert caught.value.errno == number, path


def test_reading_stops_at_the_limit(layers: list[Path]) -> None:
    with open(layers[0] / "sparse", "wb") as file:
        file.truncate(5 << 30)
    with MergedView([str(layer) for layer in layers]) as view:
        with pytest.raises(OSError) as caught:
            view.read("sparse", 1 << 20)
        assert caught.value.errno == errno.EFBIG
        assert view.read("etc/passwd", 6) == b"bottom"
        assert view.head("sparse", 4) == bytes(4) and view.head("etc/passwd", 100) == b"bottom"


def test_no_descriptor_is_left_open(layers: list[Path]) -> None:
    before = os.listdir("/proc/self/fd")
    with MergedView([str(layer) for layer in layers]) as view:
        for path in PATHS:
            outcome(view.stat, path)
            outcome(view.open, path) if path == "dangling" else None
            view.exists(path)
    assert os.listdir("/proc/self/fd") == before


def test_passwd_and_group_through_five_layers_take_microseconds(tmp_path: Path) -> None:
    names = [str(tmp_path / str(number)) for number in range(5)]
    for name in names:
        os.mkdir(name)
        os.mkdir(name + "/etc")
    put(Path(names[-1]), "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n" * 20)
    put(Path(names[-1]), "etc/group", "root:x:0:\n" * 40)

    def once() -> float:
        start = time.perf_counter()
        with MergedView(names) as view:
            view.read("/etc/passwd", 1 << 20)
            view.read("/etc/group", 1 << 20)
        return time.perf_counter() - start

    best = min(once() for _ in range(200))
    print(f"passwd and group through 5 layers: {best * 1e6:.0f} us")
    assert best < 0.002
