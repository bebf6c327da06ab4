"""events: every verb leaves a line, whoever does it; they are followed, filtered and formatted, and do not pile up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainer import images
from pycontainer.engine import event_reader, events
from pycontainer.engine.moments import now
from pycontainer.engine.options import Roots
from tests.support.cli import Pyc
from tests.support.states import look, until, until_state

pytestmark = pytest.mark.root


def roots_of(pyc: Pyc) -> Roots:
    return Roots(pyc.root, pyc.runroot)


def since(pyc: Pyc, moment: str, *flags: str) -> list[str]:
    """What happened since then: one action a line, with its kind."""
    words = ("--since", moment, "--until", "0s", "--format", "{{.Type}} {{.Action}}", *flags)
    return pyc("events", *words).ok().lines


def test_the_life_of_a_container_in_order(stocked: Pyc, image: str) -> None:
    begin = now()
    stocked("create", "--name", "box", "--stop-signal", "KILL", image, "sleep", "60").ok()
    for words in (("start",), ("pause",), ("unpause",), ("restart",), ("stop",)):
        stocked(*words, "box").ok()
    stocked("rename", "box", "bag").ok()
    stocked("commit", "bag", "events:1").ok()
    stocked("rm", "bag").ok()
    stocked("rmi", "events:1").ok()
    expected = "create start pause unpause kill die stop start restart kill die stop rename commit destroy"
    assert since(stocked, begin, "-f", "type=container") == [f"container {action}" for action in expected.split()]
    assert since(stocked, begin, "-f", "type=image") == ["image untag", "image delete"]


@pytest.mark.parametrize("fate", [signal.SIGCONT, signal.SIGKILL])
def test_an_end_is_told_after_the_start_however_quick(stocked: Pyc, image: str, fate: int) -> None:
    """The monitor tells the end, and whoever starts the container the rest: here, who is stopped until it has ended."""
    begin = now()
    words = ("run", "--network", "none", "--volume", "kept:/kept", "--name", "quick", image, "true")
    with subprocess.Popen(stocked.argv(*words), env=stocked.env(PYC_FP="start.running:pause")) as starter:
        os.waitid(os.P_PID, starter.pid, os.WSTOPPED | os.WNOWAIT)
        until_state(stocked, "quick", "exited")
        os.kill(starter.pid, fate)
    until(lambda: "container die" in since(stocked, begin))
    started = ["volume mount", "container start"] if fate == signal.SIGCONT else []
    after = ["volume unmount"] if fate == signal.SIGCONT else []
    assert since(stocked, begin) == ["volume create", "container create", *started, "container die", *after]
    stocked("rm", "quick").ok()
    stocked("volume", "rm", "kept").ok()


def test_what_is_said_of_each_is_what_docker_says(stocked: Pyc, image: str) -> None:
    begin = now()
    stocked("run", "--name", "box", "-l", "role=front", image, "sh", "-c", "exit 3")
    container_id = look(stocked, "box").id
    stocked("rm", "box").ok()
    words = ("events", "--since", begin, "--until", "0s")
    create, start, die, destroy = map(json.loads, stocked(*words, "--format", "json").lines)
    assert [each["Action"] for each in (create, start, die, destroy)] == ["create", "start", "die", "destroy"]
    for each in (create, start, die, destroy):
        assert (each["Type"], each["scope"], each["id"], each["from"]) == ("container", "local", container_id, image)
        attributes = each["Actor"]["Attributes"]
        assert (attributes["name"], attributes["image"], attributes["role"]) == ("box", image, "front")
        assert each["timeNano"] // 10**9 == each["time"]
    assert die["Actor"]["Attributes"]["exitCode"] == "3" and "exitCode" not in destroy["Actor"]["Attributes"]
    line = stocked(*words, "-f", "event=die").lines[0]
    when, rest = line.split(" ", 1)
    assert rest.startswith(f"container die {container_id} (exitCode=3, image={image}, name=box, ")
    assert len(when.rstrip("Z")) >= 29


def test_images_volumes_and_networks(pyc: Pyc, image: str, tmp_path: os.PathLike[str]) -> None:
    begin = now()
    archive = f"{tmp_path}/image.tar"
    for words in (
        ("pull", "-q", image),
        ("tag", image, "other:2"),
        ("save", "-o", archive, "other:2"),
        ("rmi", "other:2"),
        ("load", "-q", "-i", archive),
        ("volume", "create", "data"),
        ("volume", "rm", "data"),
        ("rmi", "-f", image, "other:2"),
    ):
        pyc(*words).ok()
    of_images, of_volumes = (
        [line for line in since(pyc, begin) if line.startswith(kind)] for kind in ("image", "volume")
    )
    actions = ("pull", "tag", "save", "untag", "load", "untag", "untag", "delete")
    assert of_images == [f"image {action}" for action in actions]
    assert of_volumes == ["volume create", "volume destroy"]
    named = pyc("events", "--since", begin, "--until", "0s", "-f", "image=other:2", "--format", "{{.Action}}").lines
    assert named[:3] == ["tag", "save", "untag"]


def test_images_that_come_and_go_from_python(pyc: Pyc, image: str, tmp_path: os.PathLike[str]) -> None:
    begin, archive = now(), f"{os.fspath(tmp_path)}/python.tar"
    images.pull(image, roots=roots_of(pyc))
    images.tag(image, "other:2", roots=roots_of(pyc))
    images.save(["other:2"], archive, roots=roots_of(pyc))
    images.remove("other:2", roots=roots_of(pyc))
    images.load(archive, roots=roots_of(pyc))
    images.remove(images.get(image, roots=roots_of(pyc)).id, force=True, roots=roots_of(pyc))
    actions = ("pull", "tag", "save", "untag", "load", "untag", "untag", "delete")
    assert since(pyc, begin) == [f"image {action}" for action in actions]


def test_filters_of_one_key_are_alternatives_and_keys_add_up(stocked: Pyc, image: str) -> None:
    begin = now()
    for name in ("one", "two"):
        stocked("run", "--name", name, "-l", f"is={name}", image, "true").ok()
    one = look(stocked, "one").id
    for flags, count in (
        (("-f", "container=one"), 3),
        (("-f", f"container={one[:12]}"), 3),
        (("-f", "container=one", "-f", "container=two"), 6),
        (("-f", "container=one", "-f", "event=die"), 1),
        (("-f", "event=die", "-f", "event=start"), 4),
        (("-f", "label=is=two"), 3),
        (("-f", "label=is"), 6),
        (("-f", f"image={image}"), 6),
        (("-f", "type=volume"), 0),
        (("-f", "daemon=x"), 0),
    ):
        assert len(since(stocked, begin, *flags)) == count, flags
    assert stocked("events", "--until", "0s", "-f", "nonsense=1").code == 125
    assert stocked("events", "--until", "sometime").code == 125


def test_they_are_seen_while_they_happen_and_until_a_time(stocked: Pyc, image: str) -> None:
    follower = stocked.start("events", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
    assert follower.stdout is not None
    until(lambda: os.path.exists(f"/proc/{follower.pid}/fd/3"), "the follower")
    stocked("run", "-d", "--name", "first", image, "true").ok()  # what it sees first tells that it is there
    until_state(stocked, "first", "exited")
    stocked("run", "--name", "box", image, "true").ok()
    seen = b""
    while b"die box" not in seen:
        seen = follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    follower.communicate(timeout=10)
    assert follower.returncode == 130
    assert stocked("events", "--since", "1h", "--until", "1h").stdout == ""


@pytest.fixture
def own(tmp_path: os.PathLike[str]) -> Iterator[Roots]:
    """A state with nothing in it."""
    yield Roots(f"{tmp_path}/root", f"{tmp_path}/runroot")


def test_they_do_not_pile_up_and_a_follower_misses_none(own: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LIMIT", 4000)
    follower = event_reader.read(own, follow=True)
    seen = []
    for number in range(300):
        events.tell(own, "volume", "create", f"v{number}")
        seen.append(next(follower).id)
    assert seen == [f"v{number}" for number in range(300)]
    assert sorted(os.listdir(own.runroot)) == ["events", "events.1"]
    assert all(os.stat(f"{own.runroot}/{name}").st_size < 4200 for name in ("events", "events.1"))
    kept = [happening.id for happening in event_reader.read(own)]
    assert kept == [f"v{number}" for number in range(300 - len(kept), 300)] and len(kept) > 40


def test_many_who_write_at_once_tear_no_line(own: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LIMIT", 20_000)
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            for number in range(200):
                events.tell(own, "volume", "create", f"{child}-{number}")
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    kept = [happening.id for happening in event_reader.read(own)]
    lines = sum(Path(own.runroot, name).read_text().count("\n") for name in ("events", "events.1"))
    assert lines == len(kept) == len(set(kept)) > 200


def test_what_is_no_line_is_passed_over(own: Roots) -> None:
    events.tell(own, "volume", "create", "one")
    with open(events.path(own), "ab") as file:
        file.write(b"\0\0torn {\n\xff\n2026 []\n")
    events.tell(own, "volume", "create", "two")
    assert [happening.id for happening in event_reader.read(own)] == ["one", "two"]
