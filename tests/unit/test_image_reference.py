from __future__ import annotations

import pytest

from pycontainer.errors import InvalidReference
from pycontainer.image.reference import Reference, is_digest

HEX = "0123456789abcdef" * 4
SHA = f"sha256:{HEX}"

GOOD = [
    # typed, registry, repository, tag, digest, familiar
    ("alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest"),
    ("alpine:3.20", "docker.io", "library/alpine", "3.20", "", "alpine:3.20"),
    ("library/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest"),
    ("docker.io/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest"),
    ("index.docker.io/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest"),
    ("docker.io/library/alpine:x", "docker.io", "library/alpine", "x", "", "alpine:x"),
    ("user/app", "docker.io", "user/app", "latest", "", "user/app:latest"),
    ("a/b/c", "docker.io", "a/b/c", "latest", "", "a/b/c:latest"),
    ("library/a/b", "docker.io", "library/a/b", "latest", "", "library/a/b:latest"),
    ("localhost/app", "localhost", "app", "latest", "", "localhost/app:latest"),
    ("localhost:5000/app:v1", "localhost:5000", "app", "v1", "", "localhost:5000/app:v1"),
    ("host:80/a/b", "host:80", "a/b", "latest", "", "host:80/a/b:latest"),
    ("quay.io/a/b", "quay.io", "a/b", "latest", "", "quay.io/a/b:latest"),
    ("127.0.0.1:5000/app", "127.0.0.1:5000", "app", "latest", "", "127.0.0.1:5000/app:latest"),
    ("[::1]:5000/app", "[::1]:5000", "app", "latest", "", "[::1]:5000/app:latest"),
    ("[fe80::1]/app", "[fe80::1]", "app", "latest", "", "[fe80::1]/app:latest"),
    ("UPPER/app", "UPPER", "app", "latest", "", "UPPER/app:latest"),  # a capital makes it a host, as in docker
    (f"alpine@{SHA}", "docker.io", "library/alpine", "", SHA, f"alpine@{SHA}"),
    (f"alpine:3@{SHA}", "docker.io", "library/alpine", "3", SHA, f"alpine:3@{SHA}"),
    (f"h.io:1/a:t@sha512:{HEX * 2}", "h.io:1", "a", "t", f"sha512:{HEX * 2}", f"h.io:1/a:t@sha512:{HEX * 2}"),
    ("a__b-c--d.e_f", "docker.io", "library/a__b-c--d.e_f", "latest", "", "a__b-c--d.e_f:latest"),
    ("alpine:_x.Y-1", "docker.io", "library/alpine", "_x.Y-1", "", "alpine:_x.Y-1"),
    ("busybox:" + "t" * 128, "docker.io", "library/busybox", "t" * 128, "", "busybox:" + "t" * 128),
    (HEX[:63], "docker.io", f"library/{HEX[:63]}", "latest", "", f"{HEX[:63]}:latest"),
]

BAD = [
    "", ":", "@", ":latest", "/", "//", "a//b", "/alpine", "alpine/", "Alpine", "user/App", "docker.io/Alpine",
    "a..b", "a._b", "a___b", "-a", "a-", ".a", "a.", "_a", "a_", "a b", "a\n", "a\0", "é", "a:", "a:-x", "a:.x",
    "a:" + "t" * 129, "a:b:c", "a:b/c:d:e", "a:t ag", "a@", "a@sha256:", f"a@sha256:{HEX[:63]}", f"a@sha256:{HEX}0",
    f"a@sha256:{HEX.upper()}", f"a@md5:{HEX}", f"a@{HEX}", f"a@{SHA}@{SHA}", "a@sha256:../../" + "x" * 58,
    HEX, "host:port/x", "ho_st.x/y", "-host.io/x", "host-.io/x", "host..io/x", "[::1/x", "[]/x", "[::1]x/y",
    "[::1]:/x", "host.io:/x", "https://host.io/x", "x" * 256, "host.io/" + "x/" * 130 + "x", "../etc", "a/../b",
]  # fmt: skip


@pytest.mark.parametrize(("typed", "registry", "repository", "tag", "digest", "familiar"), GOOD)
def test_a_name_is_normalised_as_docker_does(
    typed: str, registry: str, repository: str, tag: str, digest: str, familiar: str
) -> None:
    reference = Reference.parse(typed)
    assert reference == Reference(registry, repository, tag, digest)
    assert reference.familiar == familiar
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference


@pytest.mark.parametrize("typed", BAD)
def test_what_is_not_a_name_is_refused_in_one_line(typed: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(typed)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (SHA, True), (f"sha512:{HEX * 2}", True), (f"sha512:{HEX}", False), (f"SHA256:{HEX}", False), ("", False),
        (f"sha256:{HEX[:-1]}G", False), (f"sha256:{HEX[:-1]}\n", False), ("sha256:" + "." * 64, False),
        ("sha256:" + "٠" * 64, False),
    ],
)  # fmt: skip
def test_a_digest_is_an_algorithm_we_know_and_its_exact_hex(text: str, good: bool) -> None:
    assert is_digest(text) is good


def test_the_address_of_a_web_page_is_told_from_a_name() -> None:
    with pytest.raises(InvalidReference, match="write it without 'https://'"):
        Reference.parse("https://registry.example/team/app")
