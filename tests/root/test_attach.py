"""attach and start -ai: clients come and go, several at once, and none of them harms the container or the others."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from pycontainer.engine.attach import connect
from pycontainer.engine.options import Roots
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE
from tests.support.states import look, until, until_state
from tests.support.terminal import CTRL_C, CTRL_P, CTRL_Q

pytestmark = pytest.mark.root

ECHO = sh("while read line; do echo got $line; done; echo end of input")


def take(process: subprocess.Popen[bytes], count: int = 1) -> list[str]:
    """The next lines of its output."""
    assert process.stdout is not None
    return [process.stdout.readline().decode().rstrip("\n") for _ in range(count)]


def say(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.flush()


@pytest.fixture
def clients() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Whatever is put in here is ended."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        with contextlib.suppress(ValueError):  # a test has read to the end
            process.communicate(timeout=10)


def attached(pyc: Pyc, clients: list[subprocess.Popen[bytes]], name: str = "box", *flags: str) -> None:
    """One more client, which is there when this returns."""
    before = events(pyc, name)
    clients.append(pyc.start("attach", *flags, name))
    until(lambda: events(pyc, name) > before, "the client")
    time.sleep(0.05)  # from its announcement to its connection


def events(pyc: Pyc, name: str) -> int:
    wanted = ("-f", "event=attach", "-f", f"container={look(pyc, name).id}")
    return len(pyc("events", "--since", "5m", "--until", "0s", *wanted).lines)


def test_clients_talk_to_the_container_and_leave_it_running(
    stocked: Pyc, image: str, clients: list[subprocess.Popen[bytes]]
) -> None:
    stocked("run", "-di", "--name", "box", image, *ECHO).ok()
    attached(stocked, clients)
    say(clients[0], "one\n")
    assert take(clients[0]) == ["got one"]
    attached(stocked, clients)
    say(clients[1], "two\n")
    assert [take(client) for client in clients] == [["got two"]] * 2
    clients[0].kill()
    say(clients[1], "three\n")
    assert take(clients[1]) == ["got three"]
    assert clients[1].stdin is not None
    clients[1].stdin.close()  # its end of input is not the container's: others may come
    clients[1].stdin = None
    attached(stocked, clients)
    say(clients[2], "four\n")
    assert take(clients[2]) == take(clients[1]) == ["got four"]
    assert stocked("logs", "box").lines == ["got one", "got two", "got three", "got four"]


def test_the_exit_code_reaches_every_client(stocked: Pyc, image: str, clients: list[subprocess.Popen[bytes]]) -> None:
    stocked("run", "-di", "--name", "box", image, *sh("read line; echo bye; exit 7")).ok()
    for _ in range(3):
        attached(stocked, clients)
    say(clients[0], "\n")
    assert [client.wait(10) for client in clients] == [7, 7, 7]
    assert [take(client) for client in clients] == [["bye"]] * 3


def test_without_stdin_only_the_output_comes(stocked: Pyc, image: str, clients: list[subprocess.Popen[bytes]]) -> None:
    until_told = sh("until [ -e /go ]; do sleep 0.05; done; echo out; echo err >&2; cat")
    stocked("run", "-di", "--name", "box", image, *until_told).ok()
    attached(stocked, clients, "box", "--no-stdin")
    stocked("exec", "box", "touch", "/go").ok()
    assert take(clients[0]) == ["out"]
    stocked("kill", "box").ok()
    out, err = clients[0].communicate(input=b"ignored\n", timeout=10)
    assert (out, err, clients[0].returncode) == (b"", b"err\n", 137)


def test_signals_go_to_the_container_or_end_the_client(
    stocked: Pyc, image: str, clients: list[subprocess.Popen[bytes]]
) -> None:
    script = sh("trap 'echo int' INT; echo begun; while :; do sleep 0.05; done")
    stocked("run", "-d", "--name", "box", image, *script).ok()
    attached(stocked, clients)
    clients[0].send_signal(signal.SIGINT)
    assert take(clients[0]) == ["int"]
    attached(stocked, clients, "box", "--sig-proxy=false")
    clients[1].send_signal(signal.SIGINT)
    assert clients[1].wait(10) == 130
    assert look(stocked, "box").state == "running"
    assert stocked("logs", "box").lines.count("int") == 1


def test_attach_needs_something_that_runs(stocked: Pyc, image: str) -> None:
    stocked("create", "--name", "box", image, "sleep", "60").ok()
    refused = stocked("attach", "box")
    assert refused.code == 1 and "container box is not running" in refused.stderr
    stocked("start", "box").ok()
    stocked("pause", "box").ok()
    assert "is paused" in stocked("attach", "box").stderr
    assert stocked("attach", "nobody").code == 1


def test_a_client_that_stands_still_is_let_go_and_hinders_nobody(
    stocked: Pyc, image: str, clients: list[subprocess.Popen[bytes]]
) -> None:
    flood = "dd if=/dev/zero bs=64k count=200 2>/dev/null | tr '\\0' x | fold -w 999"
    stocked("run", "-di", "--name", "box", image, *sh(f"read line; {flood}; echo; echo done; read line")).ok()
    attached(stocked, clients)
    attached(stocked, clients)
    clients[0].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    say(clients[1], "\n")
    assert clients[1].stdout is not None
    while clients[1].stdout.readline() != b"done\n":
        assert time.monotonic() - began < 10 * PATIENCE
    clients[0].send_signal(signal.SIGCONT)
    _, err = clients[0].communicate(timeout=10)
    assert clients[0].returncode == 1 and b"has let go of us" in err
    assert look(stocked, "box").state == "running"


def test_a_lonely_client_that_stands_still_does_not_stop_the_container(
    stocked: Pyc, image: str, clients: list[subprocess.Popen[bytes]]
) -> None:
    flood = "dd if=/dev/zero bs=64k count=100 2>/dev/null | tr '\\0' x | fold -w 999"
    stocked("run", "-di", "--name", "box", image, *sh(f"read line; {flood}; exit 3")).ok()
    attached(stocked, clients)
    say(clients[0], "\n")
    take(clients[0])
    clients[0].send_signal(signal.SIGSTOP)
    assert until_state(stocked, "box", "exited").exit_code == 3


def test_more_clients_than_there_are_places_wait_at_the_door(stocked: Pyc, image: str) -> None:
    stocked("run", "-di", "--name", "box", image, *ECHO).ok()
    container = look(stocked, "box")
    with contextlib.ExitStack() as crowd:
        sockets = [crowd.enter_context(connect(Roots(stocked.root, stocked.runroot), container)) for _ in range(70)]
        waiting = stocked.start("wait", "box")
        sockets[0].send(b"\0one\n")
        assert [client.recv(100) for client in sockets[:60]] == [b"\3got one\n"] * 60
        for client in sockets[:20]:
            client.close()
        sockets[-1].send(b"\0two\n")  # somebody has gone: now it is let in
        assert sockets[-1].recv(100) == b"\3got two\n"
        stocked("stop", "-t", "0", "box").ok()
        assert waiting.communicate(timeout=15)[0] == b"137\n"


# --- terminals ------------------------------------------------------------------------------------------------------


def test_a_terminal_is_attached_resized_and_let_go(stocked: Pyc, image: str) -> None:
    stocked("run", "-dit", "--name", "box", image, "sh").ok()
    with stocked.terminal("attach", "box", rows=30, columns=90) as terminal:
        settings = terminal.attributes()
        terminal.send("stty size\r")
        terminal.expect("30 90")
        terminal.resize(40, 100)
        terminal.send("stty size\r")
        terminal.expect("40 100")
        terminal.send("sleep 30\r")
        until(lambda: "sleep 30" in stocked("top", "box").stdout)  # so it is what a key interrupts, and not the shell
        terminal.send(CTRL_C + "echo $((6*7))\r")
        terminal.expect("42")
        terminal.send(CTRL_P + CTRL_Q)
        assert terminal.wait() == 0
        assert terminal.attributes() == settings
    assert look(stocked, "box").state == "running"
    with stocked.terminal("attach", "--detach-keys", "ctrl-a,x", "box") as terminal:
        terminal.send("echo ab$((1+1))\r")
        terminal.expect("ab2")
        terminal.send("\x01x")
        assert terminal.wait() == 0
    with stocked.terminal("attach", "box") as terminal:
        terminal.send("exit 6\r")
        assert terminal.wait() == 6


def test_two_people_share_a_terminal(stocked: Pyc, image: str) -> None:
    stocked("run", "-dit", "--name", "box", image, "sh").ok()
    with stocked.terminal("attach", "box") as one, stocked.terminal("attach", "box") as other:
        other.send("echo ready$((1+1))\r")
        other.expect("ready2")  # so it is attached, and will see what comes next
        one.send("echo first$((1+1))\r")
        one.expect("first2")
        other.expect("first2")
        other.send("echo second$((1+1))\r")
        one.expect("second2")
        one.send("exit\r")
        assert (one.wait(), other.wait()) == (0, 0)


def test_start_with_a_terminal(stocked: Pyc, image: str) -> None:
    stocked("create", "-it", "--name", "box", image, "sh").ok()
    with stocked.terminal("start", "-ai", "box") as terminal:
        terminal.expect("# ")
        terminal.send("stty size; exit 5\r")
        terminal.expect("24 80")
        assert terminal.wait() == 5
