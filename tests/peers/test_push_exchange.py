"""What we push, other engines pull: the same config, and each its own platform of a list."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from images.registry import Registry
from tests.support.cli import Pyc

pytestmark = [pytest.mark.root, pytest.mark.peers]


def image_id(pyc: Pyc, name: str) -> str:
    return pyc("inspect", "--format", "{{.Id}}", name).ok().stdout.strip()


@pytest.mark.parametrize("tag", ["latest", "docker", "zstd"])
def test_podman_pulls_what_we_push(pyc: Pyc, podman, registry: Registry, image: str, tag: str):
    pyc("pull", f"{image}:{tag}").ok()
    name = f"{registry.address}/peers/pushed:{tag}"
    pyc("tag", f"{image}:{tag}", name).ok()
    pyc("push", name).ok()
    assert "sha256:" + podman("pull", "-q", "--tls-verify=false", name).strip() == image_id(pyc, name)


def test_we_pull_what_podman_pushes(pyc: Pyc, podman, registry: Registry, image: str):
    podman("pull", "-q", "--tls-verify=false", image)
    name = f"{registry.address}/peers/theirs:v1"
    podman("push", "-q", "--tls-verify=false", image, name)
    pyc("pull", name).ok()
    assert pyc("run", "--rm", name, "echo", "hello").ok().stdout == "hello\n"


def test_podman_and_skopeo_find_their_platform_in_our_list(pyc: Pyc, podman, registry: Registry, image: str):
    other = "arm64" if os.uname().machine == "x86_64" else "amd64"
    name, users = f"{registry.address}/peers/list:v1", f"{registry.publish('users')}:latest"
    pyc("manifest", "create", name, f"{image}:latest", users).ok()
    pyc("manifest", "annotate", name, users, "--arch", other).ok()
    pyc("manifest", "push", name).ok()
    pyc("pull", f"{image}:latest").ok()
    assert "sha256:" + podman("pull", "-q", "--tls-verify=false", name).strip() == image_id(pyc, f"{image}:latest")
    command = ["skopeo", "--override-arch", other, "inspect", "--config", "--tls-verify=false", f"docker://{name}"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found["config"]["User"] == "app"  # the other image's
