"""Crash-only: any command can be killed between any two of its steps, and the next one puts it right.

Each point of the code that says ``hit("name")`` or ``written="name"`` (core/failpoint.py) is reached by a command here,
and killed there. Then one ``pyc ps -a`` is called: nothing may be left that belongs to no container, the container is
whole or absent, and the same command works.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pycontainer
from images.registry import Registry
from tests.support.crash import BOX, LONG, NAME, Crash, crashing

pytestmark = pytest.mark.root

ROUNDS = int(os.environ.get("PYC_TEST_CRASHES", "0"))
"""How often each command is killed at each of its points; 0: each point is killed once, by one command."""


@pytest.fixture(scope="module")
def crash(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crash]:
    with crashing(registry.publish("busybox"), str(tmp_path_factory.mktemp("crash"))) as made:
        yield made


# --- every point ------------------------------------------------------------------------------------------------------

Prepare = Callable[[Crash], object]


def _nothing(crash: Crash) -> None:
    pass


def _network(crash: Crash) -> None:
    crash("network", "create", "other").ok()


def _connectable(crash: Crash) -> None:
    _network(crash)
    crash.running()


def _connected(crash: Crash) -> None:
    _connectable(crash)
    crash("network", "connect", "other", NAME).ok()


def _volume(crash: Crash) -> None:
    crash("volume", "create", "other").ok()


def _paused(crash: Crash) -> None:
    crash.running()
    crash("pause", NAME).ok()


def _no_image(crash: Crash) -> None:
    crash("rmi", "-f", "made")
    crash("rmi", "-f", crash.image)
    crash("image", "prune", "-f").ok()


def _written(crash: Crash) -> None:
    crash("pull", "-q", crash.image).ok()
    crash("run", *BOX, crash.image, "touch", "/new").ok()


IMAGE = "IMAGE"
COMMANDS: dict[str, tuple[Prepare, tuple[str, ...], str]] = {
    "run -d": (
        _nothing,
        ("run", "-d", *BOX, IMAGE, *LONG),
        """create.locked create.directory create.reserved create.filled create.described record.written create.recorded
        create.done volume.locked volume.data volume.written volume.made volume.copying volume.copied attach.noted
        attachment.written attach.addressed attach.recorded attach.named restore.bridges restore.filter start.planned
        start.opened start.spawned start.prepared start.running live.left claim.noted claim.taken""",
    ),
    "run --rm": (
        _nothing,
        ("run", "--rm", *BOX, IMAGE, "touch", "/new"),
        """start.spawned start.running live.ended discard.volumes discard.unnamed discard.moved discard.deleted
        volume.doomed volume.moved forget.networks claim.returned forget.file forget.files release.record""",
    ),
    "create": (_nothing, ("create", *BOX, IMAGE, *LONG), "create.recorded make.described make.kept make.forgotten"),
    "start": (
        Crash.created,
        ("start", NAME),
        """again.locked again.cleared claim.noted claim.taken attach.addressed start.planned start.opened start.spawned
        start.running live.left""",
    ),
    "stop": (Crash.running, ("stop", "-t", "0", NAME), "stop.asked stop.signalled stop.killed stop.ended"),
    "kill": (Crash.running, ("kill", NAME), "kill.asked kill.signalled"),
    "restart": (Crash.running, ("restart", "-t", "0", NAME), "stop.killed restart.stopped again.cleared live.left"),
    "rm": (
        Crash.stopped,
        ("rm", "-v", NAME),
        "remove.asked remove.locked remove.cleared discard.volumes discard.unnamed discard.moved forget.files",
    ),
    "rm -f": (Crash.running, ("rm", "-f", "-v", NAME), "stop.ended remove.locked discard.moved"),
    "exec": (Crash.running, ("exec", NAME, *LONG), "exec.planned exec.spawned exec.running"),
    "rename": (Crash.stopped, ("rename", NAME, "other"), "rename.taken record.written rename.recorded"),
    "pause": (Crash.running, ("pause", NAME), "pause.marked"),
    "unpause": (_paused, ("unpause", NAME), "unpause.thawed"),
    "repair": (
        Crash.monitor_killed,
        ("ps", "-a"),
        "release.ports release.addresses release.record claim.returned forget.networks forget.file forget.files",
    ),
    "commit": (
        _written,
        ("commit", NAME, "made"),
        "layer.unpacked layer.described layer.placed file.written index.changed index.written",
    ),
    "pull": (
        _no_image,
        ("pull", "-q", IMAGE),
        """blob.whole blob.marked blob.placed layer.unpacked layer.described layer.placed file.written index.changed
        index.written""",
    ),
    "network create": (_nothing, ("network", "create", "other"), "network.written network.saved"),
    "network rm": (
        _network,
        ("network", "rm", "other"),
        "network.unbridged network.unfiltered network.forgotten",
    ),
    "network connect": (
        _connectable,
        ("network", "connect", "other", NAME),
        "extend.addressed extend.recorded connect.performed connect.plugged record.written",
    ),
    "network disconnect": (
        _connected,
        ("network", "disconnect", "other", NAME),
        "disconnect.recorded disconnect.pulled disconnect.named",
    ),
    "volume create": (_nothing, ("volume", "create", "other"), "volume.locked volume.data volume.written volume.made"),
    "volume rm": (_volume, ("volume", "rm", "other"), "volume.doomed volume.moved"),
}
EACH = [
    pytest.param(command, point, id=f"{command}-{point}")
    for command, (_, _, points) in COMMANDS.items()
    for point in points.split()
]


POINT = r'(?:\bhit\(|\bwritten=)"([a-z.]+)"\)'


def test_every_point_of_the_code_is_reached_by_a_command_here() -> None:
    package = Path(pycontainer.__file__).parent  # wherever it is installed
    points = {name for path in package.rglob("*.py") for name in re.findall(POINT, path.read_text())}
    assert points == {param.values[1] for param in EACH}


# Each point once, by the first command that reaches it.
ONCE = list({param.values[1]: param for param in reversed(EACH)}.values())


@pytest.mark.slow
@pytest.mark.parametrize(("command", "point"), EACH if ROUNDS else ONCE)
def test_killed_at(crash: Crash, command: str, point: str) -> None:
    prepare, words, _ = COMMANDS[command]
    words = tuple(crash.image if word == IMAGE else word for word in words)
    for _ in range(ROUNDS or 1):
        crash.clear()
        prepare(crash)
        killed = crash(*words, point=point)
        assert killed.code == -signal.SIGKILL, f"{point} was not reached: {killed}"
        assert crash.remains() == []
        _once_more(crash, words)
        assert crash.remains() == []


# A look does not fail because something can't be repaired.
FAILING = [param for param in ONCE if param.values[0] != "repair"]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "point"), FAILING if ROUNDS else FAILING[::3])
def test_failing_at(crash: Crash, command: str, point: str) -> None:
    """An error of the host is one line, and all is undone without another command's help."""
    prepare, words, _ = COMMANDS[command]
    words = tuple(crash.image if word == IMAGE else word for word in words)
    for _ in range(ROUNDS or 1):
        crash.clear()
        prepare(crash)
        failed = crash(*words, point=f"{point}:ENOMEM")
        lines = failed.stderr.splitlines()
        assert failed.code in (1, 125), failed
        assert len([line for line in lines if not line.startswith("  hint ")]) == 1, failed
        assert lines[0].startswith("pyc: ") and "cannot allocate memory" in lines[0].lower(), failed
        assert crash.remains() == []
        _once_more(crash, words)
        assert crash.remains() == []


def _once_more(crash: Crash, words: tuple[str, ...]) -> None:
    """The same command works, or what it wanted has been done."""
    if words[0] in ("run", "create"):
        crash("rm", "-f", "-v", NAME)
        crash(*words).ok()
        crash("rm", "-f", "-v", NAME).ok()
        return
    if words[0] == "exec":
        assert len(crash("top", NAME).ok().lines) in (2, 3)  # a title, the first process, and perhaps ours
        crash("exec", NAME, "true").ok()
        crash("rm", "-f", "-v", NAME).ok()
        return
    result = crash(*words)
    done = ("no such", "exists already", "already exists", "is in network", "not connected", "not running", "is paused")
    done = (*done, "has that name", "paused already", "is not paused")
    assert result.code == 0 or any(text in result.stderr for text in done), result
