"""create, start, stop, restart, kill, pause, wait, rename, rm: what becomes of a container."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pycontainer.engine import stop
from pycontainer.engine.options import Roots
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE
from tests.support.states import exists, inspect, look, until, until_state

pytestmark = pytest.mark.root

OBEDIENT = sh("trap 'exit 4' TERM; trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done")
DEAF = sh("trap '' TERM; echo ready; while :; do sleep 0.05; done")


def ready(pyc: Pyc, name: str) -> None:
    until(lambda: "ready" in pyc("logs", name).stdout, f"{name} ready")


def test_a_detached_container_lives_after_its_command_and_is_found(stocked: Pyc, image: str) -> None:
    container_id = stocked("run", "-d", "--name", "box", image, "sleep", "60").ok().stdout.strip()
    assert re.fullmatch("[0-9a-f]{64}", container_id)
    assert stocked("ps", "-q", "--no-trunc").lines == [container_id]
    state = inspect(stocked, container_id[:6])["State"]
    assert (state["Status"], state["Running"], state["ExitCode"]) == ("running", True, 0)
    assert os.readlink(f"/proc/{state['Pid']}/ns/pid") != os.readlink("/proc/self/ns/pid")
    assert stocked("rm", "-f", "box").stdout == "box\n"
    assert not os.path.exists(f"/proc/{state['Pid']}")


def test_what_is_created_is_started_later_and_again(stocked: Pyc, image: str) -> None:
    stocked("create", "--name", "box", image, *sh("echo x >> /count; wc -l < /count")).ok()
    assert inspect(stocked, "box")["State"]["Status"] == "created"
    assert stocked("ps", "-q").stdout == ""
    for times in ("1\n", "2\n"):
        assert stocked("start", "-a", "box").stdout == times
    assert stocked("start", "box").stdout == "box\n"
    until_state(stocked, "box", "exited")
    assert stocked("logs", "box").stdout == "1\n2\n3\n"


def test_start_passes_stdin_and_the_exit_code(stocked: Pyc, image: str) -> None:
    stocked("create", "-i", "--name", "box", image, *sh("cat; exit 9")).ok()
    started = stocked("start", "-ai", "box", stdin="hello")
    assert (started.code, started.stdout) == (9, "hello")


def test_stop_asks_with_the_signal_and_kills_after_the_time(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "obeys", image, *OBEDIENT).ok()
    stocked("run", "-d", "--name", "other", "--stop-signal", "USR1", image, *OBEDIENT).ok()
    stocked("run", "-d", "--name", "deaf", "--stop-timeout", "0", image, *DEAF).ok()
    for name in ("obeys", "other", "deaf"):
        ready(stocked, name)
    began = time.monotonic()
    assert stocked("stop", "obeys", "other", "deaf").lines == ["obeys", "other", "deaf"]
    assert time.monotonic() - began < 5 * PATIENCE
    assert [look(stocked, name).exit_code for name in ("obeys", "other", "deaf")] == [4, 5, 137]
    assert stocked("stop", "deaf").code == 0, "stopping what does not run is no error, as in docker"


@pytest.mark.parametrize("words", [("stop", "-t", "0"), ("stop", "-s", "KILL"), ("stop", "--time=0"), ("kill",)])
def test_what_is_deaf_ends_nevertheless(stocked: Pyc, image: str, words: tuple[str, ...]) -> None:
    stocked("run", "-d", "--name", "deaf", image, *DEAF).ok()
    assert stocked(*words, "deaf").ok().stdout == "deaf\n"
    assert until_state(stocked, "deaf", "exited").exit_code == 137


def test_a_container_that_is_removed_while_it_is_stopped_is_stopped(
    stocked: Pyc, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked("run", "-d", "--name", "going", image, "sleep", "1000").ok()
    gone = []

    def remove(place: str) -> None:
        if place == "stop.ended" and not gone:
            gone.append(stocked("rm", "-f", "going").ok())

    monkeypatch.setattr(stop, "hit", remove)
    stop.stop(Roots(stocked.root, stocked.runroot), "going", sign="SIGKILL")
    assert gone


def test_kill_sends_any_signal_and_only_to_what_runs(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *OBEDIENT).ok()
    ready(stocked, "box")
    stocked("kill", "-s", "USR1", "box").ok()
    assert until_state(stocked, "box", "exited").exit_code == 5
    refused = stocked("kill", "box")
    assert (refused.code, refused.stderr) == (1, "pyc: container box is not running\n")
    assert "invalid signal 'NOPE'" in stocked("kill", "-s", "NOPE", "box").stderr


def test_restart_is_another_life_of_the_same_container(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("echo x >> /count; cat /count; sleep 60")).ok()
    first = until_state(stocked, "box", "running")
    stocked("restart", "-t", "0", "box").ok()
    second = look(stocked, "box")
    assert second.id == first.id and second.pid != first.pid and second.started > first.started
    until(lambda: stocked("logs", "box").stdout == "x\nx\nx\n")


def test_pause_and_unpause(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *sh("while :; do echo x >> /count; sleep 0.01; done")).ok()
    stocked("pause", "box").ok()
    state = inspect(stocked, "box")["State"]
    assert (state["Status"], state["Running"], state["Paused"]) == ("paused", True, True)
    assert "(Paused)" in stocked("ps").stdout
    count = Path(stocked.root, "containers", look(stocked, "box").id, "upper/count")
    before = count.stat().st_size
    time.sleep(0.1)
    assert count.stat().st_size == before
    assert "paused already" in stocked("pause", "box").stderr
    stocked("unpause", "box").ok()
    until(lambda: count.stat().st_size > before, "going on")
    assert "is not paused" in stocked("unpause", "box").stderr
    stocked("pause", "box").ok()
    stocked("stop", "-t", "0", "box").ok()  # what stands still is stopped too
    assert look(stocked, "box").state == "exited"


def test_wait_returns_at_the_end_with_the_exit_code(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, *OBEDIENT).ok()
    ready(stocked, "box")
    waiting = [stocked.start("wait", "box") for _ in range(3)]
    stocked("stop", "box").ok()
    assert [process.communicate(timeout=10)[0] for process in waiting] == [b"4\n"] * 3
    assert stocked("wait", "box").stdout == "4\n"
    assert stocked("wait", "nobody").code == 1


def test_rename_keeps_what_runs_and_frees_the_old_name(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "old", image, "sleep", "60").ok()
    stocked("rename", "old", "new").ok()
    assert look(stocked, "new").state == "running" and not exists(stocked, "old")
    stocked("create", "--name", "old", image, "true").ok()
    taken = stocked("rename", "old", "new")
    assert taken.code == 1 and "the name new is already in use" in taken.stderr
    assert stocked("rename", "new", "no/good").code == 125
    stocked("stop", "-t", "0", "new").ok()


def test_rm_takes_away_what_was_written(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "box", image, *sh("echo x > /file")).ok()
    container_id = look(stocked, "box").id
    stocked("rm", "box").ok()
    assert not os.path.exists(f"{stocked.root}/containers/{container_id}")
    assert stocked("rm", "box").code == 1
    assert stocked("rm", "-f", "box").code == 0


def test_a_detached_container_with_rm_leaves_nothing(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--rm", "--name", "box", image, *OBEDIENT).ok()
    ready(stocked, "box")
    container_id = look(stocked, "box").id
    stocked("stop", "box").ok()
    until(lambda: not exists(stocked, "box"), "the removal")
    for directory in (f"{stocked.root}/containers", f"{stocked.runroot}/containers"):
        until(lambda where=directory: container_id not in os.listdir(where))  # type: ignore[misc]


def test_what_can_not_start_says_why_and_stays_as_it_was(stocked: Pyc, image: str) -> None:
    stocked("create", "--name", "box", image, "nonsense").ok()
    failed = stocked("start", "box")
    assert failed.code == 1 and 'exec: "nonsense": executable file not found' in failed.stderr
    state = inspect(stocked, "box")["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 127)
    assert "executable file not found" in state["Error"]


def test_an_out_of_memory_kill_is_said_and_another_is_not(stocked: Pyc, image: str) -> None:
    eat = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60"
    flags = ("-m", "16m", "--memory-swap", "16m", "--shm-size", "64m")
    assert stocked("run", "--name", "eats", *flags, image, *sh(f"exec {eat}")).code == 137
    assert inspect(stocked, "eats")["State"]["OOMKilled"] is True
    assert stocked("run", "--name", "killed", *flags, image, *sh("kill -KILL $$; sleep 1")).code in (137, 0)
    assert inspect(stocked, "killed")["State"]["OOMKilled"] is False
    happened = stocked("events", "--since", "1m", "--until", "0s", "-f", "container=eats", "--format", "{{.Action}}")
    assert happened.lines[-2:] == ["oom", "die"]


def test_starting_what_runs_is_no_error_and_what_is_paused_is_one(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, "sleep", "60").ok()
    pid = look(stocked, "box").pid
    assert stocked("start", "box").ok().stdout == "box\n"
    assert look(stocked, "box").pid == pid
    stocked("pause", "box").ok()
    assert "is paused" in stocked("start", "box").stderr
    assert stocked("start", "nobody").code == 1


def test_of_several_the_good_are_done_and_the_bad_are_named(stocked: Pyc, image: str) -> None:
    for name in ("b1", "b2"):
        stocked("run", "-d", "--name", name, image, "sleep", "60").ok()
    stopped = stocked("stop", "-t", "0", "b1", "nobody", "b2")
    assert (stopped.code, stopped.stdout) == (1, "b1\nb2\n")
    assert "no such container: nobody" in stopped.stderr


def test_a_start_and_a_stop_at_the_same_time_leave_one_truth(stocked: Pyc, image: str) -> None:
    stocked("create", "--name", "box", image, "sleep", "60").ok()
    crowd = [stocked.start(*words, "box") for words in (("start",), ("stop", "-t", "0"), ("start",)) * 3]
    for process in crowd:
        process.communicate(timeout=30)
    state = look(stocked, "box")
    assert state.state in ("running", "exited")
    assert bool(state.pid) == (state.state == "running")
    stocked("rm", "-f", "box").ok()


def test_what_the_host_sends_to_the_monitor_becomes_the_containers_stop_signal(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", "--stop-signal", "USR1", image, *OBEDIENT).ok()
    ready(stocked, "box")
    os.kill(monitor_of(look(stocked, "box").pid), signal.SIGTERM)
    assert until_state(stocked, "box", "exited").exit_code == 5


def test_what_the_host_sends_ends_the_container_in_time_and_no_policy_starts_it(stocked: Pyc, image: str) -> None:
    """As systemd's last SIGTERM to all; what ignores it would keep the host from going down."""
    words = ("--restart", "always", "--stop-timeout", "1")
    stocked("run", "-d", "--name", "box", *words, image, "sleep", "60").ok()  # the first process ignores what it can
    pid = look(stocked, "box").pid
    os.kill(monitor_of(pid), signal.SIGTERM)
    assert until_state(stocked, "box", "exited").exit_code == 137
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of its process")
    time.sleep(0.5)  # the policy's first pause is a fifth of this
    assert look(stocked, "box").state == "exited"
    assert stocked("system", "boot").ok().stdout == "box\n"
    assert look(stocked, "box").state == "running"


