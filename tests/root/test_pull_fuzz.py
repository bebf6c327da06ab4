"""A registry whose documents went wrong: a pull ends with an image or one clean line, soon, in little memory."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pycontainer.engine.image.pull import pull
from pycontainer.errors import PycError
from pycontainer.image import manifest as m
from pycontainer.image import unsynced
from pycontainer.image.model import Image
from pycontainer.image.platform import host
from pycontainer.image.reference import Reference
from pycontainer.image.registry import Patience
from pycontainer.image.store import Store
from tests.support.fake_registry import FakeRegistry, descriptor
from tests.support.mutations import mutate
from tests.support.tars import directory, member, tar

pytestmark = pytest.mark.root

PULLS = 500
HASTY = Patience(tries=2, pause=0.001, connect=2, stall=2)
MEMORY = 150 << 20
"""Bytes that all pulls together may take at their peak: documents are at most 4 MiB, and take some 20 times as much."""
CONFIG: dict[str, Any] = {
    "architecture": host().architecture,
    "os": "linux",
    "created": "2026-01-01T00:00:00Z",
    "author": "somebody",
    "config": {
        "Env": ["PATH=/bin", "HOME=/root"],
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "true"],
        "User": "1000:1000",
        "WorkingDir": "/w",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"a": "b"},
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 3},
        "Shell": ["/bin/sh", "-c"],
        "OnBuild": ["RUN true"],
        "ArgsEscaped": True,
    },
    "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "x", "comment": "y"}, {"empty_layer": True}],
}


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.add_image("app:1", [tar(directory(b"bin"), member(b"bin/sh", b"#!"))], config=CONFIG)
        yield registry


class Documents:
    """The good documents of an image, and a way to serve it with one of them gone wrong."""

    def __init__(self, fake: FakeRegistry) -> None:
        self.fake = fake
        self.manifest = fake.manifests["app", "1"][0]
        parsed = json.loads(self.manifest)
        self.config_digest = parsed["config"]["digest"]
        self.config = fake.blobs[self.config_digest]
        platform = {"os": "linux", "architecture": host().architecture}
        entry = descriptor(m.OCI_MANIFEST, self.manifest, platform=platform, annotations={"a": "b"})
        other = {**entry, "platform": {"os": "linux", "architecture": "s390x", "variant": "v1"}}
        index = {"schemaVersion": 2, "mediaType": m.OCI_INDEX, "manifests": [other, entry], "annotations": {}}
        self.index = json.dumps(index).encode()

    def serve(self, kind: str, rng: random.Random) -> None:
        """Serve the image with a ``kind`` that went wrong, whose digest is right all the same."""
        if kind == "config":
            wrong = mutate(self.config, rng)
            self.fake.add_blob(wrong)
            parsed = json.loads(self.manifest)
            parsed["config"] = descriptor(m.OCI_CONFIG, wrong)
            self.fake.add_manifest("app", "1", json.dumps(parsed).encode())
        elif kind == "manifest":
            media_type = rng.choice((m.OCI_MANIFEST, m.OCI_MANIFEST, m.DOCKER_MANIFEST, m.OCI_INDEX, "text/plain"))
            self.fake.add_manifest("app", "1", mutate(self.manifest, rng), media_type)
        elif kind == "index":
            media_type = rng.choice((m.OCI_INDEX, m.OCI_INDEX, m.DOCKER_INDEX, m.OCI_MANIFEST))
            self.fake.add_manifest("app", "1", mutate(self.index, rng), media_type)
        else:  # a manifest behind an index
            wrong = mutate(self.manifest, rng)
            self.fake.add_manifest("app", "behind", wrong)
            index = json.loads(self.index)
            index["manifests"][1] = descriptor(m.OCI_MANIFEST, wrong, platform=index["manifests"][1]["platform"])
            self.fake.add_manifest("app", "1", json.dumps(index).encode(), m.OCI_INDEX)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def check_error(error: PycError) -> None:
    """It is one line that can be shown."""
    for text in (error.message, error.hint):
        assert "\n" not in text and "\r" not in text and "\x1b" not in text
        assert len(text.encode()) < 2000


def check_image(image: Image) -> None:
    """Whatever is shown of it, or becomes an argument of a program, is text."""
    json.dumps(image.config._asdict() | {"labels": dict(image.config.labels)}, ensure_ascii=False).encode()
    for word in (*image.config.entrypoint, *image.config.cmd, *image.config.env, image.config.working_dir):
        assert "\0" not in word


@pytest.mark.slow
def test_five_hundred_documents_that_went_wrong_never_give_anything_but_a_clean_error(
    fake: FakeRegistry, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsynced, "settle_later", lambda store: None)  # a process that outlives the test
    documents, store, rng = Documents(fake), Store(f"{tmp_path}/root"), random.Random(11)
    reference = Reference.parse(f"{fake.host}/app:1")
    pull(store, reference, patience=HASTY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    threads, refused = threading.active_count(), 0
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("a pull hangs"))
    try:
        for number in range(PULLS):
            signal.alarm(10)
            documents.serve(("manifest", "config", "index", "behind")[number % 4], rng)
            try:
                check_image(pull(store, reference, patience=HASTY))
            except PycError as error:
                refused += 1
                check_error(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert refused > PULLS * 0.7
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    wait_until(lambda: threading.active_count() <= threads + 1)
    assert os.listdir(store.staging) == []
    for image in store.images():
        check_image(image)


def test_three_thousand_more_are_only_read(fake: FakeRegistry) -> None:
    documents, rng = Documents(fake), random.Random(12)
    good = [
        (documents.manifest, m.parse_document),
        (documents.index, m.parse_document),
        (documents.config, m.parse_config),
    ]
    refused = 0
    for _ in range(1000):
        for data, parse in good:
            try:
                parse(mutate(data, rng))  # type: ignore[operator]
            except PycError as error:
                refused += 1
                check_error(error)
    assert refused > 1500
