"""A real registry behind a real web server: TLS, client certificates, redirects, logins, and the settings for them."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from images.registry import Registry, free_port
from tests.support.cli import Pyc
from tests.support.fake_registry import FakeRegistry, when
from tests.support.host import needs_command
from tests.support.nginx import Nginx, certificates
from tests.support.private_registry import PASSWORD, private_registry

pytestmark = [pytest.mark.root, needs_command("nginx", "openssl", "docker-registry")]

BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()

Front = Callable[..., Nginx]


@pytest.fixture
def front(tmp_path: object, registry: Registry) -> Iterator[Front]:
    """Starts an nginx in front of the registry, or of another one."""
    certificates(str(tmp_path))
    with ExitStack() as stack:
        yield lambda upstream="", **words: stack.enter_context(
            Nginx(str(tmp_path), upstream or registry.address, **words)
        )


@pytest.fixture
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for a password, with busybox in it."""
    with private_registry(tmp_path_factory.mktemp("private")) as running:
        yield running


def trust(pyc: Pyc, nginx: Nginx, *, client: bool = False) -> str:
    """Put the authority into certs.d of this user."""
    directory = f"{pyc.scratch}/home/.config/containers/certs.d/{nginx.host}"
    os.makedirs(directory)
    shutil.copy(f"{nginx.directory}/ca.crt", directory)
    if client:
        shutil.copy(f"{nginx.directory}/client.crt", f"{directory}/client.cert")
        shutil.copy(f"{nginx.directory}/client.key", directory)
    return directory


def registries(pyc: Pyc, text: str) -> dict[str, str]:
    with open(f"{pyc.scratch}/registries.conf", "w") as file:
        file.write(text)
    return {"CONTAINERS_REGISTRIES_CONF": file.name}


def test_an_authority_in_certs_d_is_trusted_and_without_it_nobody(pyc: Pyc, front: Front) -> None:
    name = f"{(nginx := front()).host}/library/busybox"
    refused = pyc("pull", "-q", name)
    assert refused.code == 1
    assert "its certificate is not trusted" in refused.stderr
    trust(pyc, nginx)
    assert pyc("pull", "-q", name).ok().stdout == f"{name}:latest\n"


def test_tls_is_not_checked_where_registries_conf_says_so_and_nowhere_else(pyc: Pyc, front: Front) -> None:
    name = f"{(nginx := front()).host}/library/busybox"
    pyc("pull", "-q", name, env=registries(pyc, f'[[registry]]\nlocation = "{nginx.host}"\ninsecure = true\n')).ok()
    other = registries(pyc, '[[registry]]\nlocation = "localhost:1"\ninsecure = true\n')
    assert "not trusted" in pyc("pull", "-q", name, env=other).stderr


def test_a_list_of_manifests_passes_an_unknown_certificate_only_if_told_so(pyc: Pyc, front: Front) -> None:
    host = front().host
    image, made = f"{host}/library/busybox:latest", f"{host}/lists/insecure:v1"
    commands = (("create", made, image), ("push", made), ("inspect", f"{host}/library/busybox:multi"))
    for command, *names in commands:
        refused = pyc("manifest", command, *names)
        assert refused.code == 1 and "not trusted" in refused.stderr, command
        pyc("manifest", command, "--insecure", *names).ok()


def test_a_registry_that_wants_to_know_us_gets_our_certificate_and_no_other_host_does(pyc: Pyc, front: Front) -> None:
    nginx = front(server="ssl_client_certificate {directory}/ca.crt; ssl_verify_client on;")
    name = f"{nginx.host}/library/busybox"
    directory = trust(pyc, nginx)
    assert "400" in pyc("pull", "-q", name).stderr
    shutil.copy(f"{nginx.directory}/client.crt", f"{directory}/client.cert")
    assert "has no key beside it" in pyc("pull", "-q", name).stderr
    shutil.copy(f"{nginx.directory}/client.key", directory)
    pyc("pull", "-q", name).ok()


def test_a_mirror_a_remapped_and_a_blocked_prefix(pyc: Pyc, front: Front, registry: Registry) -> None:
    nginx = front()
    trust(pyc, nginx)
    dead = 'location = "127.0.0.1:9"\n'
    mirrors = f'[[registry.mirror]]\n{dead}[[registry.mirror]]\nlocation = "{nginx.host}"\n'
    mirrored = f'[[registry]]\nprefix = "docker.io"\n{mirrors}'
    remapped = f'[[registry]]\nprefix = "example.com/team"\nlocation = "{nginx.host}/library"\n'
    blocked = '[[registry]]\nprefix = "example.com/bad"\nblocked = true\n'
    env = registries(pyc, mirrored + remapped + blocked)
    pyc("pull", "-q", "busybox", env=env).ok()
    pyc("pull", "-q", "example.com/team/alpine", env=env).ok()
    assert "is blocked by registries.conf" in pyc("pull", "-q", "example.com/bad/x", env=env).stderr
    assert set(pyc("images", "--format", "{{.Repository}}").ok().lines) == {"busybox", "example.com/team/alpine"}


