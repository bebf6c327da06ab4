"""Leaving a container that runs: by its keys, by death, by a signal. It goes on, is logged, recorded and cleaned up."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.cli import Pyc, sh
from tests.support.states import exists, look, until, until_state
from tests.support.terminal import CTRL_P, CTRL_Q

pytestmark = pytest.mark.root

COUNTS = sh("i=0; while [ ! -e /stop ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 9")


def goes_on(pyc: Pyc, name: str = "box") -> None:
    """It runs, and its log grows."""
    assert look(pyc, name).state == "running"
    before = len(pyc("logs", name).lines)
    until(lambda: len(pyc("logs", name).lines) > before, "more of its log")


def end(pyc: Pyc, name: str = "box") -> None:
    pyc("exec", name, "touch", "/stop").ok()


def is_gone(pyc: Pyc, container_id: str) -> bool:
    places = [f"{pyc.root}/containers", f"{pyc.runroot}/containers", f"{pyc.root}/names"]
    return not any(container_id in os.listdir(place) for place in places) and not exists(pyc, "box")


@pytest.mark.parametrize("words", [("-d",), (), ("-i",)])
def test_a_killed_client_leaves_all_to_the_monitor(stocked: Pyc, image: str, words: tuple[str, ...]) -> None:
    client = stocked.start("run", *words, "--name", "box", image, *COUNTS)
    until(lambda: exists(stocked, "box") and look(stocked, "box").state == "running")
    until(lambda: len(stocked("logs", "box").lines) > 2)
    client.kill()
    client.communicate(timeout=10)
    goes_on(stocked)
    end(stocked)
    assert until_state(stocked, "box", "exited").exit_code == 9
    assert stocked("wait", "box").stdout == "9\n"
    lines = stocked("logs", "box").lines
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]


@pytest.mark.parametrize("flag", ["-d", "-i"])
def test_rm_is_done_by_the_monitor_when_the_client_is_dead(stocked: Pyc, image: str, flag: str) -> None:
    client = stocked.start("run", flag, "--rm", "--name", "box", image, *COUNTS)
    until(lambda: exists(stocked, "box") and look(stocked, "box").state == "running")
    container_id = look(stocked, "box").id
    client.kill()
    client.communicate(timeout=10)
    goes_on(stocked)
    end(stocked)
    until(lambda: is_gone(stocked, container_id), "the removal")


def test_a_terminal_that_dies_leaves_the_container(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "-it", "--name", "box", image, *COUNTS) as terminal:
        terminal.expect("line 3")
        terminal.process.send_signal(signal.SIGKILL)
        terminal.process.wait()
    goes_on(stocked)
    end(stocked)
    assert until_state(stocked, "box", "exited").exit_code == 9


def test_keys_leave_it_running_and_the_terminal_as_it_was(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "-it", "--name", "box", image, "sh") as terminal:
        settings = terminal.attributes()
        terminal.expect("# ")
        terminal.send("echo a" + CTRL_P + "\r")  # one of the two is a key like any other
        terminal.expect("a")
        terminal.send(CTRL_P + CTRL_Q)
        assert terminal.wait() == 0
        assert terminal.attributes() == settings
    assert look(stocked, "box").state == "running"
    happened = stocked("events", "--since", "1m", "--until", "0s", "-f", "container=box", "--format", "{{.Action}}")
    assert happened.lines[-1] == "detach"
    with stocked.terminal("attach", "box") as terminal:
        terminal.send("exit 4\r")
        assert terminal.wait() == 4
    assert look(stocked, "box").exit_code == 4


def test_keys_of_the_users_own_and_wrong_ones(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "-it", "--rm", "--name", "box", "--detach-keys", "ctrl-x,q", image, "sh") as terminal:
        terminal.expect("# ")
        terminal.send("\x18q")
        assert terminal.wait() == 0
    container_id = look(stocked, "box").id
    stocked("stop", "-t", "0", "box").ok()
    until(lambda: is_gone(stocked, container_id), "the removal")
    assert stocked("run", "-it", "--detach-keys", "ctrl-,", image, "sh").code == 125


def test_without_sig_proxy_a_signal_ends_the_client_only(stocked: Pyc, image: str) -> None:
    client = stocked.start("run", "--sig-proxy=false", "--name", "box", image, *COUNTS)
    until(lambda: exists(stocked, "box") and look(stocked, "box").state == "running")
    until(lambda: len(stocked("logs", "box").lines) > 2)
    client.send_signal(signal.SIGTERM)
    client.communicate(timeout=10)
    assert client.returncode == 143
    goes_on(stocked)


def test_the_working_directory_and_the_session_of_the_caller_are_left(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, "sleep", "60").ok()
    with open(f"/proc/{look(stocked, 'box').pid}/status") as file:
        monitor = next(line.split()[1] for line in file if line.startswith("PPid:"))
    assert os.readlink(f"/proc/{monitor}/cwd").startswith(stocked.runroot)
    assert os.getsid(int(monitor)) == int(monitor)
    inherited = {os.readlink(f"/proc/{monitor}/fd/{number}") for number in os.listdir(f"/proc/{monitor}/fd")}
    assert not [path for path in inherited if path.startswith((stocked.scratch, "/dev/pts"))]


def test_a_client_killed_before_it_heard_that_all_went_well_is_missed_all_the_same(stocked: Pyc, image: str) -> None:
    for number in range(8):
        client = stocked.start("run", "-d", "--rm", "--name", "box", image, "sleep", "0.3")
        until(lambda: exists(stocked, "box") and look(stocked, "box").state in ("running", "exited"))
        client.kill()
        client.communicate(timeout=10)
        until(lambda: not exists(stocked, "box"), f"removal {number}")
    until(lambda: os.listdir(f"{stocked.runroot}/containers") == [])


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_who_reads_our_output_has_had_enough(stocked: Pyc, image: str, verb: str) -> None:
    """As ``| head -1`` has: we leave, the container goes on."""
    if verb == "exec":
        stocked("run", "-d", "--name", "box", image, *COUNTS).ok()
    words = ("exec", "box", *COUNTS) if verb == "exec" else ("run", "--name", "box", image, *COUNTS)
    client = stocked.start(*words)
    assert client.stdout and client.stdout.readline() == b"line 1\n"
    client.stdout.close()
    _, told = client.communicate(timeout=20)
    assert client.returncode == 128 + signal.SIGPIPE
    assert told == b"pyc: nobody reads the output any more: we leave, the container goes on\n"
    goes_on(stocked)
    end(stocked)
    assert until_state(stocked, "box", "exited").exit_code == 9
