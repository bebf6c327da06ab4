"""Archives go both ways between us and podman and skopeo: the same config, layers and names on the other side."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from images import build
from tests.support.cli import Pyc

pytestmark = [pytest.mark.root, pytest.mark.peers]

Podman = Callable[..., str]


def skopeo(*arguments: str) -> str:
    done = subprocess.run(["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def image_id(pyc: Pyc, name: str) -> str:
    return pyc("inspect", "--format", "{{.Id}}", name).ok().stdout.strip()


@pytest.fixture
def two(pyc: Pyc) -> Pyc:
    """Two images that share a layer, one with a second tag."""
    layouts = {name: build.layout(name) for name in ("busybox", "config")}
    for name, layout in layouts.items():
        pyc("pull", f"oci:{layout}:latest").ok()
        pyc("tag", f"localhost/{name}:latest", f"example.test/own/{name}:v1").ok()
    pyc("tag", "localhost/busybox:latest", "busybox:second").ok()
    return pyc


NAMES = ("example.test/own/busybox:v1", "busybox:second", "example.test/own/config:v1")


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_podman_loads_what_we_save(two: Pyc, podman: Podman, tmp_path, form: str):
    path = f"{tmp_path}/saved.tar"
    names = NAMES if form == "docker-archive" else NAMES[:1]  # podman 4 takes one image out of an OCI archive
    two("save", "--format", form, "-o", path, *names).ok()
    podman("load", "-i", path)
    for name in names:
        known = json.loads(
            podman("image", "inspect", name if name.startswith("example") else f"docker.io/library/{name}")
        )
        assert "sha256:" + known[0]["Id"] == image_id(two, name)


def test_podman_loads_ours_from_a_pipe(two: Pyc, podman: Podman):
    saved = subprocess.run(two.argv("save", "busybox:second"), env=two.env(), capture_output=True, check=True).stdout
    podman("load", stdin=saved)
    assert "busybox" in podman("images", "--format", "{{.Repository}}:{{.Tag}}")


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_we_load_what_podman_saves(two: Pyc, podman: Podman, tmp_path, form: str):
    ours, theirs = f"{tmp_path}/ours.tar", f"{tmp_path}/theirs.tar"
    several = ("-m",) if form == "docker-archive" else ()
    names = ["example.test/own/config:v1", *(["example.test/own/busybox:v1"] if several else [])]
    two("save", "--format", form, "-o", ours, *names).ok()
    podman("load", "-i", ours)
    podman("save", "--format", form, *several, "-o", theirs, *names)
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    loaded = fresh("load", "-i", theirs).ok()
    for name in names:
        assert f"Loaded image: {name}" in loaded.lines
        assert image_id(fresh, name) == image_id(two, name)


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_skopeo_reads_what_we_save(two: Pyc, tmp_path, transport: str):
    path = f"{tmp_path}/saved.tar"
    two("save", "-o", path, NAMES[0]).ok()
    config = json.loads(skopeo("inspect", "--config", f"{transport}:{path}"))
    layout = build.layout("busybox")
    assert config == json.loads(skopeo("inspect", "--config", f"oci:{layout}:latest"))
    skopeo("copy", f"{transport}:{path}", f"dir:{tmp_path}/copied")
    assert any(name.startswith("manifest") for name in os.listdir(f"{tmp_path}/copied"))


@pytest.mark.parametrize(
    ("transport", "tag"),
    [
        ("docker-archive", "latest"),
        ("docker-archive", "plain"),  # skopeo writes no zstd there
        *((transport, tag) for transport in ("oci-archive", "oci") for tag in ("latest", "plain", "zstd")),
    ],
)
def test_we_pull_what_skopeo_writes(pyc: Pyc, tmp_path, transport: str, tag: str):
    layout, path = build.layout("busybox"), f"{tmp_path}/written"
    skopeo("copy", f"oci:{layout}:{tag}", f"{transport}:{path}:example.test/b:v1")
    pyc("pull", f"{transport}:{path}").ok()
    expected = json.loads(skopeo("inspect", "--raw", f"oci:{layout}:{tag}"))["config"]["digest"]
    assert pyc("images", "--no-trunc", "--quiet").ok().stdout.strip() == expected


@pytest.mark.parametrize(("tag", "words"), [("latest", ()), ("zstd", ()), ("multi", ("--all",))])
def test_we_run_what_skopeo_writes_into_a_directory(pyc: Pyc, tmp_path, tag: str, words: tuple[str, ...]):
    skopeo("copy", *words, f"oci:{build.layout('busybox')}:{tag}", f"dir:{tmp_path}/flat")
    assert pyc("run", "--rm", f"dir:{tmp_path}/flat", "echo", "hi").ok().lines == ["hi"]
    assert pyc("images", "--format", "{{.Repository}}:{{.Tag}}").ok().lines == ["localhost/flat:latest"]
    assert pyc("load", "-i", f"{tmp_path}/flat").ok().stdout.startswith("Loaded image ID: sha256:")
    (blob,) = [name for name in os.listdir(f"{tmp_path}/flat") if os.path.getsize(f"{tmp_path}/flat/{name}") > 100_000]
    with open(f"{tmp_path}/flat/{blob}", "r+b") as file:
        file.write(b"x")
    pyc("rmi", "--all").ok()
    assert pyc("pull", f"dir:{tmp_path}/flat").code == 1
    assert not pyc("images", "-q").ok().stdout


def test_what_is_no_such_directory_is_one_line(pyc: Pyc, tmp_path):
    assert "is no directory with version and manifest.json" in pyc("pull", f"dir:{tmp_path}").stderr
    assert "can't open" in pyc("pull", f"dir:{tmp_path}/gone").stderr
    for name, text in (("version", "Directory Transport Version: 2.0"), ("manifest.json", "{}")):
        with open(f"{tmp_path}/{name}", "w") as file:
            file.write(text)
    assert "is of version" in pyc("pull", f"dir:{tmp_path}").stderr