def test_a_name_without_a_registry_is_an_alias_or_searched_for(pyc: Pyc, front: Front, registry: Registry) -> None:
    nginx = front()
    trust(pyc, nginx)
    search = f'unqualified-search-registries = ["127.0.0.1:9", "{nginx.host}"]\n'
    env = registries(pyc, f'{search}[aliases]\n"box" = "{registry.address}/library/busybox"\n')
    shown = pyc("pull", "library/alpine", env=env).ok()
    assert "127.0.0.1:9/library/alpine:latest: can't reach registry 127.0.0.1:9: connection refused" in shown.stdout
    assert shown.lines[-1] == f"{nginx.host}/library/alpine:latest"
    assert pyc("pull", "-q", "box:zstd", env=env).ok().lines == [f"{registry.address}/library/busybox:zstd"]
    assert pyc("run", "--rm", "docker://box:zstd", "echo", "hi", env=env).ok().lines == ["hi"]
    assert pyc("image", "inspect", "--format", "{{.RepoTags}}", "library/alpine", env=env).ok().stdout.count("alpine")
    saved = pyc("save", "-o", f"{pyc.scratch}/box.tar", "box:zstd", env=env).ok()
    assert saved.stderr == ""
    assert pyc("rmi", "box:zstd", env=env).ok().lines[0] == f"Untagged: {registry.address}/library/busybox:zstd"
    loaded = pyc("load", "-i", f"{pyc.scratch}/box.tar").ok()
    assert loaded.lines == [f"Loaded image: {registry.address}/library/busybox:zstd"]
    nowhere = pyc("pull", "-q", "no/such", env=env)
    assert nowhere.code == 1
    assert "no registry has no/such: can't reach registry 127.0.0.1:9" in nowhere.stderr
    strict = registries(pyc, f'short-name-mode = "enforcing"\n{search}')
    assert "write the whole name" in pyc("pull", "library/alpine", env=strict).stderr


def test_tls_verify_and_authfile_are_for_one_command(pyc: Pyc, front: Front, private: Registry) -> None:
    nginx, file = front(private.address), "--authfile=logins.json"
    login = ("login", "-u", "me", "--password-stdin", file)
    assert "not trusted" in pyc(*login, nginx.host, stdin=PASSWORD).stderr
    pyc(*login, "--tls-verify=false", nginx.host, stdin=PASSWORD).ok()
    assert stat.S_IMODE(os.stat(f"{pyc.scratch}/logins.json").st_mode) == 0o600
    assert not os.path.exists(f"{pyc.scratch}/home/.docker/config.json")
    assert pyc("login", "--get-login", file, nginx.host).ok().lines == ["me"]
    assert "not logged in to" in pyc("login", "--get-login", nginx.host).stderr
    name = f"{nginx.host}/library/busybox"
    assert "wants authentication" in pyc("pull", "-q", "--tls-verify=false", name).stderr
    assert "not trusted" in pyc("pull", "-q", file, name).stderr
    pyc("pull", "-q", "--tls-verify=false", file, name, f"{name}:zstd").ok()
    pyc("tag", name, f"{nginx.host}/mine/app", f"{nginx.host}/mine/app:2").ok()
    pyc("push", "-q", "--tls-verify=false", file, "--digestfile=digest", f"{nginx.host}/mine/app:2").ok()
    with open(f"{pyc.scratch}/digest") as digest:
        assert digest.read() == pyc("images", "--digests", "--format", "{{.Digest}}", f"{name}:latest").ok().lines[0]
    tags = pyc("search", "--list-tags", "--tls-verify=false", file, f"{nginx.host}/mine/app", "--format={{.Tag}}")
    assert tags.ok().lines == ["2"]
    assert pyc("logout", "--all", file).ok().lines == ["Removed login credentials for all registries"]
    assert pyc("logout", "--all", file).ok().lines == ["Not logged in anywhere"]


def test_a_busy_server_is_asked_again_when_it_says(pyc: Pyc, front: Front) -> None:
    nginx = front(
        before="limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/s; limit_req_status 429;",
        location="limit_req zone=slow; add_header Retry-After 1 always;",
    )
    trust(pyc, nginx)
    shown = pyc("pull", f"{nginx.host}/library/busybox").ok()
    assert "answered 429 Too Many Requests; trying again in 1." in shown.stdout
    assert len([line for line in nginx.log() if " 429 " in line]) <= 6


