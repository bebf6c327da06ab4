from __future__ import annotations

import io
import json

from pycontainer.explain.jsonlines import JsonNarrator
from pycontainer.explain.pull import PullNarrator
from pycontainer.image.events import Event

DIGEST = "sha256:" + "ab" * 32
EVENTS = (
    Event("request", text="GET http://127.0.0.1:5000/v2/x/manifests/latest"),
    Event("manifest", DIGEST, 405, 405, "manifest with 2 layers"),
    Event("layer", DIGEST, total=1000, text="layer is needed"),
    Event("download", DIGEST, 500, 1000),
    Event("verified", DIGEST, 1000, 1000, "digest and size are right"),
    Event("verified", "sha256:" + "cd" * 32, 7, 7, "digest and size are right"),
    Event("something new", text="nobody explained it yet"),
)


def words() -> str:
    stream = io.StringIO()
    narrator = PullNarrator(stream)
    for event in EVENTS:
        narrator(event)
    narrator.close()
    return stream.getvalue()


def test_each_event_is_told_with_its_digest_and_size() -> None:
    assert "      sha256:abababababab...  manifest with 2 layers, 405 bytes\n" in words()
    assert "      GET http://127.0.0.1:5000/v2/x/manifests/latest\n" in words()


def test_a_reason_is_given_once_per_kind() -> None:
    assert words().count("Verify the blobs") == 1 and words().count("digest and size are right") == 2


def test_progress_is_no_event_of_its_own() -> None:
    assert words().count("abababababab") == 3


def test_an_unknown_kind_is_told_all_the_same() -> None:
    assert "nobody explained it yet" in words()


def test_json_has_the_same_events_with_whole_digests() -> None:
    file = io.StringIO()
    for event in EVENTS:
        JsonNarrator(file).pulled(event)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["pull"] for line in lines] == [e.kind for e in EVENTS if e.kind != "download"]
    assert lines[1] == {"pull": "manifest", "digest": DIGEST, "bytes": 405, "text": "manifest with 2 layers"}
