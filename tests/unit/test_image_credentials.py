"""Logins in the files and helpers of docker and podman."""

from __future__ import annotations

import json
import os
import stat
import threading

import pytest

from pycontainer.errors import RegistryError, StoreError
from pycontainer.image import credentials
from pycontainer.image.credentials import TOKEN_USER, Login

ME = "bWU6cHc6MQ=="  # me:pw:1


@pytest.fixture(autouse=True)
def home(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/run")
    return str(tmp_path)


def write(path: str, document: object) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(document if isinstance(document, str) else json.dumps(document))


def read(path: str) -> dict[str, object]:
    with open(path) as file:
        return json.load(file)  # type: ignore[no-any-return]


def test_without_files_there_is_no_login() -> None:
    assert credentials.find("example.com/app") is None
    assert credentials.erase("example.com") == []


@pytest.mark.parametrize("path", [".docker/config.json", "run/containers/auth.json", ".config/containers/auth.json"])
def test_every_file_of_docker_and_podman_is_read(home: str, path: str) -> None:
    write(f"{home}/{path}", {"auths": {"example.com": {"auth": ME}}})
    assert credentials.find("example.com/a/b") == Login("me", "pw:1")
    assert credentials.find("example.com:5000/a/b") is None
    assert credentials.find("example.com.evil.org/a") is None


def test_one_file_can_be_named(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"{home}/.docker/config.json", {"auths": {"example.com": {"auth": ME}}})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{home}/other.json")
    assert credentials.find("example.com/a") is None
    monkeypatch.delenv("REGISTRY_AUTH_FILE")
    monkeypatch.setenv("DOCKER_CONFIG", f"{home}/elsewhere")
    assert credentials.find("example.com/a") is None
    assert credentials.save("example.com", Login("u", "p")).path == f"{home}/elsewhere/config.json"


@pytest.mark.parametrize(
    "key", ["https://index.docker.io/v1/", "docker.io", "https://registry-1.docker.io", "index.docker.io/v1"]
)
def test_docker_hub_goes_by_many_names(home: str, key: str) -> None:
    write(f"{home}/.docker/config.json", {"auths": {key: {"auth": ME}}})
    assert credentials.find("registry-1.docker.io/library/alpine") == Login("me", "pw:1")
    assert credentials.erase("docker.io") == [f"{home}/.docker/config.json"]
    assert credentials.find("docker.io/library/alpine") is None


def test_the_login_for_the_longest_prefix_is_taken(home: str) -> None:
    auths = {"example.com": {"auth": ME}, "example.com/team": {"username": "team", "password": "x"}}
    write(f"{home}/run/containers/auth.json", {"auths": auths})
    assert credentials.find("example.com/team/app") == Login("team", "x")
    assert credentials.find("example.com/teams/app") == Login("me", "pw:1")


def test_an_identity_token_comes_as_one(home: str) -> None:
    write(f"{home}/.docker/config.json", {"auths": {"a.com": {"auth": ME, "identitytoken": "refresh"}}})
    assert credentials.find("a.com/x") == Login(TOKEN_USER, "refresh")


def test_a_login_is_saved_for_our_eyes_alone_and_nothing_else_is_touched(home: str) -> None:
    path = f"{home}/.docker/config.json"
    before = {"auths": {"other.com": {"auth": "eDp5"}, "https://a.com/v2/": {"auth": ME}}, "HttpHeaders": {"X": "y"}}
    write(path, before)
    os.chmod(path, 0o644)
    assert credentials.save("a.com", Login("user", "pä ss")) == credentials.Saved(path, "")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert credentials.find("a.com/x") == Login("user", "pä ss")
    after = read(path)
    assert after["HttpHeaders"] == {"X": "y"}
    assert set(after["auths"]) == {"other.com", "a.com"}  # type: ignore[call-overload]
    assert os.listdir(f"{home}/.docker") == ["config.json"]


def test_a_link_to_the_file_stays_a_link(home: str) -> None:
    write(f"{home}/dotfiles/config.json", {})
    os.mkdir(f"{home}/.docker")
    os.symlink("../dotfiles/config.json", f"{home}/.docker/config.json")
    credentials.save("a.com", Login("u", "p"))
    assert os.path.islink(f"{home}/.docker/config.json")
    assert "a.com" in str(read(f"{home}/dotfiles/config.json"))


def test_what_is_no_regular_file_is_not_replaced(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(f"{home}/pipe")
    for path in (f"{home}/pipe", home):
        monkeypatch.setenv("REGISTRY_AUTH_FILE", path)
        with pytest.raises(StoreError, match="is not a regular file"):
            credentials.save("example.com", Login("me", "secret"))
    assert stat.S_ISFIFO(os.stat(f"{home}/pipe").st_mode)
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/proc/nowhere/auth.json")
    with pytest.raises(StoreError, match="can't make /proc/nowhere"):
        credentials.save("example.com", Login("me", "secret"))


def test_logins_at_the_same_time_are_all_kept() -> None:
    hosts = [f"r{number}.com" for number in range(20)]
    threads = [threading.Thread(target=credentials.save, args=(host, Login("u", host))) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [credentials.find(host) for host in hosts] == [Login("u", host) for host in hosts]


@pytest.mark.parametrize("content", ["[", "[]", "null", '"x"', "[" * 100_000, "\0"])
def test_a_broken_file_is_named_and_not_quoted(home: str, content: str) -> None:
    write(f"{home}/.docker/config.json", content)
    with pytest.raises(RegistryError, match=r"config.json is not a JSON object"):
        credentials.find("a.com")


@pytest.mark.parametrize("auth", ["!!", "bm9jb2xvbg==", "gA==", "a"])
def test_a_broken_login_is_named_and_not_quoted(home: str, auth: str) -> None:
    write(f"{home}/.docker/config.json", {"auths": {"a.com": {"auth": auth}}})
    with pytest.raises(RegistryError, match=r"the login for a\.com is damaged") as caught:
        credentials.find("a.com/x")
    assert auth not in caught.value.message.replace("a.com", "") or auth == "a"


def test_a_login_never_shows_its_secret() -> None:
    assert "secret" not in f"{Login('me', 'secret')} {Login('me', 'secret')!r} {[Login('me', 'secret')]}"


# ---- helpers

HELPER = """#!/bin/sh
echo "$0 $*" >> "$HOME/argv"
case $1 in
get) read -r server; [ -f "$HOME/kept" ] || { echo "credentials not found in native keychain"; exit 1; }
     cat "$HOME/kept" ;;
store) cat > "$HOME/kept" ;;
erase) rm -f "$HOME/kept" ;;
list) [ ! -f "$HOME/kept" ] || echo '{"a.com": "me"}' ;;
esac
"""


@pytest.fixture
def helper(home: str, monkeypatch: pytest.MonkeyPatch) -> str:
    path = f"{home}/bin/docker-credential-box"
    write(path, HELPER)
    os.chmod(path, 0o755)
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    return path


@pytest.mark.parametrize("settings", [{"credsStore": "box"}, {"credHelpers": {"a.com": "box"}}])
def test_a_helper_keeps_the_login_and_hears_it_on_its_standard_input(home: str, helper: str, settings: object) -> None:
    write(f"{home}/.docker/config.json", settings)
    assert credentials.find("a.com/x") is None
    assert credentials.save("a.com", Login("me", "s3cret")).helper == "box"
    assert credentials.find("a.com/x") == Login("me", "s3cret")
    with open(f"{home}/.docker/config.json") as config, open(f"{home}/argv") as argv:
        assert "s3cret" not in config.read() + argv.read()
    assert credentials.erase("a.com")[0] == "docker-credential-box"
    assert credentials.find("a.com/x") is None
    assert not os.path.exists(f"{home}/kept")


def test_a_helper_for_one_registry_is_asked_about_no_other(home: str, helper: str) -> None:
    write(f"{home}/.docker/config.json", {"credHelpers": {"a.com": "box"}, "auths": {"b.com": {"auth": ME}}})
    assert credentials.find("b.com/x") == Login("me", "pw:1")
    assert not os.path.exists(f"{home}/argv")


def test_all_logins_are_forgotten_wherever_they_are(home: str, helper: str) -> None:
    settings = {"credHelpers": {"a.com": "box"}, "auths": {"b.com": {"auth": ME}}, "psFormat": "x"}
    write(f"{home}/.docker/config.json", settings)
    write(f"{home}/run/containers/auth.json", {"auths": {"c.com": {"auth": ME}}})
    credentials.save("a.com", Login("me", "s3cret"))
    assert credentials.erase_all() == [
        "docker-credential-box",
        f"{home}/.docker/config.json",
        f"{home}/run/containers/auth.json",
    ]
    assert [credentials.find(f"{host}/x") for host in ("a.com", "b.com", "c.com")] == [None] * 3
    assert read(f"{home}/.docker/config.json") == {**settings, "auths": {}}
    assert credentials.erase_all() == []
    write(helper, "#!/bin/sh\necho rubbish\n")
    with pytest.raises(RegistryError, match="no list of logins"):
        credentials.erase_all()


@pytest.mark.parametrize("name", ["../box", "box;reboot", "-x", "/bin/sh", "a b", 7, ["box"]])
def test_a_helper_whose_name_is_more_than_a_name_is_not_run(home: str, name: object) -> None:
    write(f"{home}/.docker/config.json", {"credsStore": name})
    with pytest.raises(RegistryError, match="can't be the name of a credential helper"):
        credentials.find("a.com/x")


def test_a_helper_that_is_missing_broken_or_hangs_is_one_line(
    home: str, helper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f"{home}/.docker/config.json", {"credsStore": "absent"})
    with pytest.raises(RegistryError, match="can't run docker-credential-absent: No such file"):
        credentials.find("a.com/x")
    write(f"{home}/.docker/config.json", {"credsStore": "box"})
    for script, message in (
        ("echo locked; exit 3", "get failed with code 3: locked"),
        ("echo no json", "gave no login"),
        ("sleep 60", "took longer than"),
    ):
        write(
            helper,
            f"#!/bin/sh\nexec 2>/dev/null\n{script}\n" if "sleep" not in script else "#!/bin/sh\nexec sleep 60\n",
        )
        monkeypatch.setattr(credentials, "_HELPER_TIMEOUT", 0.3)
        with pytest.raises(RegistryError, match=message):
            credentials.find("a.com/x")
    write(helper, "#!/bin/sh\ncat; exit 1\n")
    with pytest.raises(RegistryError, match="store failed") as caught:
        credentials.save("a.com", Login("me", "s3cret"))
    assert "s3cret" not in caught.value.message