def test_blobs_come_from_where_the_registry_redirects_to_and_that_host_sees_no_login(
    pyc: Pyc, front: Front, private: Registry
) -> None:
    port = free_port()
    storage = f"""server {{
        listen 127.0.0.1:{port} ssl; access_log {{directory}}/storage.log seen;
        ssl_certificate {{directory}}/server.crt; ssl_certificate_key {{directory}}/server.key;
        location / {{ proxy_pass http://{private.address}; proxy_set_header Authorization "Basic {BASIC}"; }}
    }}"""
    nginx = front(
        private.address,
        before="log_format seen '[$http_authorization] $request';",
        server=f"location ~ /blobs/ {{ return 307 https://127.0.0.1:{port}$request_uri; }}",
        after=storage,
    )
    trust(pyc, nginx)
    pyc("login", "-u", "me", "--password-stdin", nginx.host, stdin=PASSWORD).ok()
    pyc("pull", "-q", f"{nginx.host}/library/busybox").ok()
    with open(f"{nginx.directory}/storage.log") as file:
        lines = file.read().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("[-] GET /v2/library/busybox/blobs/") for line in lines)


def test_a_redirect_to_plain_http_is_refused(pyc: Pyc, front: Front, registry: Registry) -> None:
    nginx = front(server=f"location ~ /blobs/ {{ return 307 http://{registry.address}$request_uri; }}")
    trust(pyc, nginx)
    assert "over plain HTTP, which is refused" in pyc("pull", "-q", f"{nginx.host}/library/busybox").stderr


def test_login_pull_logout_with_a_password(pyc: Pyc, private: Registry) -> None:
    name, config = f"{private.address}/library/busybox", f"{pyc.scratch}/home/.docker/config.json"
    refused = pyc("pull", "-q", name)
    assert (refused.code, "pyc login" in refused.stderr) == (1, True)
    wrong = pyc("login", "-u", "me", "--password-stdin", private.address, stdin="wrong\n")
    assert wrong.code == 1
    assert "refuses user or password" in wrong.stderr
    assert not os.path.exists(config)
    assert pyc("login", "-u", "me", "--password-stdin", private.address, stdin=f"{PASSWORD}\n").ok().lines == [
        "Login Succeeded"
    ]
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o600
    assert pyc("login", private.address).ok().lines[-1] == "Login Succeeded"  # what is stored is still good
    pyc("pull", "-q", name).ok()
    assert pyc("search", "--list-tags", name, "--format", "{{.Tag}}").ok().lines == [
        "docker",
        "latest",
        "multi",
        "plain",
        "zstd",
    ]
    assert pyc("logout", private.address).ok().lines == [f"Removing login credentials for {private.address}"]
    named = pyc("login", "-u", "me", "--password", PASSWORD, private.address).ok()
    assert (named.lines, "--password-stdin" in named.stderr) == (["Login Succeeded"], True)
    assert pyc("logout", private.address).code == 0
    assert pyc("logout", private.address).ok().lines == [f"Not logged in to {private.address}"]
    assert "wants authentication" in pyc("pull", "-q", f"{name}:zstd").stderr


def test_a_password_is_asked_for_without_being_shown(pyc: Pyc, private: Registry) -> None:
    with pyc.terminal("login", private.address) as terminal:
        terminal.expect("Username: ")
        terminal.send("me\n")
        terminal.expect("Password: ")
        terminal.send(f"{PASSWORD}\n")
        terminal.expect("Login Succeeded")
        assert PASSWORD not in terminal.screen


def test_nothing_that_is_printed_or_run_has_the_password(pyc: Pyc, private: Registry) -> None:
    name = f"{private.address}/library/busybox"
    login = pyc("--debug", "login", "-u", "me", "--password-stdin", private.address, stdin=PASSWORD).ok()
    pulled = pyc("--debug", "pull", "--explain", name).ok()
    broken = pyc("--debug", "pull", "--explain", f"{name}:none")
    said = login.stdout + login.stderr + pulled.stdout + pulled.stderr + broken.stdout + broken.stderr
    assert not re.search(r"sec:ret|bWU6|Basic |Bearer ", said)


