"""Limits beyond the caller's own: only the host's CAP_SYS_RESOURCE gives them, which root of a user namespace lacks."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.cli import Pyc, sh
from tests.support.host import needs_capability
from tests.support.states import look, until

pytestmark = pytest.mark.root


@pytest.mark.parametrize("userns", ["private", "host"])
def test_the_score_is_the_container_s_alone(stocked: Pyc, image: str, userns: str) -> None:
    options = ("-d", "--name", "box", "--userns", userns, "--oom-score-adj", "300")
    stocked("run", *options, image, *sh("cat /proc/self/oom_score_adj; sleep 60")).ok()
    try:
        with open(f"/proc/{look(stocked, 'box').pid}/status") as status:
            monitor = next(line.split()[1] for line in status if line.startswith("PPid:"))
        with open(f"/proc/{monitor}/oom_score_adj") as score, open("/proc/self/oom_score_adj") as ours:
            assert score.read() == ours.read()
        until(lambda: stocked("logs", "box").stdout == "300\n", "the score")
    finally:
        stocked("rm", "-f", "box").ok()


@needs_capability("CAP_SYS_RESOURCE", 24)
@pytest.mark.parametrize("userns", ["private", "host"])
def test_root_of_a_user_namespace_has_what_its_engine_may_give(stocked: Pyc, image: str, userns: str) -> None:
    wanted = ("--userns", userns, "--oom-score-adj", "-500", "--ulimit", "nofile=512:4096")
    show = sh("cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn")
    argv = ["prlimit", "--nofile=1024:2048", *stocked.argv("run", "--rm", *wanted, image, *show)]
    done = subprocess.run(argv, env=stocked.env(), capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["-500", "512", "4096"], "")
