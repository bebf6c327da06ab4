"""A login of ours lets podman, skopeo and docker in, and one of theirs lets us in."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from images.registry import Registry
from tests.support.cli import Pyc
from tests.support.host import missing_command, needs_command
from tests.support.private_registry import PASSWORD, private_registry

pytestmark = [pytest.mark.peers, pytest.mark.root, needs_command("docker-registry", "skopeo")]

TOOLS = {
    "skopeo": ["skopeo", "login", "--tls-verify=false"],
    "podman": ["podman", "login", "--tls-verify=false"],
    "docker": ["docker", "--host", "unix:///nowhere", "login"],  # without a daemon it asks the registry by itself
}
READERS = {
    "skopeo": ["skopeo", "inspect", "--tls-verify=false", "docker://{}/library/busybox"],
    "podman": ["podman", "search", "--tls-verify=false", "--list-tags", "{}/library/busybox"],
    "docker": ["docker", "--host", "unix:///nowhere", "manifest", "inspect", "--insecure", "{}/library/busybox"],
}
LOGOUT = {
    "skopeo": ["skopeo", "logout"],
    "podman": ["podman", "logout"],
    "docker": ["docker", "--host", "unix:///nowhere", "logout"],
}


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for a password, with busybox in it."""
    with private_registry(tmp_path_factory.mktemp("private")) as running:
        yield running


@pytest.fixture
def here(pyc: Pyc) -> dict[str, str]:
    """The environment that everybody shares."""
    os.makedirs(f"{pyc.scratch}/run")
    return pyc.env(XDG_RUNTIME_DIR=f"{pyc.scratch}/run")


def call(here: dict[str, str], command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    if reason := missing_command(command[0]):
        pytest.skip(reason)
    return subprocess.run(command, env=here, input=stdin, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("tool", READERS)
def test_they_read_our_login(pyc: Pyc, private: Registry, here: dict[str, str], tool: str) -> None:
    command = [word.format(private.address) for word in READERS[tool]]
    assert call(here, command).returncode
    pyc("login", "-u", "me", "--password-stdin", private.address, stdin=PASSWORD, env=here).ok()
    done = call(here, command)
    assert done.returncode == 0, done.stderr
    pyc("logout", private.address, env=here).ok()
    assert call(here, command).returncode


@pytest.mark.parametrize("tool", TOOLS)
def test_we_read_their_login_and_end_it(pyc: Pyc, private: Registry, here: dict[str, str], tool: str) -> None:
    name = f"{private.address}/library/busybox"
    done = call(here, [*TOOLS[tool], "-u", "me", "--password-stdin", private.address], PASSWORD)
    assert done.returncode == 0, done.stderr
    pyc("pull", "-q", name, env=here).ok()
    assert pyc("login", "--get-login", private.address, env=here).ok().lines == ["me"]
    pyc("logout", private.address, env=here).ok()
    assert "wants authentication" in pyc("pull", "-q", name, env=here).stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_what_they_log_out_of_is_gone_for_us(pyc: Pyc, private: Registry, here: dict[str, str], tool: str) -> None:
    call(here, [*TOOLS[tool], "-u", "me", "--password-stdin", private.address], PASSWORD)
    assert call(here, [*LOGOUT[tool], private.address]).returncode == 0
    assert "not logged in" in pyc("login", "--get-login", private.address, env=here).stderr


HELPER = r"""#!/bin/sh
printf '%s ' "$@" >> "$HOME/helper-argv"
case $1 in
get) read -r server; [ -f "$HOME/kept" ] || { echo "credentials not found in native keychain"; exit 1; }
     cat "$HOME/kept" ;;
store) cat > "$HOME/kept" ;;
erase) read -r server; grep -q "\"$server\"" "$HOME/kept" && rm "$HOME/kept" ;;
list) [ ! -f "$HOME/kept" ] || sed 's/.*"ServerURL": "\([^"]*\)".*/{"\1": "me"}/' "$HOME/kept" ;;
esac
"""


@pytest.mark.parametrize("tool", ["skopeo", "docker"])
def test_a_helper_is_shared(pyc: Pyc, private: Registry, here: dict[str, str], tool: str) -> None:
    os.makedirs(f"{pyc.scratch}/bin")
    with open(f"{pyc.scratch}/bin/docker-credential-box", "w") as file:
        file.write(HELPER)
    os.chmod(file.name, 0o755)
    here["PATH"] = f"{pyc.scratch}/bin:{here['PATH']}"
    home = f"{pyc.scratch}/home"
    os.makedirs(f"{home}/.docker")
    with open(f"{home}/.docker/config.json", "w") as file:
        json.dump({"credHelpers": {private.address: "box"}}, file)
    pyc("login", "-u", "me", "--password-stdin", private.address, stdin=PASSWORD, env=here).ok()
    done = call(here, [word.format(private.address) for word in READERS[tool]])
    assert done.returncode == 0, done.stderr
    pyc("pull", "-q", f"{private.address}/library/busybox", env=here).ok()
    with open(f"{home}/helper-argv") as argv, open(f"{home}/.docker/config.json") as config:
        assert "sec:ret" not in argv.read() + config.read()
    assert pyc("logout", "--all", env=here).ok().lines == ["Removed login credentials for all registries"]
    assert not os.path.exists(f"{home}/kept")
