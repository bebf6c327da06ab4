"""ps: every column, filter and format of docker's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.cli import Pyc, sh
from tests.support.states import look, until_state

pytestmark = pytest.mark.root


@pytest.fixture
def crowd(stocked: Pyc, image: str) -> Iterator[Pyc]:
    """``web`` runs, ``still`` is paused, ``job`` has exited with 3, ``new`` was never started."""
    stocked(
        "run", "-d", "--name", "web", "-l", "tier=front", "-l", "v=1", "-v", "/tmp:/data", image, "sleep", "60"
    ).ok()
    stocked("run", "-d", "--name", "still", "-l", "tier=back", "--expose", "80", image, "sleep", "60").ok()
    stocked("pause", "still").ok()
    assert stocked("run", "--name", "job", "-v", "stuff:/stuff", image, *sh("echo 12345 > /file; exit 3")).code == 3
    stocked("create", "--name", "new", "--network", "none", image, "echo", "a very long command line").ok()
    yield stocked
    stocked("rm", "-f", "web", "still", "job", "new")
    stocked("volume", "rm", "stuff")


def names(pyc: Pyc, *flags: str) -> list[str]:
    return pyc("ps", *flags, "--format", "{{.Names}}").ok().lines


def test_which_are_shown(crowd: Pyc) -> None:
    assert names(crowd) == ["still", "web"]
    assert names(crowd, "-a") == ["new", "job", "still", "web"]
    assert names(crowd, "-n", "2") == ["new", "job"]
    assert names(crowd, "-l") == ["new"]
    assert crowd("ps", "-q", "--no-trunc").lines == [look(crowd, name).id for name in ("still", "web")]
    assert crowd("container", "ls", "-aq").lines == crowd("ps", "-aq").lines
    assert all(re.fullmatch("[0-9a-f]{12}", line) for line in crowd("ps", "-q").lines)


FILTERS: dict[tuple[str, ...], list[str]] = {
    ("status=running",): ["web"],
    ("status=paused",): ["still"],
    ("status=exited", "status=created"): ["new", "job"],
    ("status=restarting",): [],
    ("status=dead",): [],
    ("exited=3",): ["job"],
    ("exited=0",): [],
    ("name=we",): ["web"],
    ("name=^w",): ["web"],
    ("name=web", "name=job"): ["job", "web"],
    ("label=tier",): ["still", "web"],
    ("label=tier=front",): ["web"],
    ("label=tier=front", "label=v=2"): [],
    ("before=job",): ["still", "web"],
    ("since=still",): ["new", "job"],
    ("since=web", "before=new"): ["job", "still"],
    ("volume=/tmp",): ["web"],
    ("volume=stuff",): ["job"],
    ("health=none",): ["new", "job", "still", "web"],
    ("health=healthy",): [],
    ("is-task=false",): ["new", "job", "still", "web"],
    ("is-task=true",): [],
    ("network=none",): ["new", "job", "still", "web"],
    ("network=nowhere",): [],
    ("publish=80",): [],
}


def test_filters(crowd: Pyc) -> None:
    for flags, expected in FILTERS.items():
        assert names(crowd, "-a", *(word for flag in flags for word in ("-f", flag))) == expected, flags


def test_filters_by_id_and_image(crowd: Pyc, image: str) -> None:
    web = look(crowd, "web")
    assert names(crowd, "-f", f"id={web.id[:8]}") == ["web"]
    for text in (image, image + ":latest", web.image_id, web.image_id[7:19]):
        assert names(crowd, "-f", f"ancestor={text}") == ["still", "web"]
    assert names(crowd, "-f", "ancestor=nothing") == []


def test_wrong_filters_are_refused(crowd: Pyc) -> None:
    for text in ("nonsense=1", "status=asleep", "exited=x", "name=[", "before=nobody", "label"):
        refused = crowd("ps", "-f", text)
        assert refused.code == 125, text
        assert refused.stderr.count("\n") <= 2


def test_columns(crowd: Pyc, image: str) -> None:
    fields = "ID Image Command CreatedAt RunningFor Ports State Status Size Names Labels Mounts LocalVolumes Networks"
    template = "\t".join(f"{{{{.{field}}}}}" for field in fields.split())
    rows = {
        row["Names"]: row
        for line in crowd("ps", "-as", "--format", template).lines
        for row in [dict(zip(fields.split(), line.split("\t"), strict=True))]
    }
    web, job, still, new = rows["web"], rows["job"], rows["still"], rows["new"]
    assert (web["ID"], web["Image"], web["Command"]) == (look(crowd, "web").id[:12], image, '"sleep 60"')
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \S+", web["CreatedAt"])
    assert (web["State"], still["State"], job["State"], new["State"]) == ("running", "paused", "exited", "created")
    assert web["Status"].startswith("Up ") and still["Status"].endswith(" (Paused)")
    assert job["Status"].startswith("Exited (3) ") and new["Status"] == "Created"
    assert "tier=front" in web["Labels"] and "v=1" in web["Labels"]
    assert (web["Mounts"], job["Mounts"], web["LocalVolumes"], job["LocalVolumes"]) == ("/tmp", "stuff", "0", "1")
    assert job["Size"].startswith("6B") and new["Command"] == '"echo \'a very long c…"'
    assert (new["Networks"], new["Ports"]) == ("none", "")


def test_formats(crowd: Pyc) -> None:
    assert crowd("ps", "--format", '{{.Label "tier"}}').lines == ["back", "front"]
    assert crowd("ps", "--format", "table {{.Names}}\\t{{.State}}").lines[0].split() == ["NAMES", "STATE"]
    documents = [json.loads(line) for line in crowd("ps", "--format", "json").lines]
    assert [document["Names"] for document in documents] == ["still", "web"]
    long = crowd("ps", "-a", "--no-trunc", "-f", "name=new").lines[1]
    assert "a very long command line" in long
    assert crowd("ps", "--format", "{{.Nothing}}").code != 0


def test_a_container_that_ends_is_seen_to(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("exit 2")).ok()
    until_state(stocked, "box", "exited")
    assert stocked("ps", "-a", "--format", "{{.Status}}", "-f", "name=box").stdout.startswith("Exited (2) ")