def test_a_killed_monitor_takes_its_container_along_and_that_is_said(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "box", image, "sleep", "60").ok()
    pid = look(stocked, "box").pid
    os.kill(monitor_of(pid), signal.SIGKILL)
    assert until_state(stocked, "box", "exited").exit_code == 255
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of its process")
    assert "nobody saw how it ended" in inspect(stocked, "box")["State"]["Error"]
    stocked("start", "box").ok()
    assert look(stocked, "box").state == "running"


def monitor_of(pid: int) -> int:
    """The parent of a container's first process."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("PPid:"))


def test_boot_starts_what_the_policies_say_and_halt_ends_all(stocked: Pyc, image: str) -> None:
    for policy in ("no", "always", "unless-stopped", "on-failure"):
        stocked("run", "-d", "--name", policy, "--restart", policy, image, *OBEDIENT).ok()
        ready(stocked, policy)
    for policy in ("always", "unless-stopped"):
        stocked("run", "-d", "--name", f"stopped-{policy}", "--restart", policy, image, *OBEDIENT).ok()
        stocked("stop", "-t", "0", f"stopped-{policy}").ok()
    stocked("create", "--name", "never", "--restart", "always", image, "true").ok()
    stocked("system", "halt").ok()
    assert stocked("ps", "-q").stdout == ""
    assert look(stocked, "always").exit_code == 4
    booted = stocked("system", "boot").ok()
    assert booted.lines == ["always", "unless-stopped", "on-failure", "stopped-always"]
    assert set(stocked("ps", "--format", "{{.Names}}").lines) == set(booted.lines)
    assert stocked("system", "boot").stdout == ""


def test_the_unit_can_not_be_put_there_and_taken_away_at_once(stocked: Pyc) -> None:
    refused = stocked("system", "boot", "--install", "--uninstall")
    assert refused.code == 125 and "--uninstall" in refused.stderr


def test_the_unit_is_one_that_systemd_understands(stocked: Pyc, tmp_path: Path) -> None:
    unit = stocked("system", "boot", "--print-unit").ok().stdout
    assert f"--root {stocked.root} --runroot {stocked.runroot} system boot\n" in unit and "@" not in unit
    path = tmp_path / "pycontainer.service"
    path.write_text(unit)
    try:
        checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
    except FileNotFoundError:
        return  # the VM's tests boot with it
    assert "pycontainer.service:" not in checked.stderr
