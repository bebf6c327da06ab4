from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from hashlib import sha256

import pytest

from pycontainer.errors import Conflict, InvalidReference, NotFound, StoreError
from pycontainer.image import disk, garbage, staging, unsynced
from pycontainer.image import manifest as m
from pycontainer.image.model import Image
from pycontainer.image.reference import Reference
from pycontainer.image.removal import remove
from pycontainer.image.store import Store
from pycontainer.image.tree import remove_tree

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture
def store(tmp_path: object) -> Store:
    made = Store(f"{tmp_path}/root")
    made.prepare()
    return made


def digest_of(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def put_blob(store: Store, data: bytes, kind: str) -> m.Descriptor:
    digest = digest_of(data)
    with open(store.blob_path(digest), "wb") as file:
        file.write(data)
    return m.Descriptor(kind, digest, len(data))


def put_image(store: Store, name: str, content: str, layers: int = 1, created: str = "2024") -> Image:
    """An image whose layers are plain files instead of tars: the store never looks into them."""
    tars = [f"{content} {number}".encode() for number in range(layers)]
    for tar in tars:
        path = store.layer_path(digest_of(tar))
        os.makedirs(f"{path}/fs/deep/er", exist_ok=True)
        facts = {"size": 10, "entries": 1, "setuid": [], "elf32": False, "whiteouts": 0, "hides_all": False}
        with open(f"{path}/layer.json", "w") as file:
            json.dump({"diff_id": digest_of(tar), **facts}, file)
    document = {"created": created, "rootfs": {"diff_ids": [digest_of(tar) for tar in tars]}, "config": {"Cmd": [name]}}
    config = put_blob(store, json.dumps(document).encode(), m.OCI_CONFIG)
    blobs = [put_blob(store, tar, LAYER_TYPE).to_json() for tar in tars]
    body = {"schemaVersion": 2, "mediaType": m.OCI_MANIFEST, "config": config.to_json(), "layers": blobs}
    manifest = put_blob(store, json.dumps(body).encode(), m.OCI_MANIFEST)
    return store.add(Reference.parse(name), config.digest, manifest, manifest.digest)


def test_an_image_is_found_by_every_spelling_of_its_name_and_by_its_id(store: Store) -> None:
    image = put_image(store, "alpine", "a", layers=3)
    for spelling in ("alpine", "alpine:latest", "docker.io/library/alpine", f"alpine@{image.digest}",
                     image.id, image.id[7:], image.id[7:19], image.id[:12]):  # fmt: skip
        assert store.find(spelling) == image, spelling
    assert image.names == ("docker.io/library/alpine:latest",)
    assert (image.size, len(image.layers), image.created) == (30, 3, "2024")
    assert os.path.isdir(image.layers[0].path_of_fs)


@pytest.mark.parametrize("name", ["debian", "alpine:other", "other/alpine", "localhost/alpine", "ffff"])
def test_another_name_is_not_found_and_says_so(store: Store, name: str) -> None:
    put_image(store, "alpine", "a")
    with pytest.raises(NotFound, match="no such image"):
        store.find(name)


def test_a_store_that_does_not_exist_holds_no_image(tmp_path: object) -> None:
    store = Store(f"{tmp_path}/nothing")
    assert store.images() == []
    with pytest.raises(NotFound):
        store.find("alpine")
    assert not os.path.exists(store.root)


def test_what_can_be_neither_name_nor_id_is_an_invalid_name(store: Store) -> None:
    with pytest.raises(InvalidReference):
        store.find("Alpine")


def test_a_digest_of_another_repository_does_not_find_the_image(store: Store) -> None:
    image = put_image(store, "alpine", "a")
    with pytest.raises(NotFound):
        store.find(f"debian@{image.digest}")


def test_an_ambiguous_prefix_is_refused(store: Store) -> None:
    ids = [put_image(store, f"i{number}", str(number)).id[7:] for number in range(20)]
    prefix = next(i[0] for i in ids if sum(other[0] == i[0] for other in ids) > 1)
    with pytest.raises(NotFound, match="ambiguous"):
        store.find(f"sha256:{prefix}")


def test_a_name_that_moves_leaves_the_old_image_under_its_digest(store: Store) -> None:
    old, new = put_image(store, "app", "old"), put_image(store, "app", "new")
    assert store.find("app").id == new.id
    assert store.find(old.id).names == (f"docker.io/library/app@{old.digest}",)
    assert store.find(f"app@{old.digest}").tags == ()


def test_images_are_listed_once_and_newest_first(store: Store) -> None:
    put_image(store, "old", "o", created="2020")
    put_image(store, "new", "n", created="2024")
    store.tag("old", Reference.parse("older:1"))
    assert [image.config.cmd[0] for image in store.images()] == ["new", "old"]
    assert len(store.find("older:1").names) == 2


def test_removing_the_last_name_deletes_only_what_no_other_image_needs(store: Store) -> None:
    one = put_image(store, "one", "shared", layers=1)
    two = put_image(store, "two", "shared", layers=2)  # its first layer is one's
    removed = remove(store, "two")
    assert removed.untagged == ("two:latest",)
    assert removed.deleted == (two.id, two.layers[1].diff_id)
    assert os.path.isdir(one.layers[0].path_of_fs)
    assert not os.path.exists(two.layers[1].path_of_fs)
    assert store.find("one") == one
    assert len(os.listdir(f"{store.oci}/blobs/sha256")) == 3
    assert os.listdir(store.staging) == []


def test_removing_one_of_two_names_only_untags(store: Store) -> None:
    image = put_image(store, "one", "x")
    store.tag("one", Reference.parse("two"))
    assert remove(store, "one").deleted == ()
    assert store.find("two").id == image.id
    with pytest.raises(NotFound):
        store.find("one")


def test_an_id_with_several_repositories_needs_force(store: Store) -> None:
    image = put_image(store, "one", "x")
    store.tag("one", Reference.parse("two"))
    with pytest.raises(Conflict, match="several names"):
        remove(store, image.id)
    assert remove(store, image.id, force=True).deleted[0] == image.id
    assert store.images() == []


def test_an_image_in_use_is_never_deleted(store: Store) -> None:
    image = put_image(store, "one", "x")

    def in_use(image_id: str) -> list[str]:
        return ["web"] if image_id == image.id else []

    with pytest.raises(Conflict, match="used by container web"):
        remove(store, "one", in_use=in_use)
    assert remove(store, "one", force=True, in_use=in_use) == (("one:latest",), ())
    assert store.find(image.id).tags == ()
    with pytest.raises(Conflict):
        remove(store, image.id, force=True, in_use=in_use)
    assert remove(store, image.id).deleted[0] == image.id


def test_untag_keeps_the_image(store: Store) -> None:
    image = put_image(store, "one", "x")
    store.untag(Reference.parse("one"))
    assert store.find(image.id).tags == ()


def test_nothing_is_collected_while_a_pull_holds_the_store(store: Store) -> None:
    put_image(store, "one", "x")
    code = "import sys; from pycontainer.image import garbage, store; print(garbage.collect(store.Store(sys.argv[1])))"
    put_blob(store, b"being pulled", LAYER_TYPE)
    with store.hold():
        done = subprocess.run([sys.executable, "-c", code, store.root], capture_output=True, text=True, check=True)
    assert done.stdout == "()\n"
    assert os.path.exists(store.blob_path(digest_of(b"being pulled")))
    garbage.collect(store)
    assert not os.path.exists(store.blob_path(digest_of(b"being pulled")))


def test_an_entry_of_another_tool_is_kept_and_its_blobs_too(store: Store) -> None:
    image = put_image(store, "one", "x")
    with open(f"{store.oci}/index.json") as file:
        document = json.load(file)
    config = put_blob(store, b'{"rootfs": {}}', m.OCI_CONFIG)
    body = {"schemaVersion": 2, "mediaType": m.OCI_MANIFEST, "config": config.to_json(), "layers": []}
    theirs = put_blob(store, json.dumps(body).encode(), m.OCI_MANIFEST).to_json()
    document["manifests"].append(theirs)
    with open(f"{store.oci}/index.json", "w") as file:
        json.dump(document, file)
    remove(store, image.id)
    with open(f"{store.oci}/index.json") as file:
        assert json.load(file)["manifests"] == [theirs]
    assert store.has_blob(config)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"manifests": 1}',
        '{"manifests": [{}]}',
        '{"manifests": [{"digest": "sha256:../x", "mediaType": "", "size": 1}]}',
    ],
)
def test_a_damaged_index_is_a_store_error(store: Store, text: str) -> None:
    put_image(store, "one", "x")
    with open(f"{store.oci}/index.json", "w") as file:
        file.write(text)
    with pytest.raises(StoreError, match=r"index\.json is damaged"):
        store.find("one")


