"""``pyc top``, ``stats`` and ``update``: looking at a container from outside, and changing what it may use."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator

import pytest

from pycontainer import cgroups
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE
from tests.support.states import until
from tests.support.terminal import CTRL_C

pytestmark = pytest.mark.root


@pytest.fixture
def box(stocked: Pyc, image: str) -> Iterator[str]:
    """The ID of a container that sleeps."""
    made = stocked("run", "-d", "--name", "box", image, "sleep", "1000").ok().stdout.strip()
    yield made
    stocked("rm", "-f", made)


def pid_of(pyc: Pyc, name: str) -> int:
    return int(pyc("inspect", "-f", "{{.State.Pid}}", name).ok().stdout)


def limit(box: str, controller: str, one: str, two: str) -> str:
    """The text of a limit, of its file in v1 or the one in v2; "" where its cgroup has none."""
    home = cgroups.detect().hierarchies.home(controller)
    assert home
    path = f"{home.mount}/pyc/{box}/{two if home.version == 2 else one}"
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read().strip()


# --- top ------------------------------------------------------------------------------------------------------------


def _lasting(line: str) -> list[str]:
    """Without C and TIME, what a process has used, and STIME, which is rounded."""
    columns = line.split(None, 7)
    return [*columns[:3], columns[5], columns[7]]


def _began(line: str) -> int:
    """STIME in minutes."""
    hours, minutes = line.split()[4].split(":")
    return int(hours) * 60 + int(minutes)


def test_top_shows_the_processes_as_ps_does(stocked: Pyc, image: str) -> None:
    made = stocked("run", "-d", "--userns", "host", image, "sleep", "1000")  # or ps cuts its long user ids
    box = made.ok().stdout.strip()
    stocked("exec", "-d", "-u", "54321", box, "sleep", "55").ok()
    own = stocked("top", box).ok().lines
    asked = stocked("top", box, "-e", "-f").ok().lines  # by ps itself
    assert own[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert [_lasting(line) for line in own] == [_lasting(line) for line in asked]
    assert all((_began(one) - _began(two)) % 1440 in (0, 1, 1439) for one, two in zip(own[1:], asked[1:], strict=True))
    assert [line.split(None, 7)[7] for line in own[1:]] == ["sleep 1000", "sleep 55"]
    assert own[1].split()[:2] == ["root", str(pid_of(stocked, box))]
    assert own[2].startswith("54321 ")
    stocked("rm", "-f", box).ok()


def test_top_takes_the_options_of_ps(stocked: Pyc, box: str) -> None:
    assert stocked("top", box, "-o", "pid,args").ok().lines[1].split() == [str(pid_of(stocked, box)), "sleep", "1000"]
    assert "USER" in stocked("top", box, "aux").ok().lines[0]
    assert "must show the column PID" in stocked("top", box, "-o", "args").stderr
    bad = stocked("top", box, "--nonsense")
    assert bad.code != 0 and "ps --nonsense" in bad.stderr


def test_top_of_what_does_not_run(stocked: Pyc, box: str) -> None:
    stocked("kill", box).ok()
    assert "is not running" in stocked("top", box).stderr
    assert stocked("top", "absent").code == 1


def test_top_executes_and_believes_nothing_of_the_container(stocked: Pyc, box: str) -> None:
    """CVE-2022-1227; and the title of a process must not drive the terminal."""
    evil = "for f in ps nsenter pyc; do printf '#!/bin/sh\\ntouch /fell' > /bin/$f; chmod +x /bin/$f; done"
    stocked("exec", box, *sh(evil)).ok()
    stocked("exec", "-d", box, "sh", "-c", "sleep 60; true", "\x1b]0;owned\x07\nroot 1 fake").ok()
    shown = stocked("top", box).ok().stdout
    assert "\x1b" not in shown and len(shown.splitlines()) == 4
    assert stocked("exec", box, "ls", "/fell").code != 0


# --- stats ----------------------------------------------------------------------------------------------------------


def test_stats_of_a_busy_container(stocked: Pyc, image: str) -> None:
    work = "head -c 20000000 /dev/zero > /file; sync; tail -c 1 /file; echo alone; while :; do :; done"
    stocked("run", "-d", "--name", "busy", "-m", "64m", "--pids-limit", "10", image, *sh(work)).ok()
    until(lambda: "alone" in stocked("logs", "busy").stdout)
    found = json.loads(stocked("stats", "--no-stream", "--format", "json", "busy").ok().stdout)
    assert found["Name"] == "busy" and re.fullmatch(r"[0-9a-f]{12}", found["ID"])
    assert float(found["CPUPerc"].rstrip("%")) > 20
    used, limit = found["MemUsage"].split(" / ")
    assert limit == "64MiB" and re.fullmatch(r"[\d.]+[KM]iB", used)
    assert found["PIDs"] == "1" and found["NetIO"] == "0B / 0B"
    assert re.fullmatch(r"[\d.]+k?M?B / [\d.]+k?M?B", found["BlockIO"])
    stocked("rm", "-f", "busy").ok()


def test_stats_as_a_table_and_of_those_that_do_not_run(stocked: Pyc, box: str, image: str) -> None:
    stocked("create", "--name", "idle", image, "true").ok()
    lines = stocked("stats", "--no-stream").ok().lines
    assert re.split(r" {2,}", lines[0].rstrip()) == [
        "CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS",
    ]  # fmt: skip
    assert [line.split()[1] for line in lines[1:]] == ["box"]
    assert {line.split()[1] for line in stocked("stats", "--no-stream", "-a").ok().lines[1:]} == {"box", "idle"}
    named = stocked("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.CPUPerc}}", "idle").ok().stdout
    assert re.fullmatch(r"[0-9a-f]{64} 0.00%\n", named)
    assert "no such container" in stocked("stats", "--no-stream", "absent").stderr


def test_stats_live_on_a_terminal(stocked: Pyc, box: str) -> None:
    with stocked.terminal("stats", columns=120) as terminal:
        terminal.expect("box .*")
        terminal.expect("box .*")
        terminal.send(CTRL_C)
        assert terminal.wait() == 130


# --- update ---------------------------------------------------------------------------------------------------------


def test_update_is_live_and_recorded(stocked: Pyc, box: str) -> None:
    stocked("update", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "33", box).ok()
    memory, quota = "memory.limit_in_bytes", "cpu.cfs_quota_us"
    for _ in ("now", "and in the next life"):
        assert limit(box, "memory", memory, "memory.max") == str(64 << 20)
        assert limit(box, "cpu", quota, "cpu.max").split()[0] == "50000"
        assert limit(box, "pids", "pids.max", "pids.max") == "33"
        stocked("restart", "-t", "0", box).ok()
    shown = json.loads(stocked("inspect", "-f", "{{json .HostConfig}}", box).ok().stdout)
    assert (shown["Memory"], shown["NanoCpus"], shown["PidsLimit"]) == (64 << 20, 500_000_000, 33)


def test_everybody_moves_into_a_cgroup_that_was_not_needed_before(stocked: Pyc, box: str) -> None:
    stocked("exec", "-d", box, *sh("while :; do sleep 0.01; done")).ok()
    stocked("update", "--cpu-shares", "512", box).ok()
    home = cgroups.detect().hierarchies.home("cpu")
    assert home
    time.sleep(0.1)
    with open(f"{home.mount}/pyc/{box}/cgroup.procs") as file:
        inside = {int(line) for line in file}
    tops = {int(line.split()[1]) for line in stocked("top", box).ok().lines[1:]}
    assert pid_of(stocked, box) in inside and len(inside) >= 2 and tops & inside


def test_what_was_made_for_an_update_goes_with_the_container(stocked: Pyc, box: str) -> None:
    stocked("update", "--cpus", "0.5", box).ok()
    stocked("kill", box).ok()
    stocked("rm", box).ok()
    assert not [top for top, _, _ in os.walk("/sys/fs/cgroup") if box in top]


def test_a_limit_can_be_lifted(stocked: Pyc, box: str) -> None:
    stocked("update", "--pids-limit", "5", box).ok()
    stocked("update", box, "--pids-limit=-1").ok()
    assert limit(box, "pids", "pids.max", "pids.max") == "max"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "nothing to change"),
        ("--memory 1k", "the minimum is 6m"),
        ("--cpus 4096", "--cpus: must be from"),
        ("--cpus 1 --cpu-quota 1000", "--cpus is a way to write"),
        ("--restart sometimes", "invalid argument"),
        ("--kernel-memory 5m", "not supported"),
        ("--nope", "unknown flag"),
    ],
)
def test_update_refuses(stocked: Pyc, box: str, flags: str, words: str) -> None:
    before = stocked("inspect", box).stdout
    done = stocked("update", *flags.split(), box)
    assert done.code != 0 and words in done.stderr and "Traceback" not in done.stderr
    assert stocked("inspect", box).stdout == before


def test_memory_above_memory_and_swap_has_docker_s_words(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "tight", "-m", "32m", "--memory-swap", "64m", image, "sleep", "100").ok()
    done = stocked("update", "-m", "128m", "tight")
    assert "memory limit should be smaller than already set memoryswap limit" in done.stderr
    stocked("update", "-m", "128m", "--memory-swap", "256m", "tight").ok()
    stocked("update", "-m", "16m", "--memory-swap", "32m", "tight").ok()


def test_a_restart_policy_that_comes_late(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "late", image, *sh("until [ -e /go ]; do sleep 0.05; done; rm /go; exit 1")).ok()
    first = pid_of(stocked, "late")
    stocked("update", "--restart", "always", "late").ok()
    stocked("exec", "late", "touch", "/go").ok()
    deadline = time.monotonic() + 10 * PATIENCE
    while (now := pid_of(stocked, "late")) in (0, first) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert now not in (0, first)
    assert stocked("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "late").stdout.strip() == "always"
    stocked("update", "--restart", "no", "late").ok()
    stocked("stop", "-t", "0", "late").ok()
