"""Writing tar streams: what is written reads back, for us and for others, and the same tree is the same bytes."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainer.errors import StoreError
from pycontainer.image.pack import archive, portable, portable_xattrs, walk
from pycontainer.image.tar import BLOCK_DEVICE, CHAR, DIRECTORY, FIFO, FILE, LINK, SYMLINK, Entry, TarReader
from pycontainer.image.tarwriter import END, encode, padding
from pycontainer.image.tree import remove_tree

LONG = b"a-rather-long-directory-name/" * 12 + b"end"
CASES = {
    "a file": Entry(FILE, b"f", b"", 0o644, 0, 0, 1_700_000_000 * 10**9, 5, (0, 0), None, None),
    "an empty file": Entry(FILE, b"f", b"", 0, 0, 0, 0, 0, (0, 0), None, None),
    "a setuid file": Entry(FILE, b"f", b"", 0o6755, 1, 2, 0, 0, (0, 0), None, None),
    "a directory": Entry(DIRECTORY, b"d/e", b"", 0o1777, 0, 0, 0, 0, (0, 0), None, None),
    "the root": Entry(DIRECTORY, b"", b"", 0o755, 0, 0, 0, 0, (0, 0), None, None),
    "a symlink": Entry(SYMLINK, b"l", b"../../x", 0o777, 0, 0, 0, 0, (0, 0), None, None),
    "a hard link": Entry(LINK, b"l", b"d/f", 0o644, 0, 0, 0, 0, (0, 0), None, None),
    "a device": Entry(CHAR, b"c", b"", 0o600, 0, 0, 0, 0, (1, 3), None, None),
    "a block device": Entry(BLOCK_DEVICE, b"b", b"", 0o600, 0, 0, 0, 0, (259, 1048575), None, None),
    "a fifo": Entry(FIFO, b"p", b"", 0o600, 0, 0, 0, 0, (0, 0), None, None),
    "a name of 100 bytes": Entry(FILE, b"x" * 100, b"", 0o644, 0, 0, 0, 0, (0, 0), None, None),
    "a directory of 100 bytes": Entry(DIRECTORY, b"x" * 100, b"", 0o755, 0, 0, 0, 0, (0, 0), None, None),
    "long names": Entry(SYMLINK, LONG, LONG + b"2", 0o777, 0, 0, 0, 0, (0, 0), None, None),
    "bytes that are no text": Entry(FILE, b"\xff\xfe \n\"'", b"", 0o644, 0, 0, 0, 0, (0, 0), None, None),
    "nanoseconds": Entry(FILE, b"f", b"", 0o644, 0, 0, 10**18 + 1, 0, (0, 0), None, None),
    "tenths": Entry(FILE, b"f", b"", 0o644, 0, 0, 10**18 + 5 * 10**8, 0, (0, 0), None, None),
    "before 1970": Entry(FILE, b"f", b"", 0o644, 0, 0, -1_500_000_000, 0, (0, 0), None, None),
    "the far future": Entry(FILE, b"f", b"", 0o644, 0, 0, 10**10 * 10**9, 0, (0, 0), None, None),
    "large owners": Entry(FILE, b"f", b"", 0o644, 2**32 - 2, 8**7, 0, 0, (0, 0), None, None),
    "attributes": Entry(FILE, b"f", b"", 0o644, 0, 0, 0, 0, (0, 0), {b"user.a": b"\0=\n\xff", b"user.b": b""}, None),
    "holes": Entry(FILE, b"d/" + b"s" * 200, b"", 0o644, 7, 7, 3, 10**12, (0, 0), None, [(0, 3), (10**11, 4)]),
    "only a hole": Entry(FILE, b"s", b"", 0o644, 0, 0, 0, 10**12, (0, 0), None, []),
}


def stream(entry: Entry) -> bytes:
    size = 0 if entry.kind != FILE else sum(n for _, n in entry.sparse) if entry.sparse is not None else entry.size
    return encode(entry) + b"x" * size + padding(size) + END


@pytest.mark.parametrize("entry", CASES.values(), ids=CASES)
def test_what_is_written_reads_back(entry: Entry) -> None:
    assert list(TarReader(iter([stream(entry)]))) == [entry]


@pytest.mark.parametrize("entry", [case for name, case in CASES.items() if name != "the far future"])
def test_python_and_gnu_tar_read_it_too(entry: Entry, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(stream(entry)), errors="surrogateescape", encoding="utf-8") as found:
        (member,) = found.getmembers()
    assert os.fsencode(member.name) == (entry.name or b".")
    assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
    assert member.size == (entry.size if entry.kind == FILE else 0)
    assert int(member.mtime * 10) == entry.mtime // 10**8
    listed = subprocess.run(["tar", "tf", "-", "--quoting-style=literal"], input=stream(entry), capture_output=True)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert listed.stdout.removesuffix(b"\n").removesuffix(b"/") == (entry.name or b".")


def test_an_attribute_that_no_record_can_name_is_left_out() -> None:
    entry = CASES["a file"]._replace(size=0, xattrs={b"user.a=b": b"c"})
    assert list(TarReader(iter([stream(entry)]))) == [entry._replace(xattrs=None)]


@pytest.mark.parametrize("length", range(80, 120))
def test_records_count_their_own_length(length: int) -> None:
    entry = Entry(FILE, b"n" * (length + 20), b"", 0o644, 0, 0, 0, 0, (0, 0), None, None)
    assert list(TarReader(iter([stream(entry)]))) == [entry]


# --- walking and packing ----------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "b/c").mkdir(parents=True)
    (top / "a").write_text("first")
    (top / "b/c/file").write_bytes(os.urandom(3_000_000))
    os.link(top / "a", top / "b/same")
    (top / "link").symlink_to("/etc/passwd")
    os.mkfifo(top / "fifo")
    with open(top / "holes", "wb") as file:
        file.truncate(1 << 30)
        file.seek(500_000_000)
        file.write(b"in the middle")
    return top


def packed(top: Path) -> bytes:
    fd = os.open(top, os.O_PATH)
    try:
        return b"".join(archive(portable(walk(fd, b".", b""))))
    finally:
        os.close(fd)


def test_a_tree_is_packed_sorted_with_links_and_holes(tree: Path) -> None:
    data = packed(tree)
    assert len(data) < 4_000_000, "holes take no space"
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        assert found.getnames() == [".", "a", "b", "b/c", "b/c/file", "b/same", "fifo", "holes", "link"]
        assert found.getmember("b/same").linkname == "a" and found.getmember("link").linkname == "/etc/passwd"
        holes = found.extractfile("holes")
        assert holes and found.getmember("holes").size == 1 << 30
        holes.seek(500_000_000)
        assert holes.read(13) == b"in the middle"
        content = found.extractfile("b/c/file")
        assert content and content.read() == (tree / "b/c/file").read_bytes()


def test_the_same_tree_is_the_same_bytes(tree: Path) -> None:
    assert packed(tree) == packed(tree)


def test_no_descriptor_is_left_open(tree: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    packed(tree)
    fd = os.open(tree, os.O_PATH)
    half = walk(fd, b".", b"")
    next(half), next(half), next(half)
    half.close()
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_vanishes_while_it_is_packed_is_left_out(tree: Path) -> None:
    fd = os.open(tree, os.O_PATH)
    names = []
    for item in walk(fd, b".", b""):
        names.append(item.entry.name)
        if item.entry.name == b"a":
            (tree / "fifo").unlink()
    os.close(fd)
    assert b"fifo" not in names and b"link" in names


def test_a_file_that_becomes_a_link_meanwhile_is_still_the_file(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret" * 1000)
    fd = os.open(tree, os.O_PATH)
    pieces = []
    items = walk(fd, b".", b"")

    def swapping() -> Iterator:
        for item in items:
            if item.entry.name == b"a":
                (tree / "a").unlink()
                (tree / "a").symlink_to(tmp_path / "secret")
            yield item

    pieces = list(archive(swapping()))
    os.close(fd)
    assert b"secret" not in b"".join(piece for piece in pieces if b"/secret" not in piece)
    assert b"first" in b"".join(pieces)


def test_a_file_that_shrinks_is_filled_up(tree: Path) -> None:
    fd = os.open(tree, os.O_PATH)
    stream_ = archive(walk(fd, b".", b""))
    data = b""
    for piece in stream_:
        data += piece
        if piece.startswith(b"PaxHeaders") and b"b/c/file" in piece:
            os.truncate(tree / "b/c/file", 0)
    os.close(fd)
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        assert found.getmember("b/c/file").size == 3_000_000 and found.getnames()[-1] == "link"


def test_a_directory_that_is_moved_meanwhile_is_an_error_and_nothing_outside_is_read(
    tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("x")
    fd = os.open(tree, os.O_PATH)
    names = []
    with pytest.raises(Exception, match="moved"):
        for item in walk(fd, b".", b""):
            names.append(item.entry.name)
            if item.entry.name == b"b/c/file":
                os.rename(tree / "b/c", tmp_path / "outside/c")
    os.close(fd)
    assert not any(b"secret" in name for name in names)


def test_a_socket_is_left_out_and_special_files_are_not_opened(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        os.mkfifo(tmp_path / "fifo")
        fd = os.open(tmp_path, os.O_PATH)
        assert [item.entry.name for item in walk(fd, b".", b"")] == [b"", b"fifo"]
        os.close(fd)


def test_only_what_means_the_same_everywhere_is_portable() -> None:
    given = ["user.x", "security.capability", "system.posix_acl_access", "security.selinux", "trusted.overlay.opaque",
             "user.overlay.opaque", "security.ima", "trusted.x"]  # fmt: skip
    kept = portable_xattrs({name.encode(): b"v" for name in given})
    assert kept is not None and sorted(kept) == sorted(name.encode() for name in given[:3])
    assert portable_xattrs(None) is None and portable_xattrs({b"trusted.x": b""}) is None


def test_modes_and_owners_are_those_of_the_files(tree: Path) -> None:
    os.chmod(tree / "a", 0o4711)
    fd = os.open(tree, os.O_PATH)
    found = {item.entry.name: item.entry for item in walk(fd, b".", b"")}
    os.close(fd)
    status = os.stat(tree / "a")
    entry = found[b"a"]
    assert (entry.mode, entry.uid, entry.gid, entry.mtime) == (
        stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns,
    )  # fmt: skip


def test_a_tree_deeper_than_an_archive_can_say_is_an_error_and_takes_no_memory(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(100):
        os.mkdir("n" * 250, dir_fd=here)
        below = os.open("n" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    top = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(StoreError, match="a path is longer than 4095 bytes"):
            list(walk(top, b".", b""))
    finally:
        remove_tree(top, b"n" * 250)
        os.close(top)
