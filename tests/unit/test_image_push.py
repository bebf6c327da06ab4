from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pycontainer.errors import RegistryError, VerificationError
from pycontainer.image import manifest as m
from pycontainer.image.manifest import Descriptor
from pycontainer.image.push import Pusher
from pycontainer.image.registries_conf import Endpoint
from pycontainer.image.registry import Patience
from tests.support.fake_registry import digest_of
from tests.support.push_registry import PushHandler, PushRegistry

DATA = os.urandom(3 << 20)
PATIENCE = Patience(tries=3, pause=0.01, connect=2, stall=2)


@pytest.fixture
def fake() -> Iterator[PushRegistry]:
    with PushRegistry() as registry:
        yield registry


@pytest.fixture
def blob(tmp_path) -> tuple[Descriptor, str]:
    path = f"{tmp_path}/blob"
    with open(path, "wb") as file:
        file.write(DATA)
    return Descriptor("application/octet-stream", digest_of(DATA), len(DATA)), path


def pusher(fake: PushRegistry, **options) -> Pusher:
    made = Pusher(Endpoint(fake.host, "own/thing"), patience=PATIENCE, **options)
    made.has_blob(Descriptor("", digest_of(b"?"), 1))
    fake.calls.clear()
    return made


def once(method: str, action) -> None:
    """A rule that acts on the first request of a method."""
    left = [1]

    def rule(handler: PushHandler) -> bool:
        return bool(handler.command == method and left and left.pop() and action(handler))

    return rule


def test_a_whole_blob_is_one_post_and_one_put(fake, blob):
    events = []
    pusher(fake).upload(*blob, report=events.append)
    assert fake.methods() == "POST PUT"
    assert fake.blobs[blob[0].digest] == DATA
    assert [(event.done, event.total) for event in events][-1] == (len(DATA), len(DATA))


def test_chunks_are_patches_in_order(fake, blob):
    pusher(fake, chunk=1 << 20).upload(*blob)
    assert fake.methods() == "POST PATCH PATCH PATCH PUT"
    ranges = [headers["Content-Range"] for method, _, headers in fake.calls if method == "PATCH"]
    assert ranges == ["0-1048575", "1048576-2097151", "2097152-3145727"]
    assert fake.blobs[blob[0].digest] == DATA


def test_a_registry_may_want_larger_chunks(fake, blob):
    fake.answers["OCI-Chunk-Min-Length"] = str(2 << 20)
    pusher(fake, chunk=1 << 20).upload(*blob)
    assert fake.methods() == "POST PATCH PATCH PUT"


def test_an_empty_blob_can_be_sent(fake, tmp_path):
    open(f"{tmp_path}/empty", "w").close()
    pusher(fake).upload(Descriptor("", digest_of(b""), 0), f"{tmp_path}/empty")
    assert fake.blobs[digest_of(b"")] == b""


def test_what_has_arrived_before_a_break_is_not_sent_again(fake, blob):
    fake.rules.append(once("PUT", lambda handler: handler.keep_and_hang_up(2 << 20)))
    pusher(fake).upload(*blob)
    assert fake.methods() == "POST PUT GET PATCH PUT"
    assert [headers["Content-Range"] for method, _, headers in fake.calls if method == "PATCH"] == ["2097152-3145727"]
    assert fake.blobs[blob[0].digest] == DATA


def test_an_upload_that_the_registry_forgot_starts_over(fake, blob):
    def forget(handler: PushHandler) -> bool:
        fake.uploads.clear()
        return handler.keep_and_hang_up(0) if fake.uploads else bool(handler.answer(503) or True)

    fake.rules.append(once("PUT", forget))
    pusher(fake).upload(*blob)
    assert fake.methods() == "POST PUT GET DELETE POST PUT"
    assert fake.blobs[blob[0].digest] == DATA


def test_a_proxy_that_finds_the_blob_too_large_gets_chunks(fake, tmp_path):
    data, path = os.urandom(20 << 20), f"{tmp_path}/big"
    with open(path, "wb") as file:
        file.write(data)

    def limit(handler: PushHandler) -> bool:
        length = int(handler.headers.get("Content-Length", 0))
        if length <= 8 << 20:
            return False
        handler.rfile.read(length)
        return bool(handler.answer(413) or True)

    fake.rules.append(limit)
    pusher(fake).upload(Descriptor("", digest_of(data), len(data)), path)
    assert fake.methods() == "POST PUT PATCH PATCH PATCH PATCH PATCH PATCH PUT"
    assert fake.blobs[digest_of(data)] == data


