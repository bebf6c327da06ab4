"""The tour in the documents: every command is typed, and prints what the tour says."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys

import pytest

from tests.support.host import missing_command

pytestmark = [pytest.mark.root, pytest.mark.slow]
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def test_every_stop_shows_what_it_says() -> None:
    if reason := missing_command("unshare", "ip", "nft", "ps", "docker-registry"):
        pytest.skip(reason)
    command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.support.tour", f"{TOP}/docs/tour.md"]
    done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    check = doctest.OutputChecker().check_output
    wrong = [each for each in shown if not check(each[1], each[2], doctest.ELLIPSIS)]
    assert not wrong, "\n".join(f"# {typed}{came}" for typed, _, came in wrong)
    assert len(shown) > 40
