from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from images.registry import Registry, free_port
from pycontainer.engine.disk_usage import usage
from pycontainer.engine.image.push import push
from pycontainer.engine.options import Roots
from pycontainer.errors import RegistryError
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store
from tests.support.cli import Pyc
from tests.support.host import missing_command
from tests.support.net import wait_for_port

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


def test_quiet_says_the_name_and_nothing_else(pyc: Pyc, registry: Registry, image: str):
    pyc("pull", image).ok()
    pyc("tag", image, f"{registry.address}/copies/quiet").ok()
    done = pyc("push", "-q", f"{registry.address}/copies/quiet").ok()
    assert (done.stdout, done.stderr) == (f"{registry.address}/copies/quiet:latest\n", "")


def test_a_push_that_sends_nothing_does_without_requests(pyc: Pyc, roots: Roots, registry: Registry, image: str):
    copy = f"{registry.address}/copies/again:latest"
    pyc("pull", image).ok()
    pyc("tag", image, copy).ok()
    pyc("push", copy).ok()
    code = f"""if True:
        import sys
        from pycontainer.engine.image.push import push
        from pycontainer.image.reference import Reference
        from pycontainer.image.store import Store
        print(push(Store({roots.root!r}), Reference.parse("{copy}")).digest, "requests" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"


def test_all_tags_of_a_repository_and_no_other(pyc: Pyc, registry: Registry, image: str):
    pyc("pull", image).ok()
    for name in ("many:a", "many:b", "other:c"):
        pyc("tag", image, f"{registry.address}/copies/{name}").ok()
    shown = pyc("push", "--all-tags", f"{registry.address}/copies/many").ok()
    assert [line.split(":")[0] for line in shown.lines if "digest:" in line] == ["a", "b"]
    assert raw(f"{registry.address}/copies/many:a") == raw(f"{registry.address}/copies/many:b")
    with pytest.raises(subprocess.CalledProcessError):
        raw(f"{registry.address}/copies/other:c")
    assert "goes with a name without a tag" in pyc("push", "-a", f"{registry.address}/copies/many:a").stderr


def test_an_image_of_an_index_leaves_as_the_one_manifest_that_is_here(pyc: Pyc, registry: Registry, image: str):
    pyc("pull", f"{image}:multi").ok()
    copy = f"{registry.address}/copies/single:v1"
    pyc("tag", f"{image}:multi", copy).ok()
    digest = pyc("push", copy).ok().lines[-1].split()[2]
    assert "layers" in json.loads(raw(copy))
    assert digest in pyc("images", "--digests", f"{registry.address}/copies/single").ok().stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing/here:v1"], "no such image: nothing/here:v1"),
        (["x@sha256:" + "0" * 64], "a digest follows from the content"),
        (["--platform", "linux/riscv64", "IMAGE"], "is for linux/amd64, not for linux/riscv64"),
        (["x/UPPER"], "invalid image name"),
        ([], "'push' requires at least 1 argument"),
    ],
)
def test_a_mistake_is_one_line(pyc: Pyc, image: str, arguments: list[str], words: str):
    pyc("pull", image).ok()
    done = pyc("push", *[image if word == "IMAGE" else word for word in arguments])
    assert done.code in (1, 125)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dead_registry_is_an_error_at_once(pyc: Pyc, image: str):
    pyc("pull", image).ok()
    name = f"127.0.0.1:{free_port()}/x:v1"
    pyc("tag", image, name).ok()
    done = pyc("push", name, timeout=10)
    assert done.code == 1
    assert "connection refused" in done.stderr


def test_a_blob_that_is_gone_is_said_to_be(pyc: Pyc, registry: Registry, image: str):
    pyc("pull", f"{image}:plain").ok()
    manifest = json.loads(raw(f"{image}:plain"))
    os.unlink(f"{pyc.root}/oci/blobs/" + manifest["layers"][0]["digest"].replace(":", "/"))
    name = f"localhost:{registry.address.rpartition(':')[2]}/gone/x:v1"  # by another name there is nothing to mount
    pyc("tag", f"{image}:plain", name).ok()
    done = pyc("push", name)
    assert done.code == 1
    assert "is missing" in done.stderr


@pytest.fixture
def big(roots: Roots, pyc: Pyc, tmp_path) -> str:
    """The ID of an image with 20 MB that nobody has compressed."""
    with open(f"{tmp_path}/noise", "wb") as file:
        file.write(os.urandom(20 << 20))
    subprocess.run(["tar", "-C", str(tmp_path), "-cf", f"{tmp_path}/big.tar", "noise"], check=True)
    return pyc("import", f"{tmp_path}/big.tar").ok().stdout.strip()


def test_chunks_arrive_whole(pyc: Pyc, roots: Roots, registry: Registry, big: str):
    name = f"{registry.address}/big/chunked:v1"
    pyc("tag", big, name).ok()
    events = []
    push(Store(roots.root), Reference.parse(name), chunk=3 << 20, progress=events.append)
    sent = [event.text.split()[0] for event in events if event.kind == "request" and "uploads" in event.text]
    assert sent.count("PATCH") >= 7
    assert pyc("rmi", name).ok()
    pyc("pull", name).ok()


def test_a_killed_push_leaves_nothing_to_repair(pyc: Pyc, registry: Registry, big: str):
    name = f"{registry.address}/big/killed:v1"
    pyc("tag", big, name).ok()
    for wait in (0.15, 0.2, 0.25, 0.3):
        with pyc.start("push", name) as process:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            process.communicate()
    pyc("push", name).ok()
    assert pyc("pull", name).ok()


PROXY = """
daemon off; user root; pid {base}/pid; error_log {base}/error.log;
events {{ }}
http {{
  access_log off; client_body_temp_path {base}/body; proxy_temp_path {base}/proxy;
  fastcgi_temp_path {base}/f; uwsgi_temp_path {base}/u; scgi_temp_path {base}/s;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 5m;
    location / {{ proxy_pass http://{registry}; proxy_set_header Host $http_host; }}
  }}
}}
"""


@pytest.fixture
def proxy(registry: Registry, tmp_path) -> Iterator[str]:
    """The address of an nginx that lets no request above 5 MB through."""
    if reason := missing_command("nginx"):
        pytest.skip(reason)
    port = free_port()
    with open(f"{tmp_path}/nginx.conf", "w") as file:
        file.write(PROXY.format(base=tmp_path, port=port, registry=registry.address))
    command = [shutil.which("nginx") or "nginx", "-p", str(tmp_path), "-c", f"{tmp_path}/nginx.conf"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_a_proxy_with_a_limit_is_passed_in_chunks(pyc: Pyc, registry: Registry, big: str, proxy: str):
    pyc("tag", big, f"{proxy}/big/proxied:v1").ok()
    shown = pyc("push", f"{proxy}/big/proxied:v1").ok()
    assert "takes no large requests" in shown.stdout
    pyc("pull", f"{registry.address}/big/proxied:v1").ok()


def test_a_registry_with_a_password_wants_it(pyc: Pyc, roots: Roots, image: str, tmp_path):
    crypt = pytest.importorskip("crypt")
    with open(f"{tmp_path}/htpasswd", "w") as file:
        file.write("me:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)) + "\n")
    pyc("pull", image).ok()
    with Registry(f"{tmp_path}/registry", htpasswd=f"{tmp_path}/htpasswd") as locked:
        name = Reference.parse(f"{locked.address}/mine/x:v1")
        pyc("tag", image, str(name)).ok()
        with pytest.raises(RegistryError, match="wants authentication"):
            push(Store(roots.root), name)
        with pytest.raises(RegistryError, match="wants authentication"):
            push(Store(roots.root), name, credentials=lambda host: ("me", "wrong"))
        pushed = push(Store(roots.root), name, credentials=lambda host: ("me", "secret"))
        assert pushed.digest.startswith("sha256:")


OCI_LAYER, DOCKER_LAYER = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"


def pushed_types(name: str) -> list[str]:
    manifest = json.loads(raw(name))
    return [manifest["mediaType"].split(".")[1], manifest["config"]["digest"], manifest["layers"][0]["mediaType"]]


def test_an_image_is_pushed_in_the_format_and_compression_that_is_wanted(
    pyc: Pyc, roots: Roots, registry: Registry, image: str, tmp_path
):
    pyc("pull", "-q", image).ok()
    made, shown = pyc("inspect", "-f", "{{.Id}}", image).ok().stdout.strip(), []
    for number, words in enumerate(
        (
            ("--format", "docker"),
            ("--format", "v2s2", "--compression-format=gzip"),
            ("--compression-format", "zstd"),
            ("--format=oci", "--compression-format", "gzip"),
        )
    ):
        name = f"{registry.address}/wanted/app:{number}"
        pyc("tag", image, name).ok()
        said = pyc("push", *words, name).ok().lines[-1]
        kind, config, layer = pushed_types(name)
        assert config == made
        shown.append((kind, layer))
        assert said.split()[2] == pyc("images", "--format", "{{.Digest}}", name).ok().stdout.strip()
        fresh = Pyc.beneath(f"{tmp_path}/{number}")
        fresh("pull", "-q", name).ok()
        assert fresh("run", "--rm", name, "echo", "hi").ok().stdout == "hi\n"
    docker, oci = ("docker", f"{DOCKER_LAYER}.gzip"), ("oci", f"{OCI_LAYER}+gzip")
    assert shown == [docker, docker, ("oci", f"{OCI_LAYER}+zstd"), oci]
    assert "wanted/app:0" in pyc("push", "-q", "--format=docker", f"{registry.address}/wanted/app:0").ok().stdout
    assert pyc("system", "check").ok().lines == ["everything is as it should be"]
    digests = pyc("images", "--digests", "--format", "{{.Digest}}", f"{registry.address}/wanted/app").ok().lines
    assert len(digests) == 4 and len(set(digests)) >= 3
    document = json.loads(pyc("image", "inspect", image).ok().stdout)[0]
    assert {f"{registry.address}/wanted/app@{digest}" for digest in digests} <= set(document["RepoDigests"])
    used = usage(roots)
    assert used.images[0].unique == used.layers == used.unused  # all blobs are the image's


def test_what_docker_archives_have_is_compressed_on_its_way(pyc: Pyc, registry: Registry, image: str, tmp_path):
    command = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://{image}:latest"]
    subprocess.run([*command, f"docker-archive:{tmp_path}/a.tar:plain:1"], check=True)
    pyc("load", "-i", f"{tmp_path}/a.tar").ok()
    name = f"{registry.address}/wanted/plain:1"
    pyc("tag", "plain:1", name).ok()
    pyc("push", name).ok()
    assert pushed_types(name)[2] == f"{OCI_LAYER}+gzip"
    assert "Layer already exists" in pyc("push", name).ok().stdout
    for words, said in (("--format=v1", "unknown format"), ("--compression-format=xz", "unknown format")):
        refused = pyc("push", words, name)
        assert refused.code == 125 and said in refused.stderr
    assert "has no zstd" in pyc("push", "--format=docker", "--compression-format=zstd", name).stderr
