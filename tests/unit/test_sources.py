from __future__ import annotations

import os

import pytest

from pycontainer.engine.image.sources import open_source
from pycontainer.errors import InvalidReference, UsageError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with a layout and two archives, one with colons in its name."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("layout")
    for name in ("My Image.tar", "a:b.tar"):
        open(name, "w").close()


@pytest.mark.parametrize("text", ["alpine", "oci:latest", "oci:v1.2", "reg:5000/x", "docker-archive", "dir:latest"])
def test_these_are_names_of_images(here, text: str):
    assert open_source(text) is None


@pytest.mark.parametrize(
    ("text", "path", "wanted", "name"),
    [
        ("oci:layout", "layout", "", "localhost/layout:latest"),
        ("oci:layout:v1", "layout", "v1", "localhost/layout:v1"),
        ("oci:./layout/:v1", "./layout/", "v1", "localhost/layout:v1"),
        ("oci:/no/where:v1", "/no/where", "v1", "localhost/where:v1"),
        ("dir:layout", "layout", "", "localhost/layout:latest"),
        ("dir:./a:b", "./a:b", "", "localhost/a-b:latest"),
        ("docker-archive:My Image.tar", "My Image.tar", "", "localhost/my-image:latest"),
        ("docker-archive:a:b.tar", "a:b.tar", "", "localhost/a-b:latest"),
        ("docker-archive:a:b.tar:c", "a:b.tar", "c", "localhost/a-b:c"),
        ("docker-archive:a:b.tar:busybox:v1", "a:b.tar", "busybox:v1", "docker.io/library/busybox:v1"),
        ("oci-archive:gone.tar:x.test/y:v1", "gone.tar", "x.test/y:v1", "x.test/y:v1"),
    ],
)
def test_these_are_files(here, text: str, path: str, wanted: str, name: str):
    source = open_source(text)
    assert source is not None
    assert (source.path, source.wanted, str(source.reference)) == (path, wanted, name)


def test_no_path_and_no_name_are_mistakes(here):
    with pytest.raises(UsageError, match="names no file"):
        open_source("oci:")
    with pytest.raises(InvalidReference, match=r"oci:layout:x\.test/UP/per:v1: invalid image name"):
        open_source("oci:layout:x.test/UP/per:v1")
    with pytest.raises(InvalidReference):
        open_source("oci:layout:-")
