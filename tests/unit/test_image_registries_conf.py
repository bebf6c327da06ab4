from __future__ import annotations

import pytest

from pycontainer.errors import RegistryError
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, endpoints, is_loopback, load

CONF = """
unqualified-search-registries = ["quay.io"]

[[registry]]
location = "plain.example"
insecure = true

[[registry]]
prefix = "old.example/team"
location = "new.example:5000/moved"

[[registry]]
prefix = "*.wild.example"
blocked = true

[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "127.0.0.1:5000/hub"
[[registry.mirror]]
location = "digests.example"
insecure = true
pull-from-mirror = "digest-only"

[[registry]]
location = "docker.io/library/secret"
blocked = true
"""
SHA = "sha256:" + "0" * 64


@pytest.fixture
def conf(tmp_path: object) -> str:
    path = f"{tmp_path}/registries.conf"
    with open(path, "w") as file:
        file.write(CONF)
    return path


HUB = Endpoint("registry-1.docker.io", "library/alpine")
CASES = [
    ("quay.io/a/b", [Endpoint("quay.io", "a/b")]),
    ("plain.example/a", [Endpoint("plain.example", "a", True)]),
    ("plain.example:5000/a", [Endpoint("plain.example:5000", "a")]),
    ("plain.example.evil/a", [Endpoint("plain.example.evil", "a")]),
    ("old.example/team/app", [Endpoint("new.example:5000", "moved/app")]),
    ("old.example/teams/app", [Endpoint("old.example", "teams/app")]),
    ("alpine", [Endpoint("127.0.0.1:5000", "hub/library/alpine"), HUB]),
    (f"alpine@{SHA}", [Endpoint("127.0.0.1:5000", "hub/library/alpine"),
                       Endpoint("digests.example", "library/alpine", True), HUB]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), CASES)
def test_the_longest_prefix_says_where_to_ask(conf: str, name: str, expected: list[Endpoint]) -> None:
    assert endpoints(Reference.parse(name), load([conf])) == expected


@pytest.mark.parametrize("name", ["a.wild.example/x", "b.a.wild.example:80/x", "secret"])
def test_a_blocked_registry_is_not_asked(conf: str, name: str) -> None:
    with pytest.raises(RegistryError, match="blocked"):
        endpoints(Reference.parse(name), load([conf]))


def test_without_a_file_docker_hub_is_asked_at_its_real_host() -> None:
    assert endpoints(Reference.parse("alpine"), []) == [HUB]


def test_a_later_file_wins(conf: str, tmp_path: object) -> None:
    with open(f"{tmp_path}/drop-in.conf", "w") as file:
        file.write('[[registry]]\nlocation = "plain.example"\ninsecure = false\n')
    tables = load([conf, f"{tmp_path}/drop-in.conf"])
    assert endpoints(Reference.parse("plain.example/a"), tables) == [Endpoint("plain.example", "a")]


@pytest.mark.parametrize(
    "text",
    ["[[registry]", "[registries.insecure]\nregistries = []", "[[registry]]\ninsecure = true",
     "[[registry]]\nprefix = 1", "registry = 1", "[[registry]]\nprefix='a'\nmirror = 3", "\xff"],
)  # fmt: skip
def test_a_broken_file_is_one_line(tmp_path: object, text: str) -> None:
    with open(f"{tmp_path}/bad.conf", "w", encoding="latin-1") as file:
        file.write(text)
    with pytest.raises(RegistryError, match=r"bad\.conf"):
        load([f"{tmp_path}/bad.conf"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("localhost:5000", True), ("127.0.0.1", True), ("127.9.8.7:1", True), ("[::1]:5000", True),
     ("127.0.0.1.evil.example", False), ("localhost.evil.example", False), ("128.0.0.1", False), ("[::2]", False),
     ("evil127.0.0.1", False), ("127.0.0", False), ("LOCALHOST:5000", True)],
)  # fmt: skip
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_file_that_is_not_there_is_said_to_be() -> None:
    with pytest.raises(RegistryError, match=r"^can't read /nowhere\.conf: No such file or directory$"):
        load(["/nowhere.conf"])
