"""Pulling from a registry that may lie: what ends up in the store is right and whole, or nothing."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import zstandard

from pycontainer.engine.image.history import history
from pycontainer.engine.image.pull import pull
from pycontainer.engine.inspect import image_document
from pycontainer.errors import ImageError, LayerError, NotFound, RegistryError, StoreError, VerificationError
from pycontainer.image import garbage, staging, unsynced
from pycontainer.image import manifest as m
from pycontainer.image.events import Event
from pycontainer.image.model import Image
from pycontainer.image.platform import Platform, host
from pycontainer.image.reference import Reference
from pycontainer.image.registry import Patience
from pycontainer.image.removal import remove
from pycontainer.image.store import Store
from tests.support.fake_registry import FakeRegistry, Handler, descriptor, digest_of, when
from tests.support.tars import directory, member, symlink, tar

pytestmark = pytest.mark.root

HASTY = Patience(tries=3, pause=0.01, connect=2, stall=2)
BASE = tar(
    directory(b"bin", mode=0o755), member(b"bin/sh", b"#!" + os.urandom(300_000), mode=0o755), symlink(b"l", b"bin")
)
TOP = tar(member(b"bin/.wh.sh"), member(b"bin/new", os.urandom(5_000_000)))
ARCHITECTURE = host().architecture


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def store(tmp_path: object) -> Store:
    return Store(f"{tmp_path}/root")


def get(
    store: Store, fake: FakeRegistry, name: str = "app:1", *, platform: str = "", events: list[Event] | None = None
) -> Image:
    heard: list[Event] = [] if events is None else events
    wanted = Platform.parse(platform) if platform else None
    reference = Reference.parse(f"{fake.host}/{name}")
    return pull(store, reference, platform=wanted, progress=heard.append, patience=HASTY)


@pytest.fixture(autouse=True)
def nothing_half_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After every test: no image that is not whole, nothing in tmp but partial blobs, no lock held."""
    monkeypatch.setattr(unsynced, "settle_later", lambda store: None)  # a process that outlives the test
    yield
    if not os.path.exists(store.root):
        return
    for image in store.images():
        for layer in image.layers:
            assert os.path.isdir(layer.path_of_fs)
    assert [name for name in os.listdir(store.staging) if not name.startswith("blob.")] == []
    garbage.collect(store)
    for name in os.listdir(f"{store.oci}/blobs/sha256"):
        with open(f"{store.oci}/blobs/sha256/{name}", "rb") as file:
            assert digest_of(file.read()) == f"sha256:{name}"


def test_an_image_is_pulled_whole_and_verified(store: Store, fake: FakeRegistry) -> None:
    manifest = fake.add_image("app:1", [BASE, TOP])
    events: list[Event] = []
    image = get(store, fake, events=events)
    assert store.find(f"{fake.host}/app:1") == image
    assert image.digest == image.manifest.digest == digest_of(manifest)
    assert image.config.cmd == ("/bin/sh",)
    assert [layer.diff_id for layer in image.layers] == [digest_of(BASE), digest_of(TOP)]
    assert os.listdir(image.layers[0].path_of_fs + "/bin") == ["sh"]
    assert image.layers[1].facts.whiteouts == 1
    assert image.size == 300_002 + 5_000_000
    kinds = [event.kind for event in events]
    assert kinds.index("manifest") < kinds.index("config") < kinds.index("layer") < kinds.index("unpacked")
    assert kinds.count("unpacked") == 2
    assert kinds.count("verified") == 3
    assert kinds[-1] == "image"
    assert any("1 whiteouts applied" in event.text for event in events)


def test_the_layout_is_one_that_other_tools_read(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE])
    image = get(store, fake)
    with open(f"{store.oci}/oci-layout") as file:
        assert json.load(file) == {"imageLayoutVersion": "1.0.0"}
    with open(f"{store.oci}/index.json") as file:
        (entry,) = json.load(file)["manifests"]
    assert entry["digest"] == image.manifest.digest
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == f"{fake.host}/app:1"


