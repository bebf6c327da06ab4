from __future__ import annotations

import json
import re
import time

import pytest

from pycontainer.cli import df, human, images, listing, ps
from pycontainer.engine.containers import Container
from pycontainer.engine.disk_usage import ContainerUsage, Usage
from pycontainer.engine.options import Roots
from pycontainer.errors import NotFound, UsageError
from pycontainer.image.manifest import Descriptor, ImageConfig
from pycontainer.image.model import Image

HOUR, DAY = 3600, 86400
ROOTS = Roots("/nowhere", "/nowhere")
DIGEST = "sha256:" + "d" * 64


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (HOUR, "About an hour"),
        (1.6 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (731 * DAY, "2 years"),
    ],
)
def test_durations_are_worded_as_docker_words_them(seconds, words):
    assert human.duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (7_834_567, "7.83MB"),
        (117_400_000, "117MB"),
        (999_900_000, "1000MB"),
        (1.95e9, "1.95GB"),
    ],
)
def test_sizes_have_three_digits_and_decimal_units(number, text):
    assert human.size(number) == text


def test_columns_are_three_apart_and_ten_wide():
    assert listing.tabulate([["A", "LONG HEADER", "C"], ["1", "2", "3"]]) == [
        "A         LONG HEADER   C",
        "1         2             3",
    ]


def image(id_: str, *names: str, created: str = "2026-01-01T00:00:00Z", labels: dict[str, str] | None = None) -> Image:
    return Image(
        id=f"sha256:{id_ * 64}",
        digest=DIGEST,
        names=names,
        config=ImageConfig(labels=labels or {}),
        layers=(),
        size=4_200_000,
        created=created,
        manifest=Descriptor("", DIGEST, 1),
    )


IMAGES = [
    image("a", "docker.io/library/alpine:latest", "localhost:5000/x/y:v1", created="2026-03-01T00:00:00Z"),
    image("b", f"docker.io/me/app@{DIGEST}", created="2026-02-01T00:00:00.123456789Z", labels={"k": "v"}),
    image("c", created="2026-01-01T00:00:00Z"),
]


def listed(*filters: str) -> list[str]:
    found = images.select(IMAGES, listing.Filters(filters, images.FILTERS))
    return [f"{name.repository}:{name.tag}" for name in found]


def test_every_name_of_an_image_is_a_line_and_a_nameless_one_is_none():
    assert listed() == ["alpine:latest", "localhost:5000/x/y:v1", "me/app:<none>", "<none>:<none>"]


@pytest.mark.parametrize(
    ("filters", "result"),
    [
        (["dangling=true"], ["me/app:<none>", "<none>:<none>"]),
        (["dangling=false"], ["alpine:latest", "localhost:5000/x/y:v1", "me/app:<none>"]),
        (["label=k"], ["me/app:<none>"]),
        (["label=k=w"], []),
        (["reference=alp*"], ["alpine:latest"]),
        (["reference=alpine:latest"], ["alpine:latest"]),
        (["reference=me/*"], ["me/app:<none>"]),
        (["reference=alpine", "reference=me/app"], ["alpine:latest", "me/app:<none>"]),
        (["reference=*"], ["alpine:latest"]),
        (["reference=*/*"], ["me/app:<none>"]),
        (["reference=*/y"], []),
        (["reference=local*/?/[^x]:v*"], ["localhost:5000/x/y:v1"]),
        (["reference=docker.io/library/alpine"], ["alpine:latest"]),
        (["reference=docker.io/library/alpine:1"], []),
        (["before=alpine"], ["me/app:<none>", "<none>:<none>"]),
        (["since=cccc"], ["alpine:latest", "localhost:5000/x/y:v1", "me/app:<none>"]),
        (["until=2026-01-15T00:00:00"], ["<none>:<none>"]),
    ],
)
def test_images_are_filtered_as_docker_filters_them(filters, result):
    assert listed(*filters) == result


def test_in_a_filter_too_a_name_comes_before_the_beginning_of_an_id():
    two = [
        image("a", created="2026-03-01T00:00:00Z"),
        image("b", "docker.io/library/aa:latest", created="2026-02-01T00:00:00Z"),
        image("c", created="2026-01-01T00:00:00Z"),
    ]
    found = images.select(two, listing.Filters(["before=aa"], images.FILTERS))
    assert [name.image.id[7] for name in found] == ["c"]


@pytest.mark.parametrize("text", ["nope=1", "dangling", "until=soon", "before=nope", "since=", "dangling=maybe"])
def test_a_wrong_filter_of_images_is_a_usage_error(text):
    with pytest.raises(UsageError):
        listed(text)


