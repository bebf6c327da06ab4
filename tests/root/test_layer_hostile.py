"""A corpus of archives that try something: each is refused, or unpacked without touching anything outside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pycontainer.errors import LayerError, PycError
from tests.support.host import PATIENCE
from tests.support.tars import (
    BLOCK,
    CHAR,
    DIR,
    FIFO,
    FILE,
    GNU,
    LINK,
    SYMLINK,
    Place,
    base256,
    directory,
    header,
    link,
    member,
    octal,
    pax,
    record,
    sparse_1_0,
    sparse_old,
    symlink,
    tar,
)

pytestmark = pytest.mark.root

CAPABILITY = b"security.capability"
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.fixture
def place(tmp_path: object) -> Iterator[Place]:
    yield Place(str(tmp_path))


DEEP = b"/".join([b"d" * 250] * 16)
"""A path of four thousand bytes."""
REFUSED: dict[str, bytes] = {
    # names
    "dot-dot": tar(member(b"../canary", b"x")),
    "dot-dot in the middle": tar(directory(b"a"), member(b"a/../../canary", b"x")),
    "dot-dot that stays inside": tar(directory(b"a"), member(b"a/../b", b"x")),
    "dot-dot at the end": tar(directory(b"a"), directory(b"a/..")),
    "dot-dot by a long name": tar(member(b"././@LongLink", b"../canary\0", b"L", magic=GNU), member(b"x", b"x")),
    "dot-dot by pax": tar(pax((b"path", b"../canary")), member(b"x", b"x")),
    "dot-dot by prefix": tar(member(b"canary", b"x", prefix=b"a/../..")),
    "dot-dot by sparse name": tar(
        pax((b"GNU.sparse.name", b"../canary"), (b"GNU.sparse.size", b"0"), (b"GNU.sparse.map", b"")), member(b"x")
    ),
    "no name": tar(member(b"", b"x")),
    "no name by pax": tar(pax((b"path", b"")), member(b"x", b"x")),
    "NUL in a pax path": tar(pax((b"path", b"a\0b")), member(b"x", b"x")),
    "long component": tar(pax((b"path", b"a" * 256)), member(b"x")),
    "long path": tar(pax((b"path", b"/".join([b"a" * 200] * 21))), member(b"x")),
    "deep path": tar(pax((b"path", b"/".join([b"a"] * 1100))), member(b"x")),
    "megabyte path": tar(pax((b"path", b"a/" * 524_000)), member(b"x")),
    # the root
    "root as symlink": tar(symlink(b"./", b"/outside")),
    "root as symlink by dot": tar(symlink(b".", b"../outside")),
    "root as file": tar(member(b"/", b"x")),
    "root as file by dot-slash-dot": tar(member(b"./.", b"x")),
    "root as hard link": tar(member(b"a", b"x"), link(b"./", b"a")),
    "root as device": tar(header(b".", CHAR, device=(1, 3))),
    # symbolic links on the way
    "file below a file": tar(member(b"a", b"x"), member(b"a/b", b"y")),
    "file below a dangling link": tar(symlink(b"a", b"nowhere"), member(b"a/b", b"y")),
    "file below a link to itself": tar(symlink(b"a", b"a"), member(b"a/b", b"y")),
    "file below a link to a file": tar(member(b"f", b"x"), symlink(b"a", b"f"), member(b"a/b", b"y")),
    "file below an absolute link": tar(symlink(b"a", b"/outside"), member(b"a/secret", b"y")),
    "file below a link upwards": tar(symlink(b"a", b"../outside"), member(b"a/secret", b"y")),
    "symlink without target": tar(symlink(b"a", b"")),
    "symlink with a long target": tar(pax((b"linkpath", b"x" * 4096)), symlink(b"a", b"x")),
    "symlink with NUL in target": tar(pax((b"linkpath", b"x\0y")), symlink(b"a", b"x")),
    # hard links
    "hard link outside": tar(link(b"a", b"../canary")),
    "hard link to an absolute path": tar(link(b"a", b"/outside/secret")),
    "hard link through a link": tar(symlink(b"a", b"../outside"), link(b"b", b"a/secret")),
    "hard link to nothing": tar(link(b"a", b"b")),
    "hard link to itself": tar(link(b"a", b"a")),
    "hard links in a circle": tar(link(b"a", b"b"), link(b"b", b"a")),
    "hard link to a directory": tar(directory(b"d"), link(b"a", b"d")),
    "hard link to the root": tar(link(b"a", b".")),
    "hard link to a whiteout": tar(member(b".wh.a"), link(b"b", b"a")),
    "hard link without target": tar(link(b"a", b"")),
    "hard link with data": tar(member(b"a", b"x"), member(b"b", b"data", LINK, target=b"a")),
    # whiteouts
    "whiteout without name": tar(member(b".wh.")),
    "whiteout of dot": tar(member(b".wh..")),
    "whiteout of dot-dot": tar(directory(b"a"), member(b"a/.wh...")),
    "whiteout in disguise": tar(header(b"a", CHAR, device=(0, 0))),
    "whiteout as directory": tar(directory(b".wh.a")),
    "whiteout as symlink": tar(symlink(b".wh.a", b"/outside")),
    "whiteout as device": tar(header(b".wh.a", CHAR, device=(1, 3))),
    "file in a whiteout": tar(member(b".wh.a/b", b"x")),
    "file in a whiteout that is one": tar(member(b".wh.a"), member(b"x/.wh.a/b", b"x")),
    "aufs file below a directory": tar(directory(b"a"), member(b"a/.wh..wh.plnk", b"x")),
    "file in the opaque marker": tar(member(b".wh..wh..opq/x", b"x")),
    "opaque marker below a file": tar(member(b"a", b"x"), member(b"a/.wh..wh..opq")),
    # types
    "type V": tar(member(b"a", b"", b"V")),
    "type M": tar(member(b"a", b"", b"M")),
    "type D": tar(member(b"a", b"", b"D")),
    "type of a high byte": tar(member(b"a", b"", b"\xff")),
    "symlink with data": tar(member(b"a", b"data", SYMLINK, target=b"b")),
    "directory with data": tar(member(b"a", b"data", DIR)),
    "fifo with data": tar(member(b"a", b"data", FIFO)),
    "device of impossible number": tar(header(b"a", BLOCK, device=(4096, 0))),
    # numbers
    "uid of all ones": tar(member(b"a", uid=base256(0xFFFFFFFF, 8))),
    "uid beyond 32 bits": tar(member(b"a", uid=base256(1 << 32, 8))),
    "uid beyond 64 bits by pax": tar(pax((b"uid", b"18446744073709551616")), member(b"a")),
    "negative uid": tar(member(b"a", uid=base256(-1, 8))),
    "negative uid by pax": tar(pax((b"uid", b"-1")), member(b"a")),
    "negative gid": tar(member(b"a", gid=base256(-5, 8))),
    "negative size": tar(header(b"a", FILE, base256(-1, 12))),
    "negative size by pax": tar(pax((b"size", b"-512")), member(b"a")),
    "size of 2^63": tar(header(b"a", FILE, base256(1 << 63, 12))),
    "size of a petabyte": tar(header(b"a", FILE, base256(1 << 51, 12))),
    "size with a letter": tar(header(b"a", FILE, b"0000000001x")),
    "size with an eight": tar(header(b"a", FILE, b"00000000008")),
    "size with underscore": tar(header(b"a", FILE, b"0000000_001")),
    "size with prefix": tar(header(b"a", FILE, b"0o000000001")),
    "mode with a minus": tar(member(b"a", mode=b"-000644")),
    "time that is none": tar(pax((b"mtime", b"now")), member(b"a")),
    "time too far": tar(pax((b"mtime", b"9" * 18)), member(b"a")),
    "time in scientific notation": tar(pax((b"mtime", b"1e9")), member(b"a")),
    # structure
    "wrong checksum": tar(header(b"a", checksum=b"000000\0 ")),
    "not a tar": b"not a tar at all" * 100,
    "cut header": header(b"a")[:300],
    "cut content": member(b"a", b"x" * 2000)[:1000],
    "cut pax header": pax((b"path", b"x" * 2000))[:1000],
    "lone zero block": bytes(512) + member(b"a"),
    "pax header at the end": tar(pax((b"path", b"a"))),
    "two pax headers": tar(pax((b"size", b"0")), pax((b"path", b"b")), member(b"a")),
    "two long names": tar(*[member(b"L", b"a\0", b"L", magic=GNU)] * 2, member(b"a")),
    "garbage after the end": tar(member(b"a")) + b"x" * (2 << 20),
    "unknown magic": tar(member(b"a", magic=b"USTAR\x0000")),
    # pax records
    "pax of 4 GiB": header(b"x", b"x", 4 << 30),
    "pax of 2 MiB": tar(pax(raw=b"x" * (2 << 20)), member(b"a")),
    "pax length too small": tar(pax(raw=b"5 path=evil\n"), member(b"a")),
    "pax length too large": tar(pax(raw=b"99 path=evil\n"), member(b"a")),
    "pax length zero": tar(pax(raw=b"0 path=evil\n"), member(b"a")),
    "pax length negative": tar(pax(raw=b"-1 path=evil\n"), member(b"a")),
    "pax length huge": tar(pax(raw=b"99999999999999999999 path=evil\n"), member(b"a")),
    "pax without newline": tar(pax(raw=b"12 path=evil!"), member(b"a")),
    "pax without equals": tar(pax(raw=b"10 patheq\n"), member(b"a")),
    "pax without key": tar(pax(raw=b"9 =value\n"), member(b"a")),
    "pax of spaces": tar(pax(raw=b" " * 512), member(b"a")),
    "global path": tar(pax((b"path", b"evil"), kind=b"g"), member(b"a")),
    "global size": tar(pax((b"size", b"0"), kind=b"g"), member(b"a", b"x")),
    # attributes
    "big attribute": tar(pax((b"SCHILY.xattr.user.a", b"x" * 70_000)), member(b"a")),
    "many attributes": tar(pax(*[(b"SCHILY.xattr.user.%d" % n, b"x") for n in range(300)]), member(b"a")),
    "attribute without name": tar(pax((b"SCHILY.xattr.", b"x")), member(b"a")),
    "attribute with NUL in name": tar(pax((b"SCHILY.xattr.user.a\0b", b"x")), member(b"a")),
    "attribute not base64": tar(pax((b"LIBARCHIVE.xattr.user.a", b"!!!!")), member(b"a")),
    "capability too short": tar(pax((b"SCHILY.xattr." + CAPABILITY, NET_RAW[:-1])), member(b"a")),
    "capability of unknown version": tar(pax((b"SCHILY.xattr." + CAPABILITY, b"\1\0\0\7" + bytes(16))), member(b"a")),
    "capability empty": tar(pax((b"SCHILY.xattr." + CAPABILITY, b"")), member(b"a")),
    "capability on a directory": tar(pax((b"SCHILY.xattr." + CAPABILITY, NET_RAW)), directory(b"a")),
    # sparse files
    "sparse overlapping": tar(sparse_old(b"a", [(0, 10), (5, 10)], 100, b"x" * 20)),
    "sparse unordered": tar(sparse_old(b"a", [(50, 10), (0, 10)], 100, b"x" * 20)),
    "sparse beyond its end": tar(sparse_old(b"a", [(95, 10)], 100, b"x" * 10)),
    "sparse map and data differ": tar(sparse_old(b"a", [(0, 10)], 100, b"x" * 20)),
    "sparse continued for ever": sparse_old(b"a", [(0, 0)] * 4, 100, b"", b"\1")
    + (b"".join(octal(0, 12) * 2 for _ in range(21)) + b"\1" + bytes(7)) * 4000,
    "sparse 1.0 with 10^9 pieces": tar(sparse_1_0([10**9], 10, b"")),
    "sparse 1.0 with a negative piece": tar(sparse_1_0([1, -5, 5], 10, b"x" * 5)),
    "sparse 1.0 with a map of letters": tar(sparse_1_0(["x"], 10, b"")),
    "sparse 1.0 with a map that never ends": tar(sparse_1_0([60_000, 0], 10, b"")),
    "sparse 1.0 with one long line": tar(sparse_1_0(["1" * 2000], 10, b"")),
    "sparse of 2^60": tar(sparse_1_0([0], 1 << 60, b"")),
    "sparse 0.1 with odd numbers": tar(pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"1,2,3")), member(b"a")),
    "sparse 0.0 with a missing length": tar(pax(raw=record(b"GNU.sparse.offset", b"0")), member(b"a")),
    "sparse of unknown version": tar(pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")), member(b"a")),
    "names of setuid files of a megabyte": tar(
        *(pax((b"path", b"%d/" % n + DEEP)) + header(b"x", FILE, mode=0o4755) for n in range(140))
    ),
    "links to later files with names of 34 MB": tar(
        *(pax((b"path", DEEP + b"%d" % n), (b"linkpath", b"later/" + DEEP)) + header(b"x", LINK) for n in range(4300))
    ),
    "sparse directory": tar(pax((b"GNU.sparse.size", b"0"), (b"GNU.sparse.map", b"")), directory(b"a")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_archive_that_tries_something_is_refused_and_touches_nothing(place: Place, name: str) -> None:
    start = time.monotonic()
    with pytest.raises(LayerError) as caught:
        place.unpack(REFUSED[name])
    assert time.monotonic() - start < 5 * PATIENCE
    assert "\n" not in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("name", [name for name in REFUSED if len(REFUSED[name]) < 10_000])
def test_where_the_stream_is_divided_makes_no_difference(place: Place, name: str) -> None:
    with pytest.raises(LayerError):
        place.unpack(REFUSED[name], step=7)


def test_every_cut_of_an_archive_is_refused_or_ends_between_entries(tmp_path: object) -> None:
    before = pax((b"path", b"d/f"))
    archive = tar(before, member(b"x", b"data"), symlink(b"l", b"d"), link(b"h", b"d/f"))
    padding = range(len(before) + 512 + 4, len(before) + 1024)  # of the file, which is whole without
    for cut in range(1, len(archive) - 1024, 97):
        os.mkdir(f"{tmp_path}/{cut}")
        here = Place(f"{tmp_path}/{cut}")
        if cut % 512 and cut not in padding:
            with pytest.raises(LayerError):
                here.unpack(archive[:cut])


def test_random_damage_gives_a_clean_error_or_a_contained_tree(tmp_path: object) -> None:
    import random

    rng = random.Random(7)
    archive = tar(
        directory(b"d"), member(b"d/f", b"data"), symlink(b"l", b"/d"), member(b"l/g", b"x"), link(b"h", b"d/f"),
        pax((b"path", b"p"), (b"SCHILY.xattr.user.a", b"b")), member(b"x", b"y"), member(b"d/.wh.z"),
        sparse_1_0([1, 5, 5], 20, b"x" * 5), header(b"n", CHAR, device=(1, 3)),
    )  # fmt: skip
    for number in range(300):
        data = bytearray(archive)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) - 1024)
            data[at] = rng.choice([0, 0x2E, 0x2F, 0x31, 0x80, 0xFF, rng.randrange(256)])
            start = at - at % 512  # repair the checksum, so that the damage gets past it
            block = data[start : start + 512]
            block[148:156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
        os.mkdir(f"{tmp_path}/{number}")
        with suppress(PycError):
            Place(f"{tmp_path}/{number}").unpack(bytes(data))