def test_busy_is_waited_for_and_broken_for_ever_is_an_error(fake, blob):
    fake.rules.append(once("POST", lambda handler: handler.answer(429, headers={"Retry-After": "0"}) or True))
    pusher(fake).upload(*blob)
    assert fake.methods() == "POST POST PUT"
    fake.rules.append(lambda handler: handler.command == "PUT" and bool(handler.answer(503) or True))
    with pytest.raises(RegistryError, match="broke at byte 0: it answered 503"):
        pusher(fake).upload(*blob)


def test_a_damaged_file_is_said_to_be_one(fake, blob):
    with open(blob[1], "r+b") as file:
        file.write(b"damage")
    with pytest.raises(VerificationError, match="with another digest"):
        pusher(fake).upload(*blob)
    assert fake.methods() == "POST PUT"


@pytest.mark.parametrize(("status", "words"), [
    (401, "wants authentication"), (403, "denies access"), (404, "takes no pushes"), (405, "takes no pushes"),
])  # fmt: skip
def test_a_refusal_is_said_as_what_it_is(fake, blob, status: int, words: str):
    fake.rules.append(lambda handler: handler.command == "POST" and bool(handler.answer(status) or True))
    with pytest.raises(RegistryError, match=words):
        pusher(fake).upload(*blob)


@pytest.mark.parametrize("location", ["", "ftp://x/y", "http://elsewhere.test/upload"])
def test_an_upload_goes_nowhere_it_should_not(fake, blob, location: str):
    fake.rules.append(once("POST", lambda handler: handler.answer(202, headers={"Location": location}) or True))
    with pytest.raises(RegistryError):
        pusher(fake).upload(*blob)
    assert fake.methods() == "POST"


def test_a_mount_needs_no_bytes_and_falls_back_to_an_upload(fake, blob):
    fake.mountable["other/place", blob[0].digest] = DATA
    sender = pusher(fake, mounts=("no/such", "other/place"))
    assert sender.mount(blob[0], ["no/such", "other/place"]) == ("other/place", "")
    assert fake.methods() == "POST POST DELETE"
    fake.mountable.clear()
    source, location = sender.mount(blob[0], ["other/place"])
    assert source == ""
    sender.upload(*blob, location=location)
    assert fake.blobs[blob[0].digest] == DATA


def test_a_token_covers_the_push_and_every_mount(fake, blob):
    asked = []

    def guard(handler: PushHandler) -> bool:
        if handler.path.startswith("/token"):
            asked.append(handler.path)
            return bool(handler.answer(200, b'{"token": "secret"}') or True)
        if handler.headers.get("Authorization") == "Bearer secret":
            return False
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        challenge = f'Bearer realm="{fake.url}/token",service="x",scope="repository:own/thing:pull"'
        return bool(handler.answer(401, headers={"WWW-Authenticate": challenge}) or True)

    fake.rules.append(guard)
    sender = pusher(fake, mounts=("a/b",))
    sender.upload(*blob)
    assert len(asked) == 1
    assert "scope=repository%3Aown%2Fthing%3Apull%2Cpush" in asked[0]
    assert "scope=repository%3Aa%2Fb%3Apull" in asked[0]


def test_a_registry_that_received_another_manifest_is_caught(fake):
    def lie(handler: PushHandler) -> bool:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        return bool(handler.answer(201, headers={"Docker-Content-Digest": digest_of(b"other")}) or True)

    sender = pusher(fake)
    sender.put_manifest("v1", b"{}", m.OCI_MANIFEST, digest_of(b"{}"))
    assert sender.manifest_digest(digest_of(b"{}")) == digest_of(b"{}")
    fake.rules.append(once("PUT", lie))
    with pytest.raises(VerificationError):
        sender.put_manifest("v1", b"{}", m.OCI_MANIFEST, digest_of(b"{}"))


def test_a_blob_of_another_size_under_the_same_digest_is_noticed(fake, blob):
    fake.blobs[blob[0].digest] = b"short"
    with pytest.raises(VerificationError):
        pusher(fake).has_blob(blob[0])