def test_the_list_of_images_has_dockers_columns(capsys):
    rows = [images.row(name, short=True) for name in images.names(IMAGES[0])]
    rows = [{**row, "CreatedSince": "2 weeks ago"} for row in rows]
    listing.write(rows, images.HEADERS, "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}", "")
    assert capsys.readouterr().out == (
        "REPOSITORY           TAG       IMAGE ID       CREATED       SIZE\n"
        "alpine               latest    aaaaaaaaaaaa   2 weeks ago   4.2MB\n"
        "localhost:5000/x/y   v1        aaaaaaaaaaaa   2 weeks ago   4.2MB\n"
    )


NOW = time.time()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment at which the containers below are as old as they say, however long the run takes."""
    monkeypatch.setattr("time.time", lambda: NOW)


RUNNING = Container(
    id="1" * 64, name="web", image="alpine", image_id=f"sha256:{'a' * 64}", command=("sh", "-c", "sleep 1000000000"),
    created=NOW - 200, state="running", started=NOW - 190, pid=7, labels={"k": "v"}, mounts=("/data",),
)  # fmt: skip
ENDED = Container(
    id="2" * 64, name="job", image="me/app", image_id=f"sha256:{'b' * 64}", command=("true",),
    created=NOW - 300, state="exited", exit_code=3, finished=NOW - 60,
)  # fmt: skip
MADE = Container(id="3" * 64, name="new", image="x", image_id="sha256:c", command=("x",), created=NOW - 400)
EVERYTHING = [RUNNING, ENDED, MADE]


def shown(*filters: str, every: bool = False) -> list[str]:
    return [c.name for c in ps.select(EVERYTHING, listing.Filters(filters, ps.FILTERS), every=every)]


@pytest.mark.parametrize(
    ("filters", "every", "result"),
    [
        ([], False, ["web"]),
        ([], True, ["web", "job", "new"]),
        (["status=exited"], False, ["job"]),
        (["status=created", "status=exited"], False, ["job", "new"]),
        (["exited=3"], False, ["job"]),
        (["exited=0"], False, []),
        (["name=we"], True, ["web"]),
        (["name=^we$"], True, []),
        (["name=^/web$"], True, ["web"]),
        (["name=^web$"], True, ["web"]),
        (["id=22"], True, ["job"]),
        (["label=k"], True, ["web"]),
        (["label=k=v", "label=other"], True, []),
        (["ancestor=alpine:latest"], True, ["web"]),
        (["ancestor=bbbbbbbb"], True, ["job"]),
        (["volume=/data"], True, ["web"]),
        (["before=job"], True, ["new"]),
        (["since=new"], True, ["web", "job"]),
        (["network=bridge"], True, ["web", "job", "new"]),
        (["network=lan"], True, []),
    ],
)
def test_containers_are_filtered_as_docker_filters_them(filters, every, result):
    assert shown(*filters, every=every) == result


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("status=up", UsageError),
        ("exited=x", UsageError),
        ("name=(", UsageError),
        ("x=y", UsageError),
        ("before=zz", NotFound),
    ],
)
def test_a_wrong_filter_of_containers_is_an_error(text, error):
    with pytest.raises(error):
        shown(text, every=True)


def test_the_list_of_containers_has_dockers_columns(capsys):
    rows = [ps.row(ROOTS, container, short=True, size=False) for container in EVERYTHING]
    listing.write([{**row, "Ports": ""} for row in rows], ps.HEADERS, ps.DEFAULT, "")
    assert [re.split(r" {3,}", line) for line in capsys.readouterr().out.splitlines()] == [
        ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"],
        ["1" * 12, "alpine", '"sh -c \'sleep 100000…"', "3 minutes ago", "Up 3 minutes", "web"],
        ["2" * 12, "me/app", '"true"', "5 minutes ago", "Exited (3) About a minute ago", "job"],
        ["3" * 12, "x", '"x"', "6 minutes ago", "Created", "new"],
    ]


def test_a_command_looks_alike_in_every_list():
    rows = df._containers(ROOTS, Usage((), tuple(ContainerUsage(one, 0) for one in EVERYTHING), 0, 0))
    assert [row["Command"] for row in rows] == ['"sh -c \'sleep 100000…"', '"true"', '"x"']


def lines(form: str, capsys) -> list[str]:
    rows = [ps.row(ROOTS, container, short=True, size=False) for container in EVERYTHING]
    listing.write(rows, ps.HEADERS, ps.DEFAULT, form)
    return capsys.readouterr().out.splitlines()


def test_a_list_may_be_json_a_template_or_a_table_of_a_template(capsys):
    assert json.loads(lines("json", capsys)[0])["Names"] == "web"
    assert lines('{{.Names}}: {{.Label "k"}}', capsys) == ["web: v", "job: ", "new: "]
    assert lines("table {{.Names}}\\t{{.State}}", capsys) == [
        "NAMES     STATE",
        "web       running",
        "job       exited",
        "new       created",
    ]


def test_a_label_can_not_command_the_terminal(capsys):
    listing.write([{"A": "\x1b[31mred"}], {"A": "A"}, "{{.A}}", "")
    assert "\x1b" not in capsys.readouterr().out
