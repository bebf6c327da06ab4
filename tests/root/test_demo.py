"""``make run`` is the first thing that a stranger sees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import images
from images.registry import Registry
from tests.support.host import needs_command

HERE = os.path.dirname(os.path.dirname(images.__file__))

pytestmark = [pytest.mark.root, needs_command("docker-registry", "skopeo", "busybox")]


def test_the_demo_shows_a_process_in_a_container_of_an_image_from_a_registry():
    done = subprocess.run([sys.executable, "-m", "images.demo"], capture_output=True, text=True, timeout=120, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nuid=0(root)" in done.stdout
    assert "\nfirst-light\n" in done.stdout
    assert "Not Alpine Linux" in done.stdout
    assert "the same again: nothing to pull\n" in done.stdout


def test_a_registry_that_cannot_listen_says_why(tmp_path):
    with Registry(str(tmp_path / "first")) as first:
        port = int(first.address.rpartition(":")[2])
        with pytest.raises(Exception, match="address already in use"), Registry(str(tmp_path / "second"), port=port):
            pass