@pytest.mark.peers
def test_skopeo_and_umoci_read_the_store(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE])
    image = get(store, fake)
    inspect = ["skopeo", "inspect", f"oci:{store.oci}:{fake.host}/app:1"]
    done = subprocess.run(inspect, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["Digest"] == image.digest
    done = subprocess.run(["umoci", "ls", "--layout", store.oci], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{fake.host}/app:1"]


PACKS = {
    "gzip": (lambda tar: gzip.compress(tar), "application/vnd.oci.image.layer.v1.tar+gzip"),
    "zstd": (zstandard.compress, "application/vnd.oci.image.layer.v1.tar+zstd"),
    "plain": (lambda tar: tar, "application/vnd.oci.image.layer.v1.tar"),
    "docker": (lambda tar: gzip.compress(tar), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    "announced wrongly": (zstandard.compress, "application/vnd.oci.image.layer.v1.tar+gzip"),
}


@pytest.mark.parametrize("how", PACKS)
def test_a_layer_in_any_compression_gives_the_same_files(store: Store, fake: FakeRegistry, how: str) -> None:
    pack, kind = PACKS[how]
    fake.add_image("app:1", [BASE], pack=pack, kind=kind)
    assert get(store, fake).layers[0].facts.entries == 3


def test_an_empty_layer_and_one_that_comes_twice_are_fine(store: Store, fake: FakeRegistry) -> None:
    empty = bytes(1024)
    fake.add_image("app:1", [empty, BASE, empty, BASE])
    image = get(store, fake)
    assert [layer.facts.entries for layer in image.layers] == [0, 3, 0, 3]
    assert len(os.listdir(store.layers)) == 2


def test_layers_below_an_opaque_root_are_not_stacked(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE, tar(member(b".wh..wh..opq"), member(b"only", b"x")), tar(member(b"top", b"y"))])
    image = get(store, fake)
    assert [os.listdir(layer.path_of_fs) for layer in image.stack] == [["only"], ["top"]]
    assert [len(steps) for steps in (image.layers, history(image))] == [3, 3]
    assert [step.size for step in history(image)][:2] == [1, 1]
    shown = image_document(image)
    assert shown["RootFS"]["Layers"] == list(image.config.diff_ids)
    assert shown["GraphDriver"]["Data"]["LowerDir"].count(":") == 1


def test_120_layers(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [tar(member(b"f%d" % number, b"%d" % number)) for number in range(120)])
    assert len(get(store, fake).layers) == 120


def test_a_second_pull_asks_for_the_manifest_and_nothing_else(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE, TOP])
    first = get(store, fake)
    del fake.requests[:]
    events: list[Event] = []
    assert get(store, fake, events=events) == first
    assert [path for path, _ in fake.requests] == ["/v2/app/manifests/1"]
    assert [event.kind for event in events].count("exists") == 2


def test_a_pull_that_finds_nothing_new_does_without_requests(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE])
    first = get(store, fake)
    code = f"""if True:
        import sys
        from pycontainer.engine.image.pull import pull
        from pycontainer.image.reference import Reference
        from pycontainer.image.store import Store
        print(pull(Store({store.root!r}), Reference.parse("{fake.host}/app:1")).id, "requests" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [first.id, "False"]
    fake.add_image("app:1", [BASE, TOP])  # what is new is fetched all the same
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [store.find(f"{fake.host}/app:1").id, "True"]
    assert done.stdout.split()[0] != first.id


def test_layers_shared_with_another_image_are_not_fetched_again(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE])
    fake.add_image("app:2", [BASE, TOP])
    get(store, fake, "app:1")
    del fake.requests[:]
    get(store, fake, "app:2")
    assert len(fake.paths("/blobs/")) == 2  # the config and the new layer


def test_a_layer_that_was_lost_is_unpacked_again_from_its_blob(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE])
    image = get(store, fake)
    layer = os.path.dirname(image.layers[0].path_of_fs)
    del fake.requests[:]
    staging.trash(store, layer)
    with pytest.raises(NotFound, match="is missing"):
        store.find(image.id, mend=False)
    assert get(store, fake) == image  # a pull
    assert fake.paths("/blobs/") == []
    del fake.requests[:]
    for damage in LAYER_DAMAGE:
        damage(layer)
        assert store.find(image.id) == image  # a look, without the registry
        assert os.path.getsize(f"{layer}/fs/bin/sh") == 300_002
    assert fake.requests == []


LAYER_DAMAGE = [
    lambda layer: shutil.rmtree(layer),
    lambda layer: shutil.rmtree(f"{layer}/fs"),
    lambda layer: shutil.rmtree(os.path.dirname(layer)),
    lambda layer: os.unlink(f"{layer}/layer.json"),
    lambda layer: os.truncate(f"{layer}/layer.json", 0),
    lambda layer: os.truncate(f"{layer}/layer.json", 20),
]


def test_a_layer_and_its_blob_that_both_were_damaged_are_fetched_anew_by_a_pull(
    store: Store, fake: FakeRegistry
) -> None:
    fake.add_image("app:1", [BASE, TOP])
    image = get(store, fake)
    blob = store.blob_path(store.manifest(image.manifest).layers[0].digest)
    for at in (0, 1000, os.path.getsize(blob) // 2):
        shutil.rmtree(store.layers)
        with open(blob, "r+b") as file:
            file.seek(at)
            file.write(b"\xaa\x55")
        with pytest.raises(NotFound, match=r"layer .* is missing"):
            store.find(image.id)
        del fake.requests[:]
        assert get(store, fake) == image
        assert len(fake.paths("/blobs/")) == 1


def test_what_an_earlier_pull_left_wrong_is_not_continued_for_ever(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [TOP])
    digest = digest_of(fake.blobs[digest_of(gzip.compress(TOP, 1, mtime=0))])
    store.prepare()
    for junk in (b"<html>try again later</html>", bytes(3_000_000), fake.blobs[digest][:100_000] + bytes(9)):
        partial = staging.PartialBlob(store, digest, lambda: None)
        os.write(partial.fd, junk)
        partial.close()
        events: list[Event] = []
        assert get(store, fake, events=events).layers
        assert "fetching anew" in "".join(event.text for event in events if event.kind == "retry")
        remove(store, f"{fake.host}/app:1")


def test_a_tag_that_moves_leaves_the_old_image_without_it(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE])
    old = get(store, fake)
    fake.add_image("app:1", [TOP])
    assert get(store, fake).id != old.id
    assert store.find(old.id).tags == ()


def test_an_image_is_pulled_by_digest(store: Store, fake: FakeRegistry) -> None:
    digest = digest_of(fake.add_image("app:1", [BASE]))
    image = get(store, fake, f"app@{digest}")
    assert image.names == (f"{fake.host}/app@{digest}",)
    assert store.find(f"{fake.host}/app@{digest}") == image
    fake.add_image("app:1", [TOP])
    assert get(store, fake, f"app:1@{digest}") == image


# ---- indexes and platforms


def add_index(fake: FakeRegistry, *entries: dict[str, object], tag: str = "1", kind: str = m.OCI_INDEX) -> bytes:
    data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    fake.add_manifest("app", tag, data, kind)
    return data


def entry(data: bytes, architecture: str, kind: str = m.OCI_MANIFEST, **changes: object) -> dict[str, object]:
    return descriptor(kind, data, platform={"os": "linux", "architecture": architecture}, **changes)


@pytest.mark.parametrize("kind", [m.OCI_INDEX, m.DOCKER_INDEX])
def test_of_an_index_the_image_for_this_machine_is_taken(store: Store, fake: FakeRegistry, kind: str) -> None:
    here = fake.add_image("app:here", [BASE], config={"architecture": ARCHITECTURE})
    there = fake.add_image("app:there", [TOP], config={"architecture": "s390x"})
    data = add_index(fake, entry(there, "s390x"), entry(here, ARCHITECTURE), kind=kind)
    del fake.manifests["app", "here"], fake.manifests["app", "there"]
    events: list[Event] = []
    image = get(store, fake, events=events)
    assert (image.digest, image.manifest.digest) == (digest_of(data), digest_of(here))
    assert store.find(f"{fake.host}/app@{digest_of(data)}") == image
    assert [event.text for event in events if event.kind == "platform"] == [f"chose linux/{ARCHITECTURE}"]
    del fake.requests[:]
    get(store, fake)
    assert len(fake.requests) == 1
    assert get(store, fake, platform="linux/s390x").config.architecture == "s390x"


def test_a_platform_that_the_image_lacks_is_named_with_those_it_has(store: Store, fake: FakeRegistry) -> None:
    there = fake.add_image("app:there", [TOP], config={"architecture": "s390x"})
    unknown = descriptor(m.OCI_MANIFEST, b"attestation", platform={"os": "unknown", "architecture": "unknown"})
    add_index(fake, unknown, entry(there, "s390x"))
    with pytest.raises(ImageError, match=f"has no image for {host()}") as caught:
        get(store, fake)
    assert caught.value.hint == "it has linux/s390x"
    with pytest.raises(ImageError, match="is for linux/s390x, not for linux/riscv64"):
        get(store, fake, "app:there", platform="linux/riscv64")


def test_an_image_for_another_machine_is_pulled_with_a_warning(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE], config={"architecture": "s390x"})
    events: list[Event] = []
    get(store, fake, events=events)
    assert any(event.kind == "warning" and "s390x" in event.text for event in events)


def test_indexes_nested_too_deeply_or_in_a_circle_are_refused(store: Store, fake: FakeRegistry) -> None:
    data = fake.add_image("app:1", [BASE])
    kind = m.OCI_MANIFEST
    for level in range(6):
        data, kind = add_index(fake, entry(data, ARCHITECTURE, kind), tag=f"{level}"), m.OCI_INDEX
    assert get(store, fake, "app:2").layers
    with pytest.raises(ImageError, match="nested more than 4 deep"):
        get(store, fake, "app:5")


def test_a_manifest_that_is_not_what_its_index_says_is_refused(store: Store, fake: FakeRegistry) -> None:
    here = fake.add_image("app:here", [BASE])
    add_index(fake, entry(here, ARCHITECTURE, size=len(here) + 1))
    with pytest.raises(VerificationError, match="promised"):
        get(store, fake)
    add_index(fake, entry(here, ARCHITECTURE, m.DOCKER_MANIFEST))
    with pytest.raises(ImageError):
        get(store, fake)
    add_index(fake, entry(here + b" ", ARCHITECTURE))
    fake.manifests["app", digest_of(here + b" ")] = (here, m.OCI_MANIFEST)
    with pytest.raises(VerificationError, match="has digest"):
        get(store, fake)


# ---- lies


def change_manifest(fake: FakeRegistry, change: dict[str, object], layer: dict[str, object] | None = None) -> None:
    document = json.loads(fake.manifests["app", "1"][0])
    document.update(change)
    document["layers"][0].update(layer or {})
    fake.add_manifest("app", "1", json.dumps(document).encode())


def test_a_blob_with_a_flipped_bit_is_never_seen(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE], pack=lambda tar: tar)
    digest = digest_of(BASE)
    fake.blobs[digest] = BASE[:5000] + bytes([BASE[5000] ^ 1]) + BASE[5001:]
    with pytest.raises(VerificationError, match=f"blob {digest} has digest"):
        get(store, fake)
    assert not os.path.exists(store.blob_path(digest))
    assert os.listdir(store.layers) == []
    assert os.listdir(store.staging) == []
    with pytest.raises(NotFound):
        store.find(f"{fake.host}/app:1")
    fake.blobs[digest] = BASE
    assert get(store, fake).layers


def test_a_blob_that_decompresses_wrongly_is_no_layer(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE], config={"rootfs": {"diff_ids": [digest_of(TOP)]}})
    with pytest.raises(VerificationError, match=f"unpacks to diff ID {digest_of(BASE)}, not {digest_of(TOP)}"):
        get(store, fake)
    assert os.listdir(store.layers) == []


@pytest.mark.parametrize("size", [0, 1, 100, 10_000_000, 1 << 40])
def test_a_size_that_is_a_lie_is_found_out(store: Store, fake: FakeRegistry, size: int) -> None:
    fake.add_image("app:1", [BASE])
    change_manifest(fake, {}, {"size": size})
    with pytest.raises((VerificationError, LayerError)):
        get(store, fake)
    assert os.listdir(store.layers) == []


def test_a_config_and_manifest_that_disagree_about_layers_are_refused(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE], config={"rootfs": {"diff_ids": []}})
    with pytest.raises(ImageError, match="names 0 layers, its manifest 1"):
        get(store, fake)


def test_a_wrong_config_is_refused(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE])
    config = json.loads(fake.manifests["app", "1"][0])["config"]["digest"]
    fake.blobs[config] = fake.blobs[config].replace(b"/bin/sh", b"/bin/no")
    with pytest.raises(VerificationError, match="has digest"):
        get(store, fake)


def test_hostile_layers_end_the_pull_and_leave_nothing(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE, tar(member(b"../canary", b"x")), TOP])
    for _ in range(5):
        with pytest.raises(LayerError, match=r"has a \.\. in its name"):
            get(store, fake)
    assert threading.active_count() < 5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_status_for_a_blob_ends_the_pull(store: Store, fake: FakeRegistry, status: int) -> None:
    fake.add_image("app:1", [BASE])
    fake.rules.append(
        when("/blobs/" + digest_of(gzip.compress(BASE, 1, mtime=0)), lambda h: h.answer(status), forever=True)
    )
    with pytest.raises(RegistryError):
        get(store, fake)
    del fake.rules[:]
    assert get(store, fake).layers


def test_foreign_layers_are_asked_of_the_registry_and_their_urls_of_nobody(store: Store, fake: FakeRegistry) -> None:
    with FakeRegistry() as evil:
        fake.add_image("app:1", [BASE])
        kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        change_manifest(fake, {}, {"mediaType": kind, "urls": [f"{evil.url}/layer"]})
        assert get(store, fake).layers
        assert evil.requests == []


# ---- cuts and crashes


def test_twenty_cuts_cost_no_more_than_a_tenth_of_the_bytes(store: Store, fake: FakeRegistry) -> None:
    layer = tar(member(b"f", os.urandom(20_000_000)))
    fake.add_image("app:1", [layer], pack=lambda tar: tar)
    sent = []

    def cut(handler: Handler) -> bool:
        if digest_of(layer) not in handler.path:
            return False
        start = int(handler.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        length = len(layer) - start if len(sent) >= 20 else min(len(layer) - start, 900_000)
        sent.append(length)
        headers = {"Content-Range": f"bytes {start}-{len(layer) - 1}/{len(layer)}"} if start else {}
        return handler.answer(206 if start else 200, layer[start:], headers, cut=length)

    fake.rules.append(cut)
    for _ in range(30):  # each pull has a few tries, and the next continues
        try:
            get(store, fake)
            break
        except RegistryError as error:
            assert "continues" in error.hint
    assert len(sent) == 21
    assert sum(sent) <= 1.1 * len(layer)


PULL = """if True:
    import signal, sys
    from pycontainer.cli import interrupt
    signal.signal(signal.SIGINT, interrupt)  # as the command has it
    from pycontainer.engine.image.pull import pull
    from pycontainer.image.reference import Reference
    from pycontainer.image.store import Store
    def progress(event):
        print(event.kind, flush=True)
    pull(Store(sys.argv[1]), Reference.parse(sys.argv[2]), progress=progress)
