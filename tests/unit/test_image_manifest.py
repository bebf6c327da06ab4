from __future__ import annotations

import json
from typing import Any

import pytest

from pycontainer.errors import ImageError, UsageError
from pycontainer.image import manifest as m
from pycontainer.image.platform import Platform, host

SHA = "sha256:" + "ab" * 32
CONFIG = {"mediaType": m.OCI_CONFIG, "digest": SHA, "size": 10}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": SHA, "size": 20}


def manifest(**changes: Any) -> bytes:
    document = {"schemaVersion": 2, "mediaType": m.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER], **changes}
    return json.dumps({k: v for k, v in document.items() if v != "absent"}).encode()


def index(*platforms: dict[str, str] | None, **changes: Any) -> bytes:
    entries = [{"mediaType": m.OCI_MANIFEST, "digest": SHA, "size": n} for n, _ in enumerate(platforms)]
    for entry, platform in zip(entries, platforms, strict=True):
        if platform:
            entry["platform"] = platform  # type: ignore[assignment]
    return json.dumps({"schemaVersion": 2, "mediaType": m.OCI_INDEX, "manifests": entries, **changes}).encode()


def config(**changes: Any) -> bytes:
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [SHA]}, **changes}).encode()


@pytest.mark.parametrize("kind", [m.OCI_MANIFEST, m.DOCKER_MANIFEST])
def test_a_manifest_of_either_family_is_read(kind: str) -> None:
    read = m.parse_document(manifest(mediaType=kind), kind)
    assert isinstance(read, m.Manifest)
    assert read.config == m.Descriptor(m.OCI_CONFIG, SHA, 10)
    assert [layer.size for layer in read.layers] == [20]
    assert read.layers[0].to_json() == LAYER


def test_a_document_that_does_not_say_what_it_is_is_told_by_its_shape() -> None:
    assert isinstance(m.parse_document(manifest(mediaType="absent")), m.Manifest)
    assert isinstance(m.parse_document(index(mediaType=None)), m.Index)


