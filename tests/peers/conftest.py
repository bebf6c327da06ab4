"""The other engines, each with a store of its own that is gone afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.support.host import missing_command


@pytest.fixture
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Run ``podman ARGUMENTS``; gives what it printed, and fails the test if it failed."""
    if reason := missing_command("podman"):
        pytest.skip(reason)
    base = str(tmp_path_factory.mktemp("podman"))

    def call(*arguments: str, stdin: bytes | None = None) -> str:
        place = ["--root", f"{base}/root", "--runroot", f"{base}/run", "--storage-driver", "vfs"]
        done = subprocess.run(["podman", *place, *arguments], input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    yield call
    call("rmi", "--all", "--force")
