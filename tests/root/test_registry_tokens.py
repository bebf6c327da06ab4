"""Debian's docker-registry, and a token server that it believes: who may do what, for how long, and who hears of it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from images.registry import Registry
from pycontainer.engine.image.pull import pull
from pycontainer.engine.options import Roots
from pycontainer.image.push import Pusher
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint
from pycontainer.image.store import Store
from tests.support.cli import Pyc
from tests.support.fake_registry import FakeRegistry, answers, when
from tests.support.host import needs_command
from tests.support.nginx import Nginx, certificates
from tests.support.token_server import Asked, TokenServer

pytestmark = [pytest.mark.root, needs_command("openssl", "docker-registry")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, TokenServer]]:
    """A registry with busybox in it, and the token server that decides about it."""
    directory = str(tmp_path_factory.mktemp("tokens"))
    with (
        TokenServer(directory, {"me": "secret"}) as tokens,
        Registry(f"{directory}/registry", auth=tokens.auth) as running,
    ):
        running.publish("busybox", credentials="me:secret")
        yield running, tokens


@pytest.fixture
def tokens(served: tuple[Registry, TokenServer]) -> Iterator[TokenServer]:
    """The token server, which takes no notice of what tests before did to it."""
    server = served[1]
    server.public, server.identities, server.lifetime, server.gives_identity = set(), {}, 300, False
    server.asked.clear()
    yield server


@pytest.fixture
def locked(served: tuple[Registry, TokenServer]) -> Registry:
    return served[0]


def _log_in(pyc: Pyc, registry: Registry, **keys: str) -> None:
    """Write what ``docker login`` would."""
    os.makedirs(f"{pyc.scratch}/home/.docker")
    with open(f"{pyc.scratch}/home/.docker/config.json", "w") as file:
        json.dump({"auths": {registry.address: keys}}, file)


def test_anybody_may_have_a_token_for_what_is_public_and_for_nothing_else(
    pyc: Pyc, locked: Registry, tokens: TokenServer
) -> None:
    name = f"{locked.address}/library/busybox"
    refused = pyc("pull", "-q", name)
    assert (refused.code, "wants authentication for library/busybox" in refused.stderr) == (1, True)
    tokens.public = {"library/busybox"}
    tokens.asked.clear()
    pyc("pull", "-q", name).ok()
    assert tokens.asked == [Asked("GET", "", ("repository:library/busybox:pull",))]


def test_a_login_is_shown_to_the_token_server_only_and_once(pyc: Pyc, locked: Registry, tokens: TokenServer) -> None:
    wrong = pyc("login", "-u", "me", "--password-stdin", locked.address, stdin="wrong")
    assert f"refuses user or password for {locked.address}" in wrong.stderr
    pyc("login", "-u", "me", "--password-stdin", locked.address, stdin="secret").ok()
    tokens.asked.clear()
    pyc("pull", "-q", f"{locked.address}/library/busybox").ok()
    assert tokens.asked == [Asked("GET", "me", ("repository:library/busybox:pull",))]


def test_a_push_asks_for_what_it_pushes_to_and_for_what_it_mounts_from(
    pyc: Pyc, locked: Registry, tokens: TokenServer
) -> None:
    pyc("login", "-u", "me", "--password-stdin", locked.address, stdin="secret").ok()
    pyc("pull", "-q", f"{locked.address}/library/busybox").ok()
    pyc("tag", f"{locked.address}/library/busybox", f"{locked.address}/mine/copy:1").ok()
    tokens.asked.clear()
    shown = pyc("push", f"{locked.address}/mine/copy:1").ok()
    assert "Mounted from another repository" in shown.stdout
    assert tokens.asked == [Asked("GET", "me", ("repository:mine/copy:pull,push", "repository:library/busybox:pull"))]


def test_an_identity_token_is_traded_for_tokens(pyc: Pyc, locked: Registry, tokens: TokenServer) -> None:
    _log_in(pyc, locked, identitytoken="the-identity")
    refused = pyc("pull", "-q", f"{locked.address}/library/busybox")
    assert f"refuses the identity token for {locked.address}" in refused.stderr
    assert "the-identity" not in refused.stderr
    tokens.identities["the-identity"] = "me"
    tokens.asked.clear()
    pyc("pull", "-q", f"{locked.address}/library/busybox").ok()
    assert tokens.asked == [Asked("refresh_token", "me", ("repository:library/busybox:pull",))]


def test_a_login_keeps_an_identity_token_instead_of_the_password(
    pyc: Pyc, locked: Registry, tokens: TokenServer
) -> None:
    tokens.gives_identity = True
    pyc("login", "-u", "me", "--password-stdin", locked.address, stdin="secret").ok()
    with open(f"{pyc.scratch}/home/.docker/config.json") as file:
        (login,) = json.load(file)["auths"].values()
    assert login["identitytoken"] in tokens.identities
    assert "c2VjcmV0" not in json.dumps(login)
    pyc("pull", "-q", f"{locked.address}/library/busybox").ok()
    assert [asked.how for asked in tokens.asked] == ["GET", "refresh_token"]
    copied = ["skopeo", "inspect", "--tls-verify=false", f"docker://{locked.address}/library/busybox"]
    subprocess.run(copied, env=pyc.env(), check=True, capture_output=True)  # the entry is one that others read


@pytest.mark.slow
def test_a_token_that_lapses_between_the_blobs_of_a_pull_is_renewed(
    pyc: Pyc, roots: Roots, locked: Registry, tokens: TokenServer, tmp_path: object
) -> None:
    certificates(str(tmp_path))
    name = _many_layers(pyc, locked, str(tmp_path))
    pyc("rmi", name).ok()
    tokens.lifetime = 1
    tokens.asked.clear()
    words = f"proxy_pass http://{locked.address}; proxy_set_header Host $http_host; limit_rate 300k;"
    blobs = f"location ~ /blobs/ {{ {words} }}"
    with Nginx(str(tmp_path), locked.address, server=blobs) as slow:
        port, events = slow.port, []
        os.environ["CONTAINERS_REGISTRIES_CONF"] = f"{tmp_path}/registries.conf"
        with open(f"{tmp_path}/registries.conf", "w") as file:
            file.write(f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n')
        try:
            there = Reference.parse(name)._replace(registry=f"127.0.0.1:{port}")
            image = pull(
                Store(roots.root), there, credentials=lambda _: ("me", "secret"), jobs=1, progress=events.append
            )
        finally:
            del os.environ["CONTAINERS_REGISTRIES_CONF"]
    assert len(image.layers) == 3
    assert 2 <= len(tokens.asked) <= 6
    assert set(tokens.asked) == {Asked("GET", "me", ("repository:mine/many:pull",))}
    assert not [event for event in events if event.kind == "retry"]


def _many_layers(pyc: Pyc, registry: Registry, directory: str) -> str:
    """Push an image of three layers, each more than a second on its way, and tell its name."""
    layout = f"{directory}/layout"
    subprocess.run(["umoci", "init", "--layout", layout], check=True)
    subprocess.run(["umoci", "new", "--image", f"{layout}:many"], check=True)
    for number in range(3):
        with open(f"{directory}/file", "wb") as file:
            file.write(os.urandom(700_000))
        added = ["umoci", "insert", "--image", f"{layout}:many", f"{directory}/file", f"/file{number}"]
        subprocess.run(added, check=True)
    name = f"{registry.address}/mine/many:1"
    pyc("pull", "-q", f"oci:{layout}:many").ok()
    pyc("tag", "localhost/layout:many", name).ok()
    pyc("login", "-u", "me", "--password-stdin", registry.address, stdin="secret").ok()
    pyc("push", "-q", name).ok()
    pyc("rmi", "localhost/layout:many").ok()
    return name


@pytest.mark.slow
def test_a_token_that_lapses_in_a_push_is_renewed(
    pyc: Pyc, roots: Roots, locked: Registry, tokens: TokenServer
) -> None:
    pyc("login", "-u", "me", "--password-stdin", locked.address, stdin="secret").ok()
    pyc("pull", "-q", f"{locked.address}/library/busybox").ok()
    store, tokens.lifetime = Store(roots.root), 1
    image = store.find(f"{locked.address}/library/busybox")
    pusher = Pusher(Endpoint(locked.address, "mine/slowly"), credentials=lambda _: ("me", "secret"))
    tokens.asked.clear()
    manifest = store.manifest(image.manifest)
    for blob in (*manifest.layers, manifest.config):
        pusher.upload(blob, store.blob_path(blob.digest))
        time.sleep(2.1)
    data = store.read_blob(image.manifest.digest)
    pusher.put_manifest("1", data, image.manifest.media_type, image.manifest.digest)
    pusher.close()
    assert set(tokens.asked) == {Asked("GET", "me", ("repository:mine/slowly:pull,push",))}
    assert len(tokens.asked) >= 3  # on a busy host an upload takes longer than a token lasts
    pyc("pull", "-q", f"{locked.address}/mine/slowly:1").ok()


HOSTILE = [
    ('Bearer realm="http://192.0.2.1/token",service="x"', "wants authentication over plain HTTP"),
    ('Bearer realm="file:///etc/passwd",service="x"', "is no web address"),
    ("Bearer", "is no web address"),
    ("Basic", "wants authentication"),
    ("Negotiate", "wants authentication"),
    ("", "wants authentication"),
    ('Bearer realm="\x1b]0;title\x07https://",service="' + "A" * 60_000, "is no web address"),
    ("Bearer " + ",".join(f'realm="https://{n}.invalid"' for n in range(1000)), "is no web address"),
]


@pytest.mark.parametrize(("challenge", "said"), HOSTILE)
def test_a_hostile_challenge_gets_no_login_and_is_one_line(pyc: Pyc, challenge: str, said: str) -> None:
    with FakeRegistry() as hostile:
        hostile.rules.append(when("/v2/", answers(401, WWW_Authenticate=challenge), forever=True))
        failed = pyc("pull", "-q", f"{hostile.host}/app:1", timeout=20)
    assert failed.code == 1
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stderr.replace("\n", "").isprintable()
    assert hostile.requests and all("Authorization" not in headers for _, headers in hostile.requests)