def test_a_missing_or_damaged_part_is_named(store: Store) -> None:
    image = put_image(store, "one", "x")
    with open(os.path.dirname(image.layers[0].path_of_fs) + "/layer.json", "w") as file:
        file.write("{}")
    with pytest.raises(StoreError, match="damaged"):
        store.find("one")
    os.unlink(store.blob_path(image.id))
    with pytest.raises(NotFound, match=f"blob {image.id} is missing"):
        store.find("one")
    assert store.images() == []
    assert remove(store, "one").untagged == ("one:latest",)  # what is damaged can still be removed
    assert os.listdir(store.layers) == []


def test_a_layer_whose_directory_name_collides_is_not_taken_for_another(store: Store) -> None:
    image = put_image(store, "one", "x")
    other = image.layers[0].diff_id[:-1] + ("0" if image.layers[0].diff_id[-1] != "0" else "1")
    with pytest.raises(StoreError, match="begins alike"):
        store.layer(other)


def test_two_processes_that_add_names_lose_none(store: Store) -> None:
    image = put_image(store, "one", "x")
    code = """if True:
        import sys
        from pycontainer.image.store import Store
        from pycontainer.image.reference import Reference
        for n in range(20):
            Store(sys.argv[1]).tag("one", Reference.parse(f"p{sys.argv[2]}:{n}"))
    """
    workers = [subprocess.Popen([sys.executable, "-c", code, store.root, str(n)]) for n in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert len(store.find(image.id).names) == 61


def test_after_a_reboot_unsynced_layers_are_dropped_and_blobs_hashed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = put_image(store, "one", "x")
    unsynced.mark(store, f"layer.{image.layers[0].diff_id}")
    unsynced.mark(store, f"blob.{image.id}")
    unsynced.mark(store, f"blob.{image.manifest.digest}")
    assert store.find("one") == image  # same boot: the page cache is as good as the disk
    with open(store.blob_path(image.id), "r+b") as file:
        file.write(b"\0\0\0")  # what a power cut leaves
    monkeypatch.setattr(unsynced, "boot_id", lambda: "0" * 36)
    with pytest.raises(NotFound):
        store.find("one")
    assert not os.path.exists(store.blob_path(image.id))
    assert store.has_blob(image.manifest)
    assert store.layer(image.layers[0].diff_id) is None
    assert os.listdir(store.unsynced) == []


def test_settled_things_survive_a_reboot(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    image = put_image(store, "one", "x")
    unsynced.mark(store, f"layer.{image.layers[0].diff_id}")
    unsynced.settle(store)
    monkeypatch.setattr(unsynced, "boot_id", lambda: "0" * 36)
    assert store.find("one") == image


def test_sweeping_spares_what_is_held_and_fresh_partial_blobs(store: Store) -> None:
    held, dead, blob = "sha256:" + "a" * 64, "sha256:" + "b" * 64, "sha256:" + "c" * 64
    mine = staging.PartialLayer(store, held, lambda: None)
    gone = staging.PartialLayer(store, dead, lambda: None)
    os.mkdir("x", dir_fd=gone.begin())
    gone.close()
    partial = staging.PartialBlob(store, blob, lambda: None)
    os.write(partial.fd, b"half")
    partial.close()
    name = f"blob.{unsynced.boot_id()}.sha256-{'c' * 64}"
    staging.sweep(store)
    assert sorted(os.listdir(store.staging)) == [name, f"layer.{'a' * 24}"]
    mine.discard()
    mine.close()
    os.utime(f"{store.staging}/{name}", (0, 0))
    staging.sweep(store)
    assert os.listdir(store.staging) == []


def test_a_layer_begins_however_often_somebody_sweeps(store: Store) -> None:
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            staging.sweep(store)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(300):
            partial = staging.PartialLayer(store, f"sha256:{number:064x}", lambda: None)
            assert os.listdir(partial.begin()) == []
            partial.discard()
            partial.close()
    finally:
        stop.set()
        sweeper.join()
    staging.sweep(store)
    assert os.listdir(store.staging) == []


def test_ext4_is_asked_to_spread_layers(store: Store) -> None:
    with open("/proc/self/mountinfo") as file:
        device = os.stat(store.root).st_dev
        mounts = [line.split(" - ")[1].split()[0] for line in file if _device(line) == device]
    if "ext4" not in mounts:
        pytest.skip("the tests' directory is not on ext4")
    partial = staging.PartialLayer(store, "sha256:" + "a" * 64, lambda: None)
    partial.begin()
    partial.discard()
    partial.close()
    shown = subprocess.run(["lsattr", "-d", store.staging], capture_output=True, text=True, check=True)
    assert "T" in shown.stdout.split()[0]


def _device(mount: str) -> int:
    major, _, minor = mount.split()[2].partition(":")
    return os.makedev(int(major), int(minor))


def test_a_second_maker_waits_and_continues_where_a_killed_one_stopped(store: Store) -> None:
    digest = "sha256:" + "d" * 64
    first = staging.PartialBlob(store, digest, lambda: None)
    os.write(first.fd, b"half")

    class Impatient(Exception):
        pass

    def give_up() -> None:
        raise Impatient

    with pytest.raises(Impatient):
        staging.PartialBlob(store, digest, give_up)
    first.close()
    second = staging.PartialBlob(store, digest, give_up)
    assert second.done == 4
    second.commit()
    second.close()
    with open(store.blob_path(digest), "rb") as file:
        assert file.read() == b"half"


def test_directories_of_the_store_are_closed_to_other_users(store: Store) -> None:
    for path in (store.root, store.oci, store.layers, store.staging):
        assert os.stat(path).st_mode & 0o777 == 0o700


def test_a_tree_is_removed_however_deep_and_links_are_not_followed(tmp_path: object) -> None:
    canary = f"{tmp_path}/canary"
    os.makedirs(f"{canary}/kept")
    os.mkdir(f"{tmp_path}/tree")
    os.symlink(canary, f"{tmp_path}/tree/link")
    here = os.open(f"{tmp_path}/tree", os.O_RDONLY)
    for _ in range(3000):  # deeper than PATH_MAX, the recursion limit and RLIMIT_NOFILE
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    parent = os.open(str(tmp_path), os.O_RDONLY)
    remove_tree(parent, b"tree")
    remove_tree(parent, b"tree")
    os.close(parent)
    assert os.listdir(str(tmp_path)) == ["canary"]
    assert os.listdir(canary) == ["kept"]


def test_finding_an_image_takes_less_than_a_millisecond_and_imports_little(store: Store) -> None:
    put_image(store, "app", "x", layers=5)
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        store.find("app")
        best = min(best, time.perf_counter() - start)
    assert best < 0.001
    code = """if True:
        import sys
        before = set(sys.modules)  # an editable install has a hook with imports of its own
        from pycontainer.image.store import Store
        Store(sys.argv[1]).find("app")
        print(*set(sys.modules) - before)
    """
    done = subprocess.run([sys.executable, "-c", code, store.root], capture_output=True, text=True, check=True)
    heavy = "pathlib subprocess logging tarfile requests hashlib asyncio ctypes tempfile shutil threading"
    assert set(heavy.split()).isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("owner", "hint"),
    [(0, "only root may write to this store"), (1000, "chmod u+wx {}"), (1001, "it belongs to another user, 1001")],
)
def test_who_may_not_write_is_told_who_may(tmp_path, monkeypatch, owner, hint):
    found = os.stat(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(
        os,
        "stat",
        lambda path: os.stat_result((*found[:4], owner, *found[5:])) if path == str(tmp_path) else os.lstat(path),
    )
    refused = disk.trouble(f"{tmp_path}/not/yet", "can't make it", PermissionError(errno.EACCES, "Permission denied"))
    assert (refused.message, refused.hint) == ("can't make it: Permission denied", hint.format(tmp_path))
