"""The examples in the documentation of pycontainer.images, run."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys

import pytest

from pycontainer import images
from pycontainer.engine.options import Roots

pytestmark = pytest.mark.root


def test_the_examples_are_right(roots: Roots, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYC_ROOT", roots.root)
    monkeypatch.setenv("PYC_RUNROOT", roots.runroot)
    result = doctest.testmod(
        images, extraglobs={"images": images, "NAME": image}, optionflags=doctest.IGNORE_EXCEPTION_DETAIL
    )
    assert result.failed == 0
    assert result.attempted >= 10


def test_roots_are_kept_apart(roots: Roots, image: str, tmp_path: object) -> None:
    images.pull(image, roots=roots)
    assert len(images.list(roots=roots)) == 1
    assert images.list(roots=Roots(f"{tmp_path}/other", f"{tmp_path}/run")) == []


def test_an_archive_that_fails_leaves_no_file(roots: Roots, tmp_path: object) -> None:
    with pytest.raises(Exception, match="no such image"):
        images.save(["absent"], f"{tmp_path}/x.tar", roots=roots)
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith("x.tar")]


def test_importing_it_imports_nothing_else() -> None:
    code = "import pycontainer.images, sys; print([n for n in sys.modules if n.startswith('pycontainer.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['pycontainer.images']\n"
