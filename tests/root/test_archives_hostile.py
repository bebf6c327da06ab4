"""Archives that lie or try something: each is one clean ImageError, and nothing of it stays in the store."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import threading
from collections.abc import Callable

import pytest

from pycontainer.engine.image.archives import load
from pycontainer.errors import ImageError, PycError
from pycontainer.image import manifest as m
from pycontainer.image.store import Store
from tests.support import tars

pytestmark = pytest.mark.root

Members = dict[str, bytes]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


LAYER = tars.tar(tars.directory(b"etc"), tars.member(b"etc/name", b"good"))
CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha(LAYER)}"]}}
).encode()


def docker(**changes: object) -> Members:
    """A good archive as docker save wrote it for years; ``changes`` are of the one entry of its list."""
    name = f"{sha(CONFIG)}.json"
    entry = {"Config": name, "RepoTags": ["evil:latest"], "Layers": ["a/layer.tar"], **changes}
    return {name: CONFIG, "a/layer.tar": LAYER, "manifest.json": json.dumps([entry]).encode()}


def descriptor(kind: str, data: bytes, **changes: object) -> dict[str, object]:
    return {"mediaType": kind, "digest": f"sha256:{sha(data)}", "size": len(data), **changes}


def oci(
    *,
    layer_descriptor: dict[str, object] | None = None,
    manifest_changes: dict[str, object] | None = None,
    entry_changes: dict[str, object] | None = None,
) -> Members:
    """A good image layout, before the changes."""
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": m.OCI_MANIFEST,
            "config": descriptor(m.OCI_CONFIG, CONFIG),
            "layers": [layer_descriptor or descriptor("application/vnd.oci.image.layer.v1.tar", LAYER)],
            **(manifest_changes or {}),
        }
    ).encode()
    entry = descriptor(
        m.OCI_MANIFEST, manifest, annotations={"io.containerd.image.name": "docker.io/library/evil:latest"}
    )
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [{**entry, **(entry_changes or {})}]}).encode(),
        **{f"blobs/sha256/{sha(data)}": data for data in (manifest, CONFIG)},
        f"blobs/sha256/{sha(LAYER)}": LAYER,
    }


def pack(members: Members, *more: bytes) -> bytes:
    return tars.tar(*(tars.member(name.encode(), data) for name, data in members.items()), *more)


def without(members: Members, part: str) -> Members:
    return {name: data for name, data in members.items() if part not in name}


def replaced(members: Members, name: str, *instead: bytes) -> bytes:
    return pack(without(members, name), *instead)


BLOB = f"blobs/sha256/{sha(LAYER)}"
FORGED = LAYER.replace(b"good", b"evil")
EVIL_LAYER = tars.tar(tars.member(b"../../escape", b"x"))
BROKEN_GZIP = gzip.compress(LAYER)[:-9] + b"12345678\0"

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    # what is in the archive besides regular files
    "manifest.json is a link to the host": (
        lambda: replaced(docker(), "manifest.json", tars.symlink(b"manifest.json", b"/etc/passwd")), "neither"),
    "the config is a link to the host": (
        lambda: replaced(docker(), "json", tars.symlink(f"{sha(CONFIG)}.json".encode(), b"/etc/passwd"),
                         tars.member(b"manifest.json", docker()["manifest.json"])), "is a link"),
    "a layer is a link to the host": (
        lambda: replaced(docker(), "layer.tar", tars.symlink(b"a/layer.tar", b"/etc/passwd")), "has no '/etc/passwd'"),
    "a layer is a link out of the archive": (
        lambda: replaced(docker(), "layer.tar", tars.symlink(b"a/layer.tar", b"../../../etc/passwd")), "has no"),
    "a layer is a link to itself": (
        lambda: replaced(docker(), "layer.tar", tars.symlink(b"a/layer.tar", b"layer.tar")), "is a link"),
    "a layer is a directory": (lambda: replaced(docker(), "layer.tar", tars.directory(b"a/layer.tar")), "has no"),
    "a layer is a device": (
        lambda: replaced(docker(), "layer.tar", tars.header(b"a/layer.tar", tars.CHAR, device=(1, 5))), "has no"),
    "a layer is a FIFO": (lambda: replaced(docker(), "layer.tar", tars.header(b"a/layer.tar", tars.FIFO)), "has no"),
    "index.json is a link to the host": (
        lambda: replaced(oci(), "index.json", tars.symlink(b"index.json", b"/etc/passwd")), "neither"),
    "a blob is a link to the host": (
        lambda: replaced(oci(), sha(CONFIG), tars.symlink(f"blobs/sha256/{sha(CONFIG)}".encode(), b"/etc/passwd")),
        "is a link"),
    "an entry leads out": (lambda: pack(docker(), tars.member(b"../../escape", b"x")), "has a .. in its name"),
    "a file is there twice": (
        lambda: pack(docker(), tars.member(b"manifest.json", b"[]")), "two files called 'manifest.json'"),
    "a sparse file as config": (
        lambda: replaced(docker(), "json", tars.sparse_1_0([1, 0, 1], 1 << 40, b"x")), "neither"),
    # what the lists say
    "a config outside": (lambda: pack(docker(Config="../../../etc/passwd")), "has no '../../../etc/passwd'"),
    "a layer outside": (lambda: pack(docker(Layers=["/etc/passwd"])), "has no '/etc/passwd'"),
    "a missing layer": (lambda: pack(without(docker(), "layer.tar")), "has no 'a/layer.tar'"),
    "more layers than diff IDs": (lambda: pack(docker(Layers=["a/layer.tar"] * 2)), "names 1 layers"),
    "fewer layers than diff IDs": (lambda: pack(docker(Layers=[])), "names 1 layers"),
    "a list of nonsense": (lambda: pack({**docker(), "manifest.json": b'["x"]'}), "must be a list of objects"),
    "a list that breaks out": (lambda: pack({**docker(), "manifest.json": b'[], "a": 1'}), "must be a list of objects"),
    "layers of numbers": (lambda: pack(docker(Layers=[1])), "must have Config, RepoTags and Layers"),
    "a name with a path": (lambda: pack(docker(RepoTags=["../../etc:x"])), "invalid image name"),
    "a name with a line break": (lambda: pack(docker(RepoTags=["a\nb:latest"])), "invalid image name"),
    "no images at all": (lambda: pack({"manifest.json": b"[]"}), "has no images"),
    "an old archive": (lambda: pack({"repositories": b"{}"}), "older than 1.10"),
    "another layout version": (
        lambda: pack({**oci(), "oci-layout": b'{"imageLayoutVersion": "9"}'}), "version '9'"),
    "an index that is a manifest": (
        lambda: pack({**oci(), "index.json": oci()[f"blobs/sha256/{sha(CONFIG)}"]}), "manifest"),
    "a digest with a path": (
        lambda: pack(oci(entry_changes={"digest": "sha256:../../../etc/passwd"})), "is not a digest"),
    "a negative size": (lambda: pack(oci(entry_changes={"size": -1})), "size -1 is impossible"),
    # bytes that are not what was promised
    "a config of another digest": (
        lambda: pack({**docker(), f"{sha(CONFIG)}.json": CONFIG.replace(b"linux", b"LINUX")}), "has digest"),
    "a layer of another diff ID": (lambda: pack({**docker(), "a/layer.tar": FORGED}), "digest"),
    "a layer blob of another digest": (
        lambda: pack({**oci(), BLOB: FORGED}), "has digest"),
    "a layer blob of another size": (lambda: pack({**oci(), BLOB: LAYER + bytes(512)}), "bytes, not the"),
    "a layer whose descriptor lies about size": (
        lambda: pack(oci(layer_descriptor=descriptor("application/vnd.oci.image.layer.v1.tar", LAYER, size=7))),
        "not the 7 promised"),
    "a manifest of another digest": (
        lambda: pack(oci(entry_changes={"digest": f"sha256:{sha(CONFIG)}", "size": len(CONFIG)})), "schemaVersion"),
    "a manifest whose size is a lie": (lambda: pack(oci(entry_changes={"size": 5})), "not 5"),
    "a missing blob": (lambda: pack(without(oci(), sha(LAYER))), "has no"),
    "a broken gzip layer": (
        lambda: pack({**docker(), "a/layer.tar": BROKEN_GZIP}), "gzip"),
    # what is inside the layers
    "a layer that climbs out": (
        lambda: pack(hostile_layer(EVIL_LAYER)), "has a .. in its name"),
    "a layer that is no tar": (lambda: pack(hostile_layer(b"x" * 2048)), "is not a tar archive"),
    # not archives at all
    "nothing": (lambda: b"", "neither"),
    "noise": (lambda: hashlib.shake_256(b"").digest(5000), "is not an image archive"),
    "half an archive": (lambda: pack(docker())[:1700], "is not an image archive"),
    "half a gzip": (lambda: gzip.compress(pack(docker()))[:300], "ends too early"),
    "a tar of something else": (lambda: LAYER, "neither"),
    "a huge index": (lambda: pack({**oci(), "index.json": b" " * (5 << 20)}), "larger than 4 MiB"),
    "a huge list": (lambda: pack({"manifest.json": b" " * (5 << 20)}), "larger than 4 MiB"),
    "deep JSON": (lambda: pack({"manifest.json": b"[" * 100_000}), "nested too deeply"),
}  # fmt: skip


def hostile_layer(layer: bytes) -> Members:
    config = CONFIG.replace(sha(LAYER).encode(), sha(layer).encode())
    entry = {"Config": "config.json", "RepoTags": ["evil:latest"], "Layers": ["layer.tar"]}
    return {"config.json": config, "layer.tar": layer, "manifest.json": json.dumps([entry]).encode()}


def contents(root: str) -> set[str]:
    """Every blob, layer, half-made thing and name in a store."""
    found = {
        os.path.join(at, name)
        for part in ("oci/blobs", "layers", "tmp")
        for at, below, files in os.walk(f"{root}/{part}")
        for name in [*below, *files]
    }
    found -= {f"{root}/oci/blobs/sha256", f"{root}/oci/blobs/sha512"}
    if os.path.exists(f"{root}/oci/index.json"):
        with open(f"{root}/oci/index.json") as file:
            found |= {entry["digest"] for entry in json.load(file)["manifests"]}
    return found


def load_file(root: str, data: bytes, path: str) -> None:
    with open(path, "wb") as file:
        file.write(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        load(Store(root), fd, path)
    finally:
        os.close(fd)


def load_pipe(root: str, data: bytes, path: str) -> None:
    read, write = os.pipe()
    with open(write, "wb") as end:
        feeder = threading.Thread(target=feed, args=(end, data), daemon=True)
        feeder.start()
        try:
            load(Store(root), read, "the archive on stdin")
        finally:
            os.close(read)
            feeder.join(5)


def feed(end, data: bytes) -> None:
    try:
        end.write(data)
        end.close()
    except BrokenPipeError:
        pass


@pytest.mark.parametrize("how", [load_file, load_pipe])
@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_one_clean_error_and_leaves_nothing(tmp_path, what: str, how):
    make, expected = HOSTILE[what]
    root, descriptors = f"{tmp_path}/root", len(os.listdir("/proc/self/fd"))
    with pytest.raises(PycError) as caught:
        how(root, make(), f"{tmp_path}/archive.tar")
    assert isinstance(caught.value, ImageError), caught.value
    assert expected in caught.value.message
    assert "\n" not in caught.value.message
    assert contents(root) == set()
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("good", [docker, oci])
@pytest.mark.parametrize("how", [load_file, load_pipe])
def test_the_same_archive_without_the_attack_is_loaded(tmp_path, how, good):
    how(f"{tmp_path}/root", pack(good()), f"{tmp_path}/archive.tar")
    image = Store(f"{tmp_path}/root").find("evil")
    with open(f"{image.layers[0].path_of_fs}/etc/name") as file:
        assert file.read() == "good"


def test_a_bad_image_takes_the_good_one_before_it_along(tmp_path):
    """One archive, one outcome."""
    entries = [json.loads(docker()["manifest.json"])[0], {"Config": "none.json", "RepoTags": [], "Layers": []}]
    with pytest.raises(ImageError):
        load_file(
            f"{tmp_path}/root", pack({**docker(), "manifest.json": json.dumps(entries).encode()}), f"{tmp_path}/a"
        )
    assert contents(f"{tmp_path}/root") == set()


def test_what_was_there_before_survives_a_hostile_archive(tmp_path):
    root = f"{tmp_path}/root"
    load_file(root, pack(docker(RepoTags=["precious:latest"])), f"{tmp_path}/good.tar")
    before = contents(root)
    with pytest.raises(ImageError):
        load_file(root, pack(hostile_layer(EVIL_LAYER)), f"{tmp_path}/bad.tar")
    assert contents(root) == before
    assert Store(root).find("precious")


@pytest.mark.parametrize("good", [docker, oci])
def test_a_damaged_archive_is_loaded_whole_or_refused_cleanly(tmp_path, good):
    """Three hundred archives with a few bytes changed: whatever is loaded is what its digests say."""
    dice, archive, path = random.Random(good.__name__), pack(good()), f"{tmp_path}/archive.tar"
    refused = 0
    for number in range(300):
        damaged = bytearray(archive)
        for _ in range(dice.choice((1, 1, 2, 8))):
            damaged[dice.randrange(len(archive) - 1024)] = dice.randrange(256)
        root = f"{tmp_path}/{number}"
        try:
            load_file(root, bytes(damaged), path)
        except ImageError as error:
            refused += 1
            assert "\n" not in error.message
            assert contents(root) == set()
        else:
            (image,) = Store(root).images()
            assert image.config.diff_ids == (f"sha256:{sha(LAYER)}",)
            with open(f"{image.layers[0].path_of_fs}/etc/name") as file:
                assert file.read() == "good"
    assert refused > 50


@pytest.mark.slow
def test_a_bomb_stops_where_its_size_explains_no_more(tmp_path):
    """Four GiB of zeros in 4 MiB: it stops after little more than one, which vanishes with its descriptor."""
    zeros = gzip.compress(bytes(64 << 20), 9)
    with pytest.raises(ImageError, match="unpacks to more than"):
        load_file(f"{tmp_path}/root", zeros * 64, f"{tmp_path}/bomb.tar.gz")
    assert contents(f"{tmp_path}/root") == set()
