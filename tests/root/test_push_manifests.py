from __future__ import annotations

import json
import os
import subprocess

import pytest

from images.registry import Registry
from tests.support.cli import Pyc

pytestmark = pytest.mark.root


def raw(name: str) -> dict:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.fixture
def parts(pyc: Pyc, registry: Registry, image: str) -> list[str]:
    """A local image that was never pushed, and one in another repository of the registry."""
    pyc("pull", f"{image}:latest").ok()
    mine = f"{registry.address}/lists/mine:v1"
    pyc("tag", f"{image}:latest", mine).ok()
    return [mine, f"{registry.publish('users')}:latest"]


def test_a_list_of_a_local_and_a_remote_image_becomes_an_index(pyc: Pyc, registry: Registry, parts, tmp_path):
    name = f"{registry.address}/lists/new{os.path.basename(tmp_path)}:v1".replace("_", "-")
    assert pyc("manifest", "create", name, *parts).ok().lines == [f"Created manifest list {name}"]
    pyc("manifest", "annotate", name, parts[1], "--arch", "arm64", "--variant", "v9", "--os-features", "a,b").ok()
    refused = pyc("manifest", "annotate", name, parts[1], "--arch", "no\nword")
    assert refused.code == 125 and "can't be a part of a platform" in refused.stderr
    shown = json.loads(pyc("manifest", "inspect", name).ok().stdout)
    assert [entry["platform"]["architecture"] for entry in shown["manifests"]][1] == "arm64"
    digest = pyc("manifest", "push", "--purge", name).ok().stdout.strip()
    pushed = raw(f"{name.rpartition(':')[0]}@{digest}")
    assert pushed == shown == raw(name)
    assert pushed["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert pushed["manifests"][1]["platform"] == {
        "architecture": "arm64", "os": "linux", "os.features": ["a", "b"], "variant": "v9",
    }  # fmt: skip
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    fresh("pull", name).ok()
    lied = fresh("pull", "--platform", "linux/arm64/v9", name)  # the index says arm64, the image itself amd64
    assert (lied.code, lied.stderr) == (1, "pyc: the image is for linux/amd64, not for linux/arm64/v9\n")
    again = pyc("manifest", "push", name)
    assert (again.code, again.stderr.splitlines()[0]) == (1, f"pyc: no such manifest list: {name}")


def test_docker_manifests_make_a_docker_list(pyc: Pyc, registry: Registry, image: str):
    name = f"{registry.address}/lists/docker:v1"
    pyc("manifest", "create", name, f"{image}:docker").ok()
    pyc("manifest", "push", name).ok()
    assert raw(name)["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"


def test_a_list_is_not_replaced_by_accident(pyc: Pyc, registry: Registry, image: str):
    name = f"{registry.address}/lists/twice:v1"
    pyc("manifest", "create", name, f"{image}:latest").ok()
    refused = pyc("manifest", "create", name, f"{image}:zstd")
    assert refused.code == 1
    assert "there is a manifest list" in refused.stderr
    pyc("manifest", "create", "--amend", name, f"{image}:zstd").ok()
    assert len(json.loads(pyc("manifest", "inspect", name).ok().stdout)["manifests"]) == 2
    pyc("manifest", "rm", name).ok()
    assert pyc("manifest", "rm", name).code == 1


def test_an_index_can_not_be_in_a_list(pyc: Pyc, registry: Registry, image: str):
    refused = pyc("manifest", "create", f"{registry.address}/lists/bad:v1", f"{image}:multi")
    assert refused.code == 1
    assert "is a list of manifests itself" in refused.stderr


def test_inspect_shows_what_a_registry_has(pyc: Pyc, image: str):
    assert json.loads(pyc("manifest", "inspect", f"{image}:multi").ok().stdout) == raw(f"{image}:multi")
    verbose = json.loads(pyc("manifest", "inspect", "--verbose", f"{image}:multi").ok().stdout)
    assert [entry["Ref"] for entry in verbose] == [
        f"{image}@{entry['digest']}" for entry in raw(f"{image}:multi")["manifests"]
    ]
    assert verbose[0]["OCIManifest"]["config"]


def test_images_are_found_by_mirrors_short_names_and_ids(pyc: Pyc, registry: Registry, image: str, tmp_path):
    mirror, short = registry.mirror(), f"{tmp_path}/short.conf"
    with open(short, "w") as file:
        file.write(f'unqualified-search-registries = ["127.0.0.1:1", "{registry.address}/library"]')
    for name, conf in (("busybox", mirror), ("busybox:multi", short)):
        there = {"CONTAINERS_REGISTRIES_CONF": conf}
        shown = json.loads(pyc("manifest", "inspect", name, env=there).ok().stdout)
        tag = name.partition(":")[2] or "latest"
        assert shown == raw(f"{image}:{tag}")
    made = f"{registry.address}/lists/by-id:v1"
    pyc("manifest", "create", made, "busybox", env={"CONTAINERS_REGISTRIES_CONF": mirror}).ok()
    pyc("manifest", "push", made, env={"CONTAINERS_REGISTRIES_CONF": mirror}).ok()  # its blobs come by the mirror
    assert raw(made)["manifests"][0]["digest"]
    pyc("pull", "-q", image).ok()
    found = pyc("images", "-q").ok().lines[0]
    pyc("manifest", "create", "--amend", made, found).ok()
    assert len(json.loads(pyc("manifest", "inspect", made).ok().stdout)["manifests"]) == 1  # it is the same image
