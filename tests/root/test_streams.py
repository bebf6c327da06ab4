"""Standard streams that are closed, or are not what was asked for."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from tests.support.cli import Pyc, sh
from tests.support.states import look

pytestmark = pytest.mark.root

CLOSED = ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"]


def without(pyc: Pyc, streams: str, *words: str) -> tuple[int, str, str]:
    """The exit code, what came on stdout, and on stderr, of a command that is started with some of them closed."""
    done = subprocess.run(
        ["sh", "-c", f"exec {shlex.join(pyc.argv(*words))} {streams}"],
        env=pyc.env(),
        cwd=pyc.scratch,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("streams", CLOSED)
def test_commands_work_without_some_of_their_streams(stocked: Pyc, image: str, streams: str) -> None:
    shown = "" if ">&-" in streams.replace("2>&-", "") else "out\n"
    words = ("run", "--rm", "-i", image, *sh("cat; echo out; exit 3"))
    assert without(stocked, streams, *words) == (3, shown, "")
    assert without(stocked, streams, "ps")[0] == 0
    code, _, told = without(stocked, streams, "run", "--rm", "--pull=never", "no-such-image")
    assert code == 125 and "bug" not in told and "Traceback" not in told


@pytest.mark.parametrize("streams", CLOSED)
def test_a_container_gets_nothing_of_ours_instead(stocked: Pyc, image: str, streams: str) -> None:
    """The first file that we open has the lowest number that is free."""
    stocked("run", "-d", "--name", "box", image, "sleep", "1000").ok()
    listed = sh("for n in 0 1 2; do readlink /proc/self/fd/$n; done > /listed")
    assert without(stocked, streams, "exec", "box", *listed)[0] == 0
    for link in stocked("exec", "box", "cat", "/listed").ok().lines:
        assert link.startswith("pipe:") or link in ("/dev/null", "/listed")


@pytest.mark.parametrize("words", [("run", "-it", "IMAGE", "sh"), ("exec", "-it", "box", "sh"), ("attach", "box"),
                                   ("start", "-ai", "stopped")])  # fmt: skip
def test_what_is_typed_has_to_come_from_a_terminal(stocked: Pyc, image: str, words: tuple[str, ...]) -> None:
    """Else a program would wait for ever for what nobody can type, in a job that has no terminal."""
    stocked("run", "-dit", "--name", "box", image, "sh").ok()
    stocked("create", "-it", "--name", "stopped", image, "sh").ok()
    refused = stocked(*[image if word == "IMAGE" else word for word in words])
    assert refused.code == 1
    assert "standard input is not a terminal" in refused.stderr
    assert "leave out -t" in refused.stderr
    assert look(stocked, "stopped").state == "created" and look(stocked, "box").state == "running"
    assert stocked("run", "--rm", "-t", image, "echo", "shown").ok().stdout == "shown\r\n"


def test_a_full_disk_behind_stdout_is_no_end(stocked: Pyc, image: str) -> None:
    with open("/dev/full", "wb") as full:
        client = stocked.start("run", "--name", "box", image, *sh("echo lost; exit 4"), stdout=full.fileno())
        client.communicate(timeout=20)
    assert client.returncode == 4
    assert stocked("logs", "box").stdout == "lost\n"
