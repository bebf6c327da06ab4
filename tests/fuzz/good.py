"""Seeds: good inputs of every kind, which the fuzzers change."""

from __future__ import annotations

import gzip
import json
from typing import Any

import zstandard

from pycontainer.core import wire
from pycontainer.image.manifest import DOCKER_INDEX, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.support.tars import (
    BLOCK,
    CHAR,
    FIFO,
    GNU,
    LINK,
    directory,
    link,
    member,
    pax,
    sparse_1_0,
    sparse_old,
    symlink,
    tar,
)
from tests.unit.test_wire import SOCKET, sample

DIGEST = "sha256:" + "a" * 64


def all_of_them() -> dict[str, dict[str, bytes]]:
    """Target -> name -> seed."""
    return {"plan": _plans(), "layer": _layers(), "registry": _registry()}


def _plans() -> dict[str, bytes]:
    whole = wire.encode(sample(), (SOCKET,))
    return {
        "whole.plan": whole,
        "cut.plan": whole[: len(whole) // 2],
        "one-step.plan": wire.encode(sample()[:1], (SOCKET,)),
    }


def _layers() -> dict[str, bytes]:
    """The first byte says how the archive is cut into chunks."""
    plain = tar(directory(b"d"), member(b"d/f", b"content"), link(b"l", b"d/f"), symlink(b"s", b"/d/f"))
    archives = {
        "plain": plain,
        "gzip": gzip.compress(plain, mtime=0),
        "zstd": zstandard.compress(plain),
        "pax": tar(pax((b"path", b"long"), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"b")), member(b"x", b"x")),
        "libarchive": tar(pax((b"LIBARCHIVE.xattr.user.a", b"Yg==")), member(b"x", b"x")),
        "long": tar(member(b"././@LongLink", b"name\0", b"L", magic=GNU), member(b"x", b"x")),
        "special": tar(member(b"c", b"", CHAR, device=(1, 3)), member(b"b", b"", BLOCK), member(b"p", b"", FIFO)),
        "whiteouts": tar(directory(b"d"), member(b"d/.wh.f"), member(b"d/.wh..wh..opq")),
        "hard": tar(member(b"f", b"x"), member(b"g", b"", LINK, target=b"f")),
        "sparse-old": tar(sparse_old(b"f", [(512, 512)], 2048, bytes(512))),
        "sparse-1.0": tar(sparse_1_0([1, 512, 512], 2048, bytes(512))),
        "sparse-0.1": tar(
            pax((b"GNU.sparse.size", b"2048"), (b"GNU.sparse.map", b"512,512")), member(b"f", bytes(512))
        ),
    }
    return {f"{name}.layer": b"\1" + archive for name, archive in archives.items()}


def _registry() -> dict[str, bytes]:
    """The first byte says who reads the rest: READERS in python.py."""
    descriptor = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": DIGEST, "size": 7}
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "config": descriptor | {"mediaType": OCI_CONFIG},
        "layers": [descriptor],
        "annotations": {"a": "b"},
    }
    index = {
        "schemaVersion": 2,
        "manifests": [
            descriptor
            | {"mediaType": OCI_MANIFEST, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}
        ],
    }
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["A=b"], "Cmd": ["sh"], "User": "1:2", "Volumes": {"/v": {}}, "Labels": {"a": "b"}},
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [{"created_by": "x", "empty_layer": True}],
    }
    texts = {
        "manifest": (1, json.dumps(manifest | {"mediaType": OCI_MANIFEST})),
        "silent": (0, json.dumps(manifest)),
        "index": (3, json.dumps(index | {"mediaType": OCI_INDEX})),
        "list": (4, json.dumps(index | {"mediaType": DOCKER_INDEX})),
        "config": (5, json.dumps(config)),
        "token": (6, json.dumps({"token": "abc", "refresh_token": "def", "expires_in": 300})),
        "challenge": (7, 'Bearer realm="https://a.example/token",service="x",scope="repository:a:pull"'),
        "link": (8, '</v2/x/tags/list?n=5&last=b>; rel="next"'),
        "range": (8, "bytes 100-999/1000"),
        "moment": (8, "Wed, 21 Oct 2026 07:28:00 GMT"),
        "seconds": (8, "120"),
        "superscript": (8, "\xb2"),
        "digits": (8, "9" * 4400),
        "reference": (9, f"localhost:5000/a/b:tag@{DIGEST}"),
    }
    return {f"{name}.words": bytes([who]) + text.encode("latin-1") for name, (who, text) in texts.items()}
