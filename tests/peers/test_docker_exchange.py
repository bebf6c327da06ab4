"""A real docker loads what we save, and we load what it saves, links between its layers included."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from images import build
from tests.support.cli import Pyc
from tests.support.dockerd import Dockerd
from tests.support.host import missing_command

pytestmark = [pytest.mark.root, pytest.mark.peers, pytest.mark.slow]


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    if reason := missing_command("dockerd", "docker", "containerd", "runc"):
        pytest.skip(reason)
    with Dockerd(str(tmp_path_factory.mktemp("dockerd"))) as running:
        yield running


@pytest.fixture
def two(pyc: Pyc) -> Pyc:
    for name in ("busybox", "config"):
        pyc("pull", "-q", f"oci:{build.layout(name)}:latest").ok()
        pyc("tag", f"localhost/{name}", f"example.test/own/{name}:v1").ok()
    pyc("tag", "localhost/busybox", "busybox:second").ok()
    return pyc


NAMES = ("example.test/own/busybox:v1", "busybox:second", "example.test/own/config:v1")


def saved(pyc: Pyc, *names: str) -> bytes:
    return subprocess.run(pyc.argv("save", *names), env=pyc.env(), capture_output=True, check=True).stdout


def ids(pyc: Pyc, *names: str) -> list[str]:
    return [pyc("inspect", "--format", "{{.Id}}", name).ok().stdout.strip() for name in names]


def test_docker_loads_what_we_save_and_we_load_it_back(two: Pyc, docker: Dockerd, tmp_path):
    docker("load", stdin=saved(two, *NAMES))
    theirs = [docker("image", "inspect", "--format", "{{.Id}}", name).decode().strip() for name in NAMES]
    assert theirs == ids(two, *NAMES)
    archive = docker("save", *NAMES)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getmember("manifest.json")
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    loaded = fresh("load", stdin=archive).ok()
    assert sorted(loaded.lines) == sorted(f"Loaded image: {name}" for name in NAMES)
    assert ids(fresh, *NAMES) == ids(two, *NAMES)
    assert fresh("run", "--rm", "busybox:second", "echo", "hello").ok().stdout == "hello\n"


def test_we_take_an_image_from_the_daemon_itself(two: Pyc, docker: Dockerd, tmp_path):
    docker("load", stdin=saved(two, *NAMES))
    fresh, there = Pyc.beneath(f"{tmp_path}/fresh"), {"DOCKER_HOST": docker.socket}
    assert fresh("pull", "-q", "docker-daemon:busybox:second", env=there).ok().lines == [
        "docker.io/library/busybox:second"
    ]
    assert ids(fresh, "busybox:second") == ids(two, "busybox:second")
    said = fresh("run", "--rm", f"docker-daemon:{ids(two, NAMES[2])[0]}", "/bin/busybox", "echo", "hi", env=there)
    assert said.stdout.endswith("hi\n")
    assert "has no image nothing" in fresh("pull", "docker-daemon:nothing", env=there).stderr
    assert "can't reach the docker daemon" in fresh("pull", "docker-daemon:x", env={"DOCKER_HOST": "unix:///x"}).stderr
    assert "not on this machine" in fresh("pull", "docker-daemon:x", env={"DOCKER_HOST": "tcp://x:1"}).stderr


def test_docker_loads_zstd_layers(pyc: Pyc, docker: Dockerd):
    pyc("pull", "-q", f"oci:{build.layout('busybox')}:zstd").ok()
    assert b"localhost/busybox:zstd" in docker("load", stdin=saved(pyc, "localhost/busybox:zstd"))


def test_we_import_what_docker_exports(two: Pyc, docker: Dockerd, tmp_path):
    docker("load", stdin=saved(two, "busybox:second"))
    container = docker("create", "busybox:second", "true").decode().strip()
    two("import", "-", "exported:v1", stdin=docker("export", container)).ok()
    docker("rm", container)
    assert two("run", "--rm", "exported:v1", "/bin/busybox", "echo", "hello").ok().stdout == "hello\n"
    assert docker("import", "-", "ours:v1", stdin=export(two)).startswith(b"sha256:")


def export(pyc: Pyc) -> bytes:
    pyc("run", "--name", "exported", "busybox:second", "true").ok()
    return subprocess.run(pyc.argv("export", "exported"), env=pyc.env(), capture_output=True, check=True).stdout


CHANGES = (
    "ENV A=1 B='two words' C=\"${A}x\"",
    'ENV D=$A E=${NONE:-no} F=${A:+yes} G=\\$A H=\'$A\' I="a \\"b\\" \\n"',
    "ENV OLD old form  with $A",
    "LABEL a=$A \"b c\"='d e'",
    "EXPOSE 8$A/udp 443 7000-7002",
    "VOLUME /v$A /w",
    'VOLUME ["/x y"]',
    "USER me$A:you",
    "WORKDIR /srv/../$A",
    "WORKDIR below/./it",
    "ONBUILD RUN echo $A",
    "HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --retries=4 CMD test $A",
    'ENTRYPOINT ["/bin/sh", "-c"]',
    "CMD echo $A",
)


@pytest.mark.parametrize("changes", [CHANGES, ("CMD []", "ENTRYPOINT x y", 'HEALTHCHECK CMD ["a", "b"]', "cmd z")])
def test_changes_do_to_a_config_what_they_do_in_docker(pyc: Pyc, docker: Dockerd, changes: tuple[str, ...]):
    words = [word for change in changes for word in ("--change", change)]
    pyc("import", *words, "-", "ours:v1", stdin=bytes(10240)).ok()
    docker("import", *words, "-", "theirs:v1", stdin=bytes(10240))
    ours = json.loads(pyc("image", "inspect", "--format", "{{json .Config}}", "ours:v1").ok().stdout)
    theirs = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", "theirs:v1"))
    empty = (None, "", [], {}, False)
    assert {k: v for k, v in ours.items() if v not in empty} == {k: v for k, v in theirs.items() if v not in empty}
