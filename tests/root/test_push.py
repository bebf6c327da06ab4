from __future__ import annotations

import json
import subprocess

import pytest

from images.registry import Registry
from tests.support.cli import Pyc

pytestmark = pytest.mark.root


def raw(name: str) -> bytes:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("tag", ["latest", "docker", "zstd", "plain"])
def test_what_was_pulled_is_pushed_byte_for_byte(pyc: Pyc, registry: Registry, image: str, tag: str):
    pyc("pull", f"{image}:{tag}").ok()
    copy = f"{registry.address}/copies/{tag}:v1"
    pyc("tag", f"{image}:{tag}", copy).ok()
    shown = pyc("push", copy).ok()
    assert raw(copy) == raw(f"{image}:{tag}")
    layer = json.loads(raw(copy))["layers"][0]["digest"][7:19]
    assert f"{layer}: Mounted from another repository" in shown.lines
    assert shown.lines[-1].startswith("v1: digest: sha256:")
    again = pyc("push", copy).ok()
    assert f"{layer}: Layer already exists" in again.lines