def test_a_login_for_one_command_is_shown_to_one_registry_and_kept_nowhere(
    pyc: Pyc, front: Front, private: Registry, registry: Registry
) -> None:
    nginx, name = front(private.address), f"{private.address}/library/busybox"
    creds = ("--creds", "me")
    pyc("pull", "-q", *creds, name, stdin=f"{PASSWORD}\n").ok()
    pyc("tag", name, f"{private.address}/mine/app").ok()
    pyc("push", "-q", *creds, f"{private.address}/mine/app", stdin=PASSWORD).ok()
    tags = pyc("search", "--list-tags", *creds, f"{private.address}/mine/app", "--format={{.Tag}}", stdin=PASSWORD)
    assert tags.ok().lines == ["latest"]
    assert "mine/app" in pyc("search", *creds, f"{private.address}/mine", stdin=PASSWORD).ok().stdout
    pyc("manifest", "create", f"{private.address}/mine/list", f"{private.address}/mine/app").ok()
    pyc("manifest", "push", *creds, f"{private.address}/mine/list", stdin=PASSWORD).ok()
    shown = pyc("manifest", "inspect", *creds, f"{private.address}/mine/app", stdin=PASSWORD).ok()
    assert '"layers"' in shown.stdout
    warned = pyc("pull", "-q", f"--creds=me:{PASSWORD}", name).ok()
    assert "--creds me" in warned.stderr and PASSWORD not in warned.stderr
    for words, said in (("me:wrong", "refuses user or password"), ("me:", "password is missing"), (":x", "user is")):
        refused = pyc("pull", "-q", "--creds", words, name)
        assert refused.code in (1, 125) and said in refused.stderr
    assert not os.path.exists(f"{pyc.scratch}/home/.docker/config.json")
    mirror = f'[[registry]]\nprefix="{registry.address}"\n[[registry.mirror]]\nlocation="{nginx.host}"\ninsecure=true'
    pyc("pull", "-q", *creds, f"{registry.address}/library/busybox", stdin=PASSWORD, env=registries(pyc, mirror)).ok()
    assert not any("Basic" in line for line in nginx.log())
    several = registries(pyc, f'unqualified-search-registries = ["{private.address}", "{registry.address}"]')
    assert "which one is the login for" in pyc("pull", *creds, "busybox", stdin=PASSWORD, env=several).stderr


def test_a_password_among_the_arguments_is_overwritten_at_once(pyc: Pyc) -> None:
    with FakeRegistry() as slow:
        asked = threading.Event()
        slow.rules.append(when("/v2/", lambda handler: (asked.set(), time.sleep(2), handler.answer(404)), forever=True))
        for words in (
            ["pull", "--creds", f"me:{PASSWORD}", f"{slow.host}/app"],
            ["login", "-u", "me", f"--password={PASSWORD}", slow.host],
            ["login", "-u", "me", "-p", PASSWORD, slow.host],
        ):
            asked.clear()
            with subprocess.Popen(pyc.argv(*words), env=pyc.env(), stderr=subprocess.DEVNULL) as process:
                assert asked.wait(20)
                with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                    shown = file.read()
                process.kill()
            assert PASSWORD.encode() not in shown
            assert slow.host.encode() in shown and b"*" * len(PASSWORD.encode()) in shown


def test_a_login_works_through_tls(pyc: Pyc, front: Front, private: Registry) -> None:
    nginx = front(private.address)
    trust(pyc, nginx)
    pyc("login", "-u", "me", "--password-stdin", f"https://{nginx.host}/v2/", stdin=PASSWORD).ok()
    pyc("pull", "-q", f"{nginx.host}/library/busybox").ok()


def test_a_root_is_imported_over_tls_from_who_is_trusted(pyc: Pyc, front: Front, registry: Registry) -> None:
    nginx = front()
    pyc("pull", f"{registry.address}/library/busybox").ok()
    layer = pyc("manifest", "inspect", f"{registry.address}/library/busybox").ok().stdout.rpartition('"digest": "')[2]
    url = f"https://{nginx.host}/v2/library/busybox/blobs/{layer.partition(chr(34))[0]}"
    assert "its certificate is not trusted" in pyc("import", url, "mine").stderr
    trust(pyc, nginx)
    pyc("import", url, "mine").ok()
    assert pyc("run", "--rm", "mine", "/bin/busybox", "echo", "hi").ok().stdout == "hi\n"


def test_all_tags_and_the_catalog(pyc: Pyc, registry: Registry) -> None:
    pyc("pull", "-q", "--all-tags", f"{registry.address}/library/busybox").ok()
    tags = pyc("images", "--format", "{{.Tag}}").ok().lines
    assert {"latest", "zstd", "plain", "multi", "docker"} <= set(tags)
    found = pyc("search", f"{registry.address}/busy", "--format", "{{.Name}}").ok()
    assert found.lines == [f"{registry.address}/library/busybox"]
    assert pyc("pull", "-a", "busybox:latest").code == 125
