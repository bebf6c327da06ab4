"""What a name without a registry means."""

from __future__ import annotations

import os

import pytest

from pycontainer.errors import InvalidReference, RegistryError
from pycontainer.image.registries_conf import config_files
from pycontainer.image.shortnames import candidates

SHA = "sha256:" + "0" * 64


@pytest.fixture
def conf(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of the only file that is read; it does not exist yet."""
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", f"{tmp_path}/registries.conf")
    return f"{tmp_path}/registries.conf"


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def names(text: str) -> list[str]:
    return [str(reference) for reference in candidates(text)]


def test_without_configuration_it_is_docker_hub(conf: str) -> None:
    write(conf, "")
    assert names("alpine") == ["docker.io/library/alpine:latest"]
    assert names("team/app:1") == ["docker.io/team/app:1"]


def test_the_registries_are_searched_in_order(conf: str) -> None:
    write(conf, 'unqualified-search-registries = ["quay.io", "docker.io", "localhost:5000"]')
    assert names("app:1") == ["quay.io/app:1", "docker.io/library/app:1", "localhost:5000/app:1"]
    assert names(f"team/app@{SHA}")[0] == f"quay.io/team/app@{SHA}"


def test_a_name_with_a_registry_means_just_that(conf: str) -> None:
    write(conf, 'unqualified-search-registries = ["quay.io"]\n[aliases]\n"app" = "a.example/b"')
    assert names("docker.io/app") == ["docker.io/library/app:latest"]
    assert names("localhost/app") == ["localhost/app:latest"]
    assert names("host:5000/app") == ["host:5000/app:latest"]
    assert names("index.docker.io/app") == ["docker.io/library/app:latest"]


def test_an_alias_goes_before_the_search_and_keeps_tag_and_digest(conf: str) -> None:
    write(conf, 'unqualified-search-registries = ["quay.io"]\n[aliases]\n"app" = "a.example/b"\n"t/x" = "c.example/d"')
    assert names("app") == ["a.example/b:latest"]
    assert names("app:2") == ["a.example/b:2"]
    assert names(f"app:2@{SHA}") == [f"a.example/b:2@{SHA}"]
    assert names("t/x") == ["c.example/d:latest"]
    assert names("apple") == ["quay.io/apple:latest"]


def test_only_one_registry_may_be_searched_where_whole_names_are_enforced(conf: str) -> None:
    write(conf, 'short-name-mode = "enforcing"\nunqualified-search-registries = ["quay.io"]')
    assert names("app") == ["quay.io/app:latest"]
    write(conf, 'short-name-mode = "enforcing"\nunqualified-search-registries = ["quay.io", "docker.io"]')
    with pytest.raises(RegistryError, match=r"app may mean an image of quay\.io, docker\.io"):
        names("app")


def test_drop_ins_add_and_erase_aliases_and_replace_the_search(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", f"{tmp_path}")
    own = f"{tmp_path}/containers"
    write(f"{own}/registries.conf", 'unqualified-search-registries = ["a.example"]\n[aliases]\nx = "a.example/x"')
    write(f"{own}/registries.conf.d/1.conf", 'unqualified-search-registries = ["b.example"]')
    write(f"{own}/registries.conf.d/2.conf", '[aliases]\nx = ""\ny = "a.example/y"')
    write(f"{own}/registries.conf.d/2.conf.old", "no toml")
    assert [os.path.basename(path) for path in config_files()] == ["registries.conf", "1.conf", "2.conf"]
    assert names("x") == ["b.example/x:latest"]
    assert names("y") == ["a.example/y:latest"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aliases = 1", "table of names"),
        ("[aliases]\nx = 1", "table of names"),
        ('[aliases]\nx = "alpine"', "no whole name"),
        ('[aliases]\nx = "a.example/x:1"', "no whole name"),
        ('[aliases]\nx = "a.example/../x"', "no whole name"),
        ("unqualified-search-registries = 1", "list of hosts"),
        ('unqualified-search-registries = ["a b"]', "is no registry"),
        ('unqualified-search-registries = [""]', "is no registry"),
        ('short-name-mode = "sometimes"', "must be one of"),
        ("[[", "can't read"),
    ],
)
def test_a_mistake_names_its_file(conf: str, text: str, said: str) -> None:
    write(conf, text)
    with pytest.raises(RegistryError, match=said) as caught:
        names("x")
    assert conf in caught.value.message


def test_nonsense_is_no_name(conf: str) -> None:
    write(conf, 'unqualified-search-registries = ["quay.io"]')
    with pytest.raises(InvalidReference):
        names("Not A Name")
