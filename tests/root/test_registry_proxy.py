"""A real registry with TLS that can be reached through a proxy only."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator

import pytest

from images.registry import Registry, free_port
from tests.support.cli import Pyc
from tests.support.fake_registry import FakeRegistry, answers, when
from tests.support.host import needs_command
from tests.support.nginx import Nginx, certificates
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.root, needs_command("nginx", "openssl", "docker-registry")]

NAME = "registry.example/library/busybox"


@pytest.fixture
def far(registry: Registry, tmp_path: object) -> Iterator[Nginx]:
    """The registry's TLS, which knows itself by names that nobody can resolve."""
    certificates(str(tmp_path), "registry.example", "index.docker.io")
    log = "log_format headers '[$http_authorization$http_proxy_authorization] $request';"
    with Nginx(str(tmp_path), registry.address, before=log, server="access_log {directory}/seen.log headers;") as nginx:
        yield nginx


@pytest.fixture
def proxy(far: Nginx, registry: Registry) -> Iterator[Proxy]:
    """The way there; ``plain.example`` is the registry itself."""
    tls = f"127.0.0.1:{far.port}"
    with Proxy({"registry.example:443": tls, "index.docker.io:443": tls, "plain.example:80": registry.address}) as it:
        yield it


def trust(pyc: Pyc, far: Nginx, host: str = "registry.example") -> None:
    directory = f"{pyc.scratch}/home/.config/containers/certs.d/{host}"
    os.makedirs(directory)
    shutil.copy(f"{far.directory}/ca.crt", directory)


def test_tls_goes_through_a_proxy_that_learns_the_host_and_no_more(pyc: Pyc, far: Nginx, proxy: Proxy) -> None:
    untrusted = pyc("pull", "-q", NAME, env={"HTTPS_PROXY": proxy.url})
    assert "its certificate is not trusted" in untrusted.stderr
    trust(pyc, far)
    proxy.requests.clear()
    pyc("pull", "-q", NAME, env={"HTTPS_PROXY": proxy.url}).ok()
    assert {(method, target) for method, target, _ in proxy.requests} == {("CONNECT", "registry.example:443")}
    assert not any("Authorization" in headers for _, _, headers in proxy.requests)


def test_the_password_of_a_proxy_goes_to_it_and_nowhere_else(pyc: Pyc, far: Nginx, proxy: Proxy) -> None:
    trust(pyc, far)
    proxy.login = "me:pass word"
    pyc("pull", "-q", NAME, env={"HTTPS_PROXY": f"http://me:pass%20word@{proxy.address}"}).ok()
    with open(f"{far.directory}/seen.log") as file:
        seen = file.readlines()
    assert seen and all(line.startswith(("[-] ", "[--] ")) for line in seen)
    wrong = pyc("--debug", "pull", "-q", NAME, env={"HTTPS_PROXY": f"http://me:geheim@{proxy.address}"})
    assert wrong.code == 1
    assert f"proxy {proxy.address}" in wrong.stderr
    assert "407" in wrong.stderr
    assert "geheim" not in wrong.stderr


def test_no_proxy_names_who_is_asked_directly(pyc: Pyc, far: Nginx, proxy: Proxy) -> None:
    trust(pyc, far)
    for exception in ("registry.example", ".example", "other, registry.example", "*"):
        failed = pyc("pull", "-q", NAME, env={"HTTPS_PROXY": proxy.url, "NO_PROXY": exception})
        assert "its name can't be resolved" in failed.stderr
    assert not proxy.requests
    pyc("pull", "-q", NAME, env={"https_proxy": proxy.url, "no_proxy": "elsewhere.example"}).ok()


def test_a_proxy_that_is_down_or_does_not_know_the_host_is_named(pyc: Pyc, far: Nginx, proxy: Proxy) -> None:
    dead = f"127.0.0.1:{free_port()}"
    failed = pyc("pull", "-q", NAME, env={"HTTPS_PROXY": f"http://{dead}"})
    assert f"can't reach registry registry.example: proxy {dead}: connection refused" in failed.stderr
    unknown = pyc("pull", "-q", "other.example/x", env={"HTTPS_PROXY": proxy.url})
    assert f"proxy {proxy.address}" in unknown.stderr
    assert "502" in unknown.stderr
    for malformed in ("http://", "nonsense://"):
        failed = pyc("pull", "-q", NAME, env={"HTTPS_PROXY": malformed})
        assert "can't reach registry registry.example: the address of the proxy is malformed" in failed.stderr
    odd = pyc("pull", "-q", NAME, env={"HTTPS_PROXY": "socks5://127.0.0.1:9"}, timeout=20)
    assert (odd.code, "Traceback" in odd.stderr) == (1, False)
    assert "SOCKS" in odd.stderr


