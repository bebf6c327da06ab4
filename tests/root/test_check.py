"""``system check``: damage done to a store is found, told, and mended where something whole is left to mend it from."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from images.registry import Registry
from tests.support.cli import Pyc

pytestmark = pytest.mark.root


@pytest.fixture
def store(pyc: Pyc, image: str) -> Path:
    """A store of its own with busybox from a registry."""
    pyc("pull", "-q", image).ok()
    assert pyc("system", "check").ok().stdout == "everything is as it should be\n"
    return Path(pyc.root)


def fs(store: Path) -> Path:
    (layer,) = (store / "layers").iterdir()
    return layer / "fs"


def blobs(store: Path) -> list[Path]:
    """The blobs, the largest (the layer) last."""
    return sorted((store / "oci/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def flip(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))


def same_time(change: Callable[[Path], object], path: Path) -> None:
    before = os.stat(path)
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_deletions_in_a_layer_are_no_damage(pyc: Pyc, store: Path, image: str) -> None:
    script = "rm -rf /var /etc/passwd; mkdir /var; rm -rf /home; mkdir /home; touch /home/x"
    pyc("run", "--name", "job", image, "sh", "-c", script).ok()
    pyc("commit", "job", "less:1").ok()
    time.sleep(0.01)
    assert pyc("system", "check").ok().stdout == "everything is as it should be\n"


LAYER_DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    ("another content", lambda fs: same_time(lambda path: flip(path, 3), fs / "etc/passwd")),
    ("another content", lambda fs: same_time(lambda path: flip(path, 1_000_000), fs / "bin/busybox")),
    ("another size", lambda fs: same_time(lambda path: os.truncate(path, 3), fs / "etc/group")),
    ("another mode", lambda fs: os.chmod(fs / "etc/shadow", 0o644)),
    ("another uid", lambda fs: os.chown(fs / "var/www", 0, 33)),
    ("another mtime", lambda fs: os.utime(fs / "etc/passwd", ns=(0, 0))),
    ("another xattrs", lambda fs: os.setxattr(fs / "etc/passwd", "user.x", b"y")),
    ("missing", lambda fs: os.unlink(fs / "etc/group")),
    ("missing", lambda fs: shutil.rmtree(fs / "var")),
    ("new", lambda fs: (fs / "etc/planted").write_text("x")),
    ("another", lambda fs: ((fs / "bin/ls").unlink(), shutil.copy2(fs / "bin/sh", fs / "bin/ls"))),
    ("missing", lambda fs: shutil.rmtree(fs)),
    ("damaged", lambda fs: (fs.parent / "layer.json").write_text("{")),
    ("missing", lambda fs: (fs.parent / "layer.json").unlink()),
    ("missing", lambda fs: shutil.rmtree(fs.parent)),
]


@pytest.mark.parametrize(("said", "damage"), LAYER_DAMAGE)
def test_a_damaged_layer_is_found_and_unpacked_again(pyc: Pyc, store: Path, said: str, damage: Callable) -> None:
    damage(fs(store))
    found = pyc("system", "check")
    assert found.code == 1 and said in found.stdout and "1 problem left" in found.stdout
    mended = pyc("system", "check", "--repair").ok()
    assert "unpacked again" in mended.stdout and mended.lines[-1] == "everything is as it should be now"
    assert pyc("system", "check").ok().stdout == "everything is as it should be\n"


def test_without_the_registry_lost_layers_come_back_from_their_blobs(pyc: Pyc, tmp_path: Path) -> None:
    with Registry(str(tmp_path / "registry")) as gone:
        image = gone.publish("busybox")
        pyc("pull", "-q", image).ok()
    store = Path(pyc.root)
    pyc("create", "--name", "job", image, "true").ok()
    for damage in (lambda: shutil.rmtree(store / "layers"), lambda: os.truncate(fs(store).parent / "layer.json", 9)):
        damage()
        assert pyc("run", "--rm", image, "echo", "here").ok().stdout == "here\n"
        damage()
        assert pyc("images", "-q", "--no-trunc").ok().lines == [
            pyc("inspect", "-f", "{{.Image}}", "job").ok().stdout.strip()
        ]
        damage()
        pyc("start", "-a", "job").ok()
        damage()
        assert pyc("system", "check").code == 1
        assert "unpacked again" in pyc("system", "check", "--repair").ok().stdout
        assert pyc("system", "check").ok().stdout == "everything is as it should be\n"
    shutil.rmtree(store / "layers")
    flip(blobs(store)[-1], 1000)
    lost = pyc("run", "--rm", image, "true")
    assert lost.code == 125 and "can't reach registry" in lost.stderr and "Traceback" not in lost.stderr


@pytest.mark.parametrize("which", [0, 1, -1], ids=["smallest", "middle", "layer"])
@pytest.mark.parametrize(
    "damage", [lambda path: flip(path, 20), lambda path: os.truncate(path, 20), os.unlink], ids=["flip", "cut", "gone"]
)
def test_a_damaged_blob_is_found_and_fetched_again(
    pyc: Pyc, store: Path, image: str, which: int, damage: Callable
) -> None:
    names = {path.name for path in blobs(store)}
    damage(blobs(store)[which])
    found = pyc("system", "check")
    assert (
        found.code == 1
        and f"blob sha256:{(names & {line.split(':')[1].split(' ')[0] for line in found.lines[:1]}).pop()}"
    )
    assert "fetched again" in pyc("system", "check", "--repair").ok().stdout
    assert pyc("system", "check").ok().stdout == "everything is as it should be\n"
    assert {path.name for path in blobs(store)} == names
    assert pyc("images", "--format", "{{.Repository}}:{{.Tag}}").lines == [f"{image}:latest"]
    assert pyc("rmi", image).code == 0 and blobs(store) == []


def test_what_can_not_be_mended_stays_as_it_is_and_is_told(pyc: Pyc, store: Path, image: str) -> None:
    pyc("tag", image, "nowhere.invalid/x:1").ok()
    pyc("rmi", image).ok()
    flip(blobs(store)[-1], 100)
    before = {path.name: path.stat().st_size for path in blobs(store)}
    result = pyc("system", "check", "--repair")
    assert result.code == 1 and "has another content" in result.stdout and "1 problem left" in result.stdout
    assert {path.name: path.stat().st_size for path in blobs(store)} == before


INDEX_DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut near the end": lambda data: data[:-10],
    "no json": lambda data: b"\0" * len(data),
    "no list": lambda data: b'{"schemaVersion": 2}',
    "a digest that is none": lambda data: data.replace(b"sha256:", b"sha256;", 1),
}


@pytest.mark.parametrize("damage", INDEX_DAMAGE.values(), ids=INDEX_DAMAGE)
def test_a_damaged_list_of_images_is_made_anew(pyc: Pyc, store: Path, image: str, damage: Callable) -> None:
    before = pyc("images", "-q").stdout
    index = store / "oci/index.json"
    index.write_bytes(damage(index.read_bytes()))
    told = pyc("images")
    assert told.code == 1 and "system check --repair" in told.stderr and "Traceback" not in told.stderr
    assert pyc("system", "check").code == 1
    assert "made anew: 1 images" in pyc("system", "check", "--repair").ok().stdout
    assert pyc("images", "-q").stdout == before
    pyc("pull", "-q", image).ok()
    assert pyc("run", "--rm", image, "true").code == 0


@pytest.mark.slow
def test_fifty_random_mutations_of_metadata_never_crash_a_command(
    pyc: Pyc, store: Path, image: str, tmp_path: Path
) -> None:
    pyc("run", "--name", "job", image, "true").ok()
    random.seed(1)
    pristine = tmp_path / "pristine"
    shutil.copytree(store, pristine, symlinks=True)
    container = next((store / "containers").iterdir()).name
    targets = ["oci/index.json", "oci/oci-layout", f"containers/{container}/container.json",
               f"containers/{container}/life", f"layers/{fs(store).parent.name}/layer.json",
               *(f"oci/blobs/sha256/{path.name}" for path in blobs(store)[:-1])]  # fmt: skip
    for number in range(50):
        name = targets[number % len(targets)]
        data = bytearray((pristine / name).read_bytes())
        kind = random.choice(["flip", "cut", "gone", "zero"])
        if kind == "gone":
            (store / name).unlink()
        elif kind == "cut":
            (store / name).write_bytes(data[: random.randrange(len(data))])
        else:
            at = random.randrange(len(data))
            data[at] = 0 if kind == "zero" else data[at] ^ (1 << random.randrange(8))
            (store / name).write_bytes(data)
        for command in (("images",), ("ps", "-a"), ("system", "df"), ("system", "check", "--repair")):
            result = pyc(*command)
            assert "Traceback" not in result.stderr and "is a bug" not in result.stderr, (name, kind, command, result)
        for path in targets:
            os.makedirs((store / path).parent, exist_ok=True)
            shutil.copy2(pristine / path, store / path)
        if not fs(store).is_dir() or number % 10 == 9:
            shutil.rmtree(store)
            shutil.copytree(pristine, store, symlinks=True)


def test_a_layer_is_not_changed_under_a_running_container(pyc: Pyc, store: Path, image: str) -> None:
    with pyc.start("run", "--name", "box", image, "sleep", "60") as process:
        while "running" not in pyc("ps", "--format", "{{.State}}").stdout:
            pass
        os.chmod(fs(store) / "etc/shadow", 0o644)
        inode = os.stat(fs(store)).st_ino
        assert pyc("system", "check", "--repair").code == 1
        assert os.stat(fs(store)).st_ino == inode
        pyc("rm", "-f", "box").ok()
        process.communicate(timeout=20)
    assert "unpacked again" in pyc("system", "check", "--repair").ok().stdout


def test_a_container_without_its_image_is_told_and_can_be_removed(pyc: Pyc, store: Path, image: str) -> None:
    pyc("run", "--name", "job", image, "true").ok()
    shutil.rmtree(fs(store).parent)
    for path in blobs(store):
        path.unlink()
    (store / "oci/index.json").unlink()
    result = pyc("system", "check")
    assert result.code == 1 and "container" in result.stdout and "image is not here" in result.stdout
    pyc("rm", "job").ok()
    assert pyc("system", "check").code == 0


def test_a_quick_check_reads_no_content(pyc: Pyc, store: Path) -> None:
    same_time(lambda path: flip(path, 3), fs(store) / "etc/passwd")
    assert pyc("system", "check", "--quick").code == 0
    assert pyc("system", "check").code == 1
