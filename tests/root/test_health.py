"""Health checks: an image's and the user's, when they are made, what they conclude, and what follows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.root.test_life import monitor_of
from tests.support.cli import Pyc, sh
from tests.support.states import inspect, look, until, until_state

pytestmark = pytest.mark.root

QUICK = ("--health-interval", "50ms", "--health-retries", "2")


def health(pyc: Pyc, name: str = "box") -> dict[str, Any]:
    return dict(inspect(pyc, name)["State"]["Health"])


def until_health(pyc: Pyc, status: str) -> None:
    until(lambda: health(pyc)["Status"] == status, status)


def run(pyc: Pyc, image: str, *flags: str, command: tuple[str, ...] = ("sleep", "60")) -> None:
    pyc("run", "-d", "--name", "box", *flags, image, *command).ok()


def test_from_starting_to_healthy_to_unhealthy_and_back(stocked: Pyc, image: str, tmp_path: Path) -> None:
    run(stocked, image, "-v", f"{tmp_path}:/data", "--health-cmd", "echo checked; test ! -e /data/ill", *QUICK)
    assert "(health: starting)" in stocked("ps").stdout or "(healthy)" in stocked("ps").stdout
    until_health(stocked, "healthy")
    assert "(healthy)" in stocked("ps").stdout
    (tmp_path / "ill").touch()
    until_health(stocked, "unhealthy")
    assert "(unhealthy)" in stocked("ps").stdout
    known = health(stocked)
    assert known["FailingStreak"] >= 2 and len(known["Log"]) <= 5
    last = known["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (1, "checked\n") and last["Start"] < last["End"]
    (tmp_path / "ill").unlink()
    until_health(stocked, "healthy")
    assert health(stocked)["FailingStreak"] == 0
    happened = stocked("events", "--since", "1m", "--until", "0s", "-f", "event=health_status", "-f", "container=box")
    assert [line.split(" (")[0].split(": ")[1].split()[0] for line in happened.lines] == [
        "healthy",
        "unhealthy",
        "healthy",
    ]


def test_filters_of_ps(stocked: Pyc, image: str) -> None:
    run(stocked, image, "--health-cmd", "true", *QUICK)
    stocked("run", "-d", "--name", "plain", image, "sleep", "60").ok()
    until_health(stocked, "healthy")
    for status, names in (("healthy", ["box"]), ("none", ["plain"]), ("unhealthy", [])):
        assert stocked("ps", "-f", f"health={status}", "--format", "{{.Names}}").lines == names


def test_a_check_is_confined_like_the_container_and_runs_as_its_user(stocked: Pyc, image: str) -> None:
    check = "id -u; cat /proc/self/cgroup | grep -c pyc; grep CapEff /proc/self/status; grep Seccomp: /proc/self/status"
    run(stocked, image, "-u", "1000", "-e", "WORD=env", "--health-cmd", f"echo $WORD; {check}", *QUICK)
    until_health(stocked, "healthy")
    word, user, groups, capabilities, seccomp = health(stocked)["Log"][-1]["Output"].splitlines()
    assert (word, user) == ("env", "1000") and int(groups) >= 0
    assert capabilities.split()[1].strip("0") == "" and seccomp.split()[1] == "2"


def test_what_takes_too_long_is_killed_and_has_failed(stocked: Pyc, image: str) -> None:
    run(stocked, image, "--health-cmd", "echo slow; sleep 60", "--health-timeout", "100ms", *QUICK)
    until_health(stocked, "unhealthy")
    last = health(stocked)["Log"][-1]
    assert last["ExitCode"] == -1 and "slow" in last["Output"]
    pid = look(stocked, "box").pid
    with open(f"/proc/{monitor_of(pid)}/status") as file:
        assert "VmRSS" in file.read()  # it lives


def test_failures_do_not_count_while_it_starts_and_checks_are_closer_then(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    early = ("--health-start-period", "60s", "--health-start-interval", "50ms", "--health-interval", "60s")
    run(stocked, image, "-v", f"{tmp_path}:/data", "--health-cmd", "test -e /data/up", "--health-retries", "1", *early)
    until(lambda: len(health(stocked)["Log"]) >= 3)
    assert health(stocked)["Status"] == "starting" and health(stocked)["FailingStreak"] == 0
    (tmp_path / "up").touch()
    until_health(stocked, "healthy")


def test_the_image_says_what_to_check_and_the_user_may_not_want_it(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "box", image, "true").ok()
    change = 'HEALTHCHECK --interval=50ms --retries=1 CMD ["sh", "-c", "echo of the image"]'
    stocked("commit", "--change", change, "box", "checked:1").ok()
    stocked("rm", "box").ok()
    run(stocked, "checked:1")
    until_health(stocked, "healthy")
    assert health(stocked)["Log"][-1]["Output"] == "of the image\n"
    assert inspect(stocked, "box")["Config"]["Healthcheck"]["Interval"] == 50_000_000
    stocked("rm", "-f", "box").ok()
    run(stocked, "checked:1", "--no-healthcheck")
    assert "Health" not in inspect(stocked, "box")["State"]
    stocked("rm", "-f", "box").ok()
    stocked("rmi", "checked:1").ok()


@pytest.mark.parametrize(
    ("flags", "again"),
    [
        (("--restart", "on-unhealthy"), True),
        (("--health-on-failure", "restart"), True),
        (("--health-on-failure", "kill", "--restart", "always"), True),
        (("--health-on-failure", "kill"), False),
        (("--health-on-failure", "stop", "--restart", "always"), False),
    ],
)
def test_what_is_unhealthy_is_ended_as_asked(stocked: Pyc, image: str, flags: tuple[str, ...], again: bool) -> None:
    script = sh("trap 'exit 4' TERM; echo begun; while :; do sleep 0.02; done")
    run(stocked, image, "--health-cmd", "false", *QUICK, *flags, command=script)
    if again:
        until(lambda: stocked("logs", "box").stdout.count("begun") >= 2)
        stocked("stop", "-t", "0", "box").ok()
    until_state(stocked, "box", "exited")
    if not again:
        assert look(stocked, "box").exit_code == (137 if "kill" in flags else 4)
        assert health(stocked)["Status"] == "unhealthy"


def test_a_command_that_is_not_there_is_a_failure_that_says_so(stocked: Pyc, image: str) -> None:
    change = 'HEALTHCHECK --interval=50ms --retries=1 CMD ["/no/such"]'
    stocked("run", "--name", "box", image, "true").ok()
    stocked("commit", "--change", change, "box", "checked:2").ok()
    stocked("rm", "box").ok()
    run(stocked, "checked:2")
    until_health(stocked, "unhealthy")
    assert '"/no/such": no such file or directory' in health(stocked)["Log"][-1]["Output"]
    stocked("rm", "-f", "box").ok()
    stocked("rmi", "checked:2").ok()


def test_between_checks_no_process_of_ours_is_there_but_the_monitor(stocked: Pyc, image: str) -> None:
    run(stocked, image, "--health-cmd", "true", "--health-interval", "400ms")
    until_health(stocked, "healthy")
    monitor = monitor_of(look(stocked, "box").pid)

    def children() -> list[str]:
        with open(f"/proc/{monitor}/task/{monitor}/children") as file:
            return file.read().split()

    until(lambda: len(children()) == 1, "nobody but the container")
    assert os.path.exists(f"/proc/{monitor}")


def test_contradictions_and_odd_times(stocked: Pyc, image: str) -> None:
    refused = stocked("run", "--no-healthcheck", "--health-cmd", "true", image, "true")
    assert refused.code == 125 and "contradict each other" in refused.stderr
    for interval in ("10000h", "0.01ms"):
        stocked("run", "--rm", "--health-cmd", "true", "--health-interval", interval, image, "true").ok()
    assert stocked("run", "--health-interval", "soon", image, "true").code == 125
