"""Why a program could not be executed: each cause is looked up in the layers, none is guessed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.engine import diagnose
from pycontainer.engine.diagnose import _exec_cause
from pycontainer.rootfs.view import MergedView

ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "bin/sh": b"#!",
        "script": b"#!/no/such/interpreter -x\necho\n",
        "windows": b"#!/bin/sh\r\necho\r\n",
        "fine": b"#!/bin/sh\n",
        "arm": ELF + (183).to_bytes(2, "little") + bytes(64),
        "dynamic": ELF + (62).to_bytes(2, "little") + bytes(64) + b"/lib64/ld-missing.so.2\0",
        "text": b"hello\n",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755)
    (tmp_path / "plain").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "plain").chmod(0o644)
    return tmp_path


@pytest.mark.parametrize(
    ("program", "number", "words"),
    [
        ("/script", errno.ENOENT, "its interpreter /no/such/interpreter does not"),
        ("/windows", errno.ENOENT, "carriage return"),
        ("/plain", errno.EACCES, "not marked executable (mode 0644)"),
        ("/bin", errno.EACCES, "is a directory"),
        ("/dynamic", errno.ENOENT, "/lib64/ld-missing.so.2, does not"),
        ("/text", errno.ENOEXEC, "neither an ELF file nor a script"),
    ],
)
def test_the_cause_is_named(root: Path, program: str, number: int, words: str) -> None:
    with MergedView([str(root)]) as view:
        assert words in _exec_cause(program, number, view)


def test_the_wrong_architecture_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: type("u", (), {"machine": "x86_64"}))
    with MergedView([str(root)]) as view:
        assert "is for arm64, this host is x86_64" in _exec_cause("/arm", errno.ENOEXEC, view)


@pytest.mark.parametrize("program", ["/missing", "/fine"])
def test_nothing_is_said_that_was_not_seen(root: Path, program: str) -> None:
    with MergedView([str(root)]) as view:
        assert _exec_cause(program, errno.ENOENT, view) == ""


@pytest.mark.parametrize(("capable", "words"), [(False, "CAP_SYS_RESOURCE"), (True, "fs.nr_open lets no process have")])
def test_why_a_limit_can_not_be_as_high(monkeypatch: pytest.MonkeyPatch, capable: bool, words: str) -> None:
    monkeypatch.setattr(diagnose, "_has", lambda capability: capable)
    assert words in diagnose._beyond_cause(calls.prlimit64(k.RLIMITS["RLIMIT_NOFILE"], 10, 2**40))
