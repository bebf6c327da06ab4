"""The examples in the documentation of pycontainer.images, run."""

from __future__ import annotations

import doctest
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from images.registry import Registry
from pycontainer import images, manifests
from pycontainer.engine.check import check
from pycontainer.engine.options import Roots
from tests.support.fake_registry import FakeRegistry, answers, when

pytestmark = pytest.mark.root
NETWORKS = "## Networks and volumes"


def test_the_examples_are_right(roots: Roots, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYC_ROOT", roots.root)
    monkeypatch.setenv("PYC_RUNROOT", roots.runroot)
    result = doctest.testmod(
        images, extraglobs={"images": images, "NAME": image}, optionflags=doctest.IGNORE_EXCEPTION_DETAIL
    )
    assert result.failed == 0
    assert result.attempted >= 10
    result = doctest.testmod(manifests, extraglobs={"NAME": image})
    assert (result.failed, result.attempted) == (0, 5)
    heard: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        images.save([image], f"{directory}/a.tar", progress=lambda event: heard.append(event.kind))
    assert "saved" in heard
    assert images.prune().removed == ()
    assert "untagged: " in images.prune(all=True).removed[0]
    assert images.list() == []


def test_the_examples_of_the_manual_are_right(
    roots: Roots, registry: Registry, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(registry.mirror()) as mirror, open(f"{tmp_path}/registries.conf", "w") as file:
        example = f'[[registry]]\nprefix = "registry.example.com"\nlocation = "{registry.address}"\n'
        file.write(mirror.read() + example)
    for name, value in (
        ("PYC_ROOT", roots.root),
        ("PYC_RUNROOT", roots.runroot),
        ("CONTAINERS_REGISTRIES_CONF", f"{tmp_path}/registries.conf"),
        ("PYC_NETWORK", "none"),  # tests of networks have a host of their own
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(str(tmp_path))
    with open(os.path.join(os.path.dirname(__file__), "../../docs/python.md")) as manual:
        before, _, section = manual.read().partition(NETWORKS)  # they need a host of their own
    with open(f"{tmp_path}/python.md", "w") as shown:
        shown.write(before + section.partition("\n## ")[2])
    result = doctest.testfile(f"{tmp_path}/python.md", module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted >= 20


def test_a_login_is_kept_and_forgotten(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{tmp_path}/auth.json")
    with FakeRegistry() as fake:
        fake.rules.append(when("/v2/", answers(200, b"{}"), forever=True))
        assert images.login(fake.host, "me", "secret").path == f"{tmp_path}/auth.json"
        assert images.logout(fake.host) is True
        assert images.logout(fake.host) is False
        fake.rules[0] = when("/v1/search", answers(200, b'{"results": [{"name": "me/app"}]}'), forever=True)
        assert [found.name for found in images.search(f"{fake.host}/app")] == [f"{fake.host}/me/app"]


def test_roots_are_kept_apart(roots: Roots, image: str, tmp_path: object) -> None:
    images.pull(image, roots=roots)
    assert len(images.list(roots=roots)) == 1
    assert images.list(roots=Roots(f"{tmp_path}/other", f"{tmp_path}/run")) == []


def test_an_archive_that_fails_leaves_no_file(roots: Roots, tmp_path: object) -> None:
    with pytest.raises(Exception, match="no such image"):
        images.save(["absent"], f"{tmp_path}/x.tar", roots=roots)
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith("x.tar")]


def test_a_pipe_is_written_to_and_stays_one(roots: Roots, image: str, tmp_path: object) -> None:
    images.pull(image, roots=roots)
    os.mkfifo(f"{tmp_path}/pipe")
    with open(f"{tmp_path}/copy", "wb") as copy, subprocess.Popen(["cat", f"{tmp_path}/pipe"], stdout=copy) as reader:
        images.save([image], f"{tmp_path}/pipe", roots=roots)
        assert reader.wait(20) == 0
    assert len(images.load(f"{tmp_path}/copy", roots=roots)) == 1
    assert sorted(os.listdir(str(tmp_path))) == ["copy", "pipe"]


def test_threads_may_make_images_at_the_same_time(roots: Roots, tmp_path: object) -> None:
    """Each of these layers takes long enough that all four are being written at once."""
    for number in range(4):
        with tarfile.open(f"{tmp_path}/{number}.tar", "w") as root:
            entry = tarfile.TarInfo("content")
            entry.size = 20_000_000
            root.addfile(entry, io.BytesIO(os.urandom(100_000) * 200))
    with ThreadPoolExecutor(4) as pool:
        paths = [f"{tmp_path}/{number}.tar" for number in range(4)]
        made = list(pool.map(lambda path: images.import_root(path, roots=roots), paths))
    assert {image.id for image in images.list(roots=roots)} == {image.id for image in made}
    assert len({image.id for image in made}) == 4
    assert not check(roots)


def test_importing_it_imports_nothing_else() -> None:
    code = "import pycontainer.images, sys; print([n for n in sys.modules if n.startswith('pycontainer.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['pycontainer.record', 'pycontainer.images']\n"