def test_plain_http_goes_through_a_proxy_where_it_is_allowed(pyc: Pyc, proxy: Proxy) -> None:
    env = {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url}
    assert "its name can't be resolved" in pyc("pull", "-q", "plain.example/library/busybox", env=env).stderr
    pyc("pull", "-q", "--tls-verify=false", "plain.example/library/busybox", env=env).ok()
    assert ("GET", "http://plain.example/v2/library/busybox/manifests/latest") in [each[:2] for each in proxy.requests]


RESULTS = {
    "num_results": 3,
    "query": "busy",
    "results": [
        {"name": "busybox", "description": "Busybox base image.", "star_count": 3300, "is_official": True,
         "is_automated": False},
        {"name": "me/busy", "description": "a\x1b[31m long story " + "x" * 60, "star_count": 4, "is_official": False},
        {"name": "../etc/passwd", "description": "", "star_count": 9, "is_official": True},
        {"name": 7}, None,
    ],
}  # fmt: skip


@pytest.fixture
def hub(pyc: Pyc, tmp_path: object) -> Iterator[tuple[FakeRegistry, dict[str, str]]]:
    """What answers a search as Docker Hub does, and the environment in which it is Docker Hub."""
    certificates(str(tmp_path), "index.docker.io")
    with FakeRegistry() as fake, Nginx(str(tmp_path), fake.host) as nginx:
        fake.rules.append(when("/v1/search", answers(200, json.dumps(RESULTS).encode()), forever=True))
        trust(pyc, nginx, "index.docker.io")
        with Proxy({"index.docker.io:443": f"127.0.0.1:{nginx.port}"}) as proxy:
            yield fake, {"HTTPS_PROXY": proxy.url}


def test_docker_hub_is_searched(pyc: Pyc, hub: tuple[FakeRegistry, dict[str, str]]) -> None:
    fake, env = hub
    shown = pyc("search", "busy", env=env).ok()
    assert shown.lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert shown.lines[1].split() == ["busybox", "Busybox", "base", "image.", "3300", "[OK]"]
    assert len(shown.lines) == 3
    assert "…" in shown.lines[2]
    assert fake.paths("/v1/search") == ["/v1/search?q=busy&n=25"]
    whole = pyc("search", "--no-trunc", "--limit", "7", "--format", "{{.Description}}", "busy", env=env).ok()
    assert "x" * 60 in whole.stdout
    assert "\x1b" not in whole.stdout
    assert fake.paths("/v1/search")[-1] == "/v1/search?q=busy&n=7"


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--filter", "is-official=true"), ["busybox"]),
        (("--filter", "is-official=false"), ["me/busy"]),
        (("-f", "stars=5"), ["busybox"]),
        (("-f", "is-automated=true"), []),
        (("--limit", "1"), ["busybox"]),
    ],
)
def test_a_search_is_filtered(
    pyc: Pyc, hub: tuple[FakeRegistry, dict[str, str]], flags: tuple[str, ...], names: list[str]
) -> None:
    assert pyc("search", "--format", "{{.Name}}", *flags, "busy", env=hub[1]).ok().lines == names


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--limit", "0"), "limit must be 1 to 100"),
        (("--limit", "101"), "limit must be 1 to 100"),
        (("-f", "stars=many"), "is no number"),
        (("-f", "is-official=perhaps"), "perhaps"),
        (("-f", "colour=red"), "invalid filter"),
    ],
)
def test_a_wrong_search_is_one_line(pyc: Pyc, flags: tuple[str, ...], said: str) -> None:
    failed = pyc("search", *flags, "busy")
    assert (failed.code, said in failed.stderr) == (125, True), failed.stderr