"""


def start_pull(store: Store, fake: FakeRegistry) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PULL, store.root, f"{fake.host}/app:1"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_pull_that_dies_at_any_moment_leaves_the_image_absent_or_whole(
    store: Store, fake: FakeRegistry, how: signal.Signals
) -> None:
    fake.add_image("app:1", [BASE, TOP, tar(member(b"third", os.urandom(3_000_000)))])
    fake.slow_down(300_000)
    store.prepare()
    for delay in (0.0, 0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3):
        process = start_pull(store, fake)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(delay)
        process.send_signal(how)
        process.communicate(timeout=10)
        for image in store.images():
            assert len(image.layers) == 3
        if how == signal.SIGINT:
            assert not [name for name in os.listdir(store.staging) if name.startswith("layer.")]
    assert len(get(store, fake).layers) == 3
    staging.sweep(store)


def test_eight_pulls_at_once_fetch_each_blob_once(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE, TOP])
    fake.slow_down(300_000)
    processes = [start_pull(store, fake) for _ in range(8)]
    outcomes = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outcomes
    blobs = fake.paths("/blobs/")
    assert len(blobs) == len(set(blobs)) == 3
    assert len(get(store, fake).layers) == 2


def test_a_pull_and_a_removal_at_once_never_break_an_image(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE, TOP])
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_removing() -> None:
        while not stop.is_set():
            try:
                remove(Store(store.root), f"{fake.host}/app:1")
            except NotFound:
                pass
            except BaseException as error:
                failures.append(error)

    thread = threading.Thread(target=keep_removing)
    thread.start()
    try:
        for _ in range(15):
            with suppress(NotFound):  # removed between its end and our look at it
                get(store, fake)
    finally:
        stop.set()
        thread.join()
    assert failures == []


def test_a_full_disk_is_one_line_and_the_space_comes_back(fake: FakeRegistry, tmp_path: object) -> None:
    os.mkdir(f"{tmp_path}/small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", f"{tmp_path}/small"], check=True)
    small = Store(f"{tmp_path}/small/root")
    try:
        fake.add_image("app:1", [BASE, tar(member(b"big", os.urandom(6_000_000)))])
        with pytest.raises(StoreError, match=r"No space left|the disk can spare"):
            get(small, fake)
        disk = os.statvfs(small.root)
        assert (disk.f_blocks - disk.f_bfree) * disk.f_frsize < 1 << 20
        fake.add_image("app:1", [BASE])
        assert get(small, fake).layers
    finally:
        subprocess.run(["umount", f"{tmp_path}/small"], check=True)


def test_a_bomb_is_stopped_and_its_space_comes_back(store: Store, fake: FakeRegistry) -> None:
    zeros = bytes(64 << 20)
    bomb = b"".join([tar(member(b"f", b""))[:512], *[zeros] * 2])
    packed = gzip.compress(bomb)
    fake.add_image("app:1", [BASE], pack=lambda tar: packed)
    with pytest.raises((VerificationError, LayerError)):
        get(store, fake)
    assert os.listdir(store.layers) == []


def test_a_listener_that_fails_ends_the_pull(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app:1", [BASE, TOP])

    def listener(event: Event) -> None:
        if event.kind == "layer":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(store, Reference.parse(f"{fake.host}/app:1"), progress=listener, patience=HASTY)
    assert get(store, fake).layers


def test_a_power_cut_after_the_pull_costs_a_pull_but_never_a_wrong_file(
    store: Store, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_image("app:1", [BASE])
    image = get(store, fake)
    with open(f"{image.layers[0].path_of_fs}/bin/sh", "wb"):
        pass  # zero bytes, as delayed allocation leaves it
    monkeypatch.setattr(unsynced, "boot_id", lambda: "0" * 36)
    del fake.requests[:]
    again = store.find(f"{fake.host}/app:1")  # unpacked again
    assert os.path.getsize(f"{again.layers[0].path_of_fs}/bin/sh") == 300_002
    assert get(store, fake) == image
    assert fake.paths("/blobs/") == []
    unsynced.settle(store)


def test_what_was_pulled_is_soon_on_disk_without_anybody_waiting(
    store: Store, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_image("app:1", [BASE])
    monkeypatch.undo()
    get(store, fake)
    deadline = time.monotonic() + 20
    while os.listdir(store.unsynced) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert os.listdir(store.unsynced) == []