BAD_MANIFESTS = {
    "both at once": manifest(manifests=[]),
    "no layers": manifest(layers="absent"),
    "no config": manifest(config="absent"),
    "schema 1": b'{"schemaVersion": 1}',
    "no schema": manifest(schemaVersion="absent"),
    "schema as text": manifest(schemaVersion="2"),
    "negative size": manifest(layers=[{**LAYER, "size": -1}]),
    "huge size": manifest(layers=[{**LAYER, "size": 1 << 60}]),
    "size beyond 64 bits": manifest(layers=[{**LAYER, "size": 1 << 70}]),
    "size as float": manifest(layers=[{**LAYER, "size": 1.0}]),
    "size as true": manifest(layers=[{**LAYER, "size": True}]),
    "no size": manifest(layers=[{"mediaType": LAYER["mediaType"], "digest": SHA}]),
    "path for digest": manifest(layers=[{**LAYER, "digest": "sha256:../../../../etc/passwd"}]),
    "short digest": manifest(layers=[{**LAYER, "digest": SHA[:-1]}]),
    "upper-case digest": manifest(layers=[{**LAYER, "digest": SHA.upper()}]),
    "unknown algorithm": manifest(layers=[{**LAYER, "digest": "md5:" + "ab" * 16}]),
    "digest missing": manifest(layers=[{"mediaType": LAYER["mediaType"], "size": 1}]),
    "layer of unknown type": manifest(layers=[{**LAYER, "mediaType": "application/x-evil"}]),
    "helm chart": manifest(config={**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}),
    "big config": manifest(config={**CONFIG, "size": 5 << 20}),
    "too many layers": manifest(layers=[LAYER] * 501),
    "layers as object": manifest(layers={}),
    "layer as text": manifest(layers=["x"]),
    "a list": b"[]",
    "text": b'"x"',
    "html": b"<html></html>",
    "empty": b"",
    "NaN": b'{"schemaVersion": NaN}',
    "not utf-8": b'{"a": "\xff"}',
    "duplicate key": b'{"schemaVersion": 2, "schemaVersion": 2}',
    "depth bomb": b"[" * 1_000_000,
    "object bomb": b'{"a":' * 300_000,
    "digits bomb": b'{"schemaVersion": ' + b"9" * 100_000 + b"}",
    "too large": b" " * (4 << 20) + manifest(),
    "unknown type": manifest(mediaType="application/json"),
    "annotations of numbers": manifest(annotations={"a": 1}),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_malformed_manifest_is_one_clean_error(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        m.parse_document(BAD_MANIFESTS[name])
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def test_a_document_announced_as_something_else_is_refused() -> None:
    with pytest.raises(ImageError, match="announced as"):
        m.parse_document(manifest(), m.OCI_INDEX)
    with pytest.raises(ImageError, match="must have manifests"):
        m.parse_document(manifest(mediaType="absent"), m.OCI_INDEX)


def test_the_entry_for_the_platform_is_chosen() -> None:
    amd, arm6, arm7 = (
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm", "variant": "v6"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
    )
    unknown, windows = {"os": "unknown", "architecture": "unknown"}, {"os": "windows", "architecture": "amd64"}
    read = m.parse_document(index(unknown, windows, arm6, amd, arm7))
    assert isinstance(read, m.Index)

    def chosen(text: str) -> int | None:
        entry = m.choose(read, Platform.parse(text))
        return entry.size if entry else None

    assert chosen("linux/amd64") == chosen("x86_64") == 3
    assert chosen("linux/arm") == chosen("linux/arm/v7") == 4
    assert chosen("linux/arm/v6") == 2
    assert chosen("linux/arm64") is None
    bare = m.parse_document(index(None))
    assert isinstance(bare, m.Index)
    assert m.choose(bare, host()) == bare.manifests[0]


@pytest.mark.parametrize("text", ["", "/", "a/b/c/d", "linux/", "linux/am d64", "../x"])
def test_a_bad_platform_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        Platform.parse(text)


def test_a_config_is_read_with_docker_names_and_nulls() -> None:
    read = m.parse_config(
        config(
            variant="v8",
            created="2024-01-01T00:00:00Z",
            history=[{"created_by": "x", "empty_layer": True}],
            config={
                "Env": ["PATH=/bin", "A=b=c", "MULTI=a\nb"],
                "Entrypoint": None,
                "Cmd": ["sh", "-c", "x"],
                "User": "1000:1000",
                "WorkingDir": "/srv",
                "Volumes": {"/data": {}},
                "ExposedPorts": {"80/tcp": {}},
                "Labels": {"a": "b", "io.pycontainer.hook": "/bin/sh"},
                "StopSignal": "SIGQUIT",
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000, "Retries": 3},
                "Shell": ["/bin/bash", "-c"],
                "OnBuild": None,
            },
        )
    )
    assert read.env == ("PATH=/bin", "A=b=c", "MULTI=a\nb")
    assert (read.entrypoint, read.cmd, read.user, read.working_dir) == ((), ("sh", "-c", "x"), "1000:1000", "/srv")
    assert (read.volumes, read.exposed_ports, read.stop_signal) == (("/data",), ("80/tcp",), "SIGQUIT")
    assert read.labels == {"a": "b"}
    assert read.healthcheck == m.Healthcheck(("CMD", "true"), 5_000_000_000, retries=3)
    assert read.shell == ("/bin/bash", "-c")
    assert read.diff_ids == (SHA,)
    assert read.history == (m.History("", "x", "", "", True),)
    assert str(read.platform) == "linux/amd64/v8"


def test_an_environment_entry_without_value_never_reaches_a_container() -> None:
    read = m.parse_config(config(config={"Env": ["AWS_SECRET_ACCESS_KEY", "*", "", "=x", "FOO", "A="]}))
    assert read.env == ("A=",)


BAD_CONFIGS = {
    "newline in user": {"User": "root\nevil:x:0:0"},
    "return in user": {"User": "root\r"},
    "NUL in user": {"User": "a\0"},
    "newline in workdir": {"WorkingDir": "/a\n/b"},
    "newline in variable name": {"Env": ["A\nB=c"]},
    "newline in HOME": {"Env": ["HOME=/root\nevil:x:0:0"]},
    "NUL in value": {"Env": ["A=b\0c"]},
    "newline in signal": {"StopSignal": "TERM\n"},
    "newline in volume": {"Volumes": {"/a\n": {}}},
    "NUL in command": {"Cmd": ["a\0b"]},
    "number in command": {"Cmd": [1]},
    "env as object": {"Env": {"A": "b"}},
    "labels of numbers": {"Labels": {"a": 1}},
    "healthcheck as text": {"Healthcheck": "true"},
    "retries as text": {"Healthcheck": {"Retries": "3"}},
    "interval beyond 64 bits": {"Healthcheck": {"Interval": 1 << 64}},
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_control_data_that_could_break_out_of_its_line_is_refused(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        m.parse_config(config(config=BAD_CONFIGS[name]))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("data", [b"null", b"{", config(rootfs={"diff_ids": ["sha256:x"]}), config(rootfs=[])])
def test_a_malformed_config_is_one_clean_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        m.parse_config(data)


def test_five_hundred_mutations_of_real_documents_never_give_anything_but_a_clean_error() -> None:
    import random

    rng = random.Random(4)
    seeds = [manifest(), index({"os": "linux", "architecture": "amd64"}), config(config={"Env": ["A=b"], "Cmd": ["x"]})]
    tokens = [b"null", b"-1", b'""', b"{}", b"[]", b"1e999", b'"\\u0000"', b"true", b"\xff", b"[" * 200]
    refused = 0
    for _ in range(500):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 5])] = rng.choice([*tokens, bytes([rng.randrange(256)])])
        for parse in (m.parse_document, m.parse_config):
            try:
                parse(bytes(data))
            except ImageError:
                refused += 1
    assert refused > 500
