"""What an honest layer becomes on disk, and odd ones that are no attack or a contained one."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
from collections.abc import Iterator

import pytest
import zstandard

from pycontainer.errors import LayerError, StoreError
from pycontainer.image.compression import decompress
from tests.support.tars import (
    BLOCK,
    CHAR,
    END,
    FIFO,
    GNU,
    V7,
    Place,
    base256,
    directory,
    header,
    link,
    member,
    octal,
    pax,
    sparse_1_0,
    sparse_old,
    symlink,
    tar,
)

pytestmark = pytest.mark.root

NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
ELF32 = b"\x7fELF\x01" + bytes(40)
ELF64 = b"\x7fELF\x02" + bytes(40)


@pytest.fixture
def place(tmp_path: object) -> Iterator[Place]:
    yield Place(str(tmp_path))


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def is_whiteout(path: str) -> bool:
    found = os.lstat(path)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: str) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def test_owner_mode_and_time_of_every_kind_are_as_in_the_archive(place: Place) -> None:
    place.unpack(
        tar(
            directory(b"./", mode=0o751, uid=7, gid=8, mtime=11),
            directory(b"d/", mode=0o3775, uid=1, gid=2, mtime=12),
            member(b"d/f", b"data", mode=0o4711, uid=3, gid=4, mtime=13),
            symlink(b"l", b"d/f", uid=5, gid=6, mtime=14),
            header(b"c", CHAR, device=(1, 3), mode=0o666, uid=9, gid=10, mtime=15),
            header(b"b", BLOCK, device=(259, 300), mode=0o660, mtime=16),
            header(b"p", FIFO, mode=0o622, uid=11, gid=12, mtime=17),
        )
    )
    expected = {
        ".": (stat.S_IFDIR | 0o751, 7, 8, 11), "d": (stat.S_IFDIR | 0o3775, 1, 2, 12),
        "d/f": (stat.S_IFREG | 0o4711, 3, 4, 13), "l": (stat.S_IFLNK | 0o777, 5, 6, 14),
        "c": (stat.S_IFCHR | 0o666, 9, 10, 15), "b": (stat.S_IFBLK | 0o660, 0, 0, 16),
        "p": (stat.S_IFIFO | 0o622, 11, 12, 17),
    }  # fmt: skip
    for name, wanted in expected.items():
        found = os.lstat(place.path(name))
        assert (found.st_mode, found.st_uid, found.st_gid, found.st_mtime) == wanted, name
    assert os.lstat(place.path("b")).st_rdev == os.makedev(259, 300)
    assert os.readlink(place.path("l")) == "d/f"
    assert read(place.path("d/f")) == b"data"


def test_the_largest_ids_and_times_before_1970_and_in_nanoseconds_survive(place: Place) -> None:
    place.unpack(
        tar(
            member(b"a", uid=base256(0xFFFFFFFE, 8), gid=base256(0x80000000, 8), mtime=base256(-5, 12)),
            pax((b"mtime", b"1700000000.123456789123"), (b"uid", b"4294967294")),
            member(b"b"),
            pax((b"mtime", b"-1.5")),
            member(b"c"),
        )
    )
    a, b, c = (os.lstat(place.path(name)) for name in "abc")
    assert (a.st_uid, a.st_gid, a.st_mtime) == (0xFFFFFFFE, 0x80000000, -5)
    assert (b.st_uid, b.st_mtime_ns) == (0xFFFFFFFE, 1_700_000_000_123_456_789)
    assert c.st_mtime_ns == -1_500_000_000


NAMES: dict[str, tuple[bytes, str]] = {
    "absolute": (member(b"/a/b", b"x"), "a/b"),
    "dot-slash": (member(b"./a/b", b"x"), "a/b"),
    "needless slashes and dots": (member(b".//a/./b", b"x"), "a/b"),
    "prefix": (member(b"b", b"x", prefix=b"a"), "a/b"),
    "gnu long name": (member(b"L", b"a/" + b"n" * 150 + b"\0", b"L", magic=GNU) + member(b"z", b"x", magic=GNU),
                      "a/" + "n" * 150),
    "pax name": (pax((b"path", b"a/" + b"n" * 255)) + member(b"z", b"x"), "a/" + "n" * 255),
    "not utf-8": (member(b"a\xff\xfe", b"x"), os.fsdecode(b"a\xff\xfe")),
    "newline": (member(b"a\nb", b"x"), "a\nb"),
    "backslash": (member(b"a\\..\\b", b"x"), "a\\..\\b"),
    "three dots": (member(b".../..a", b"x"), ".../..a"),
    "v7": (member(b"a", b"x", magic=V7), "a"),
    "v7 type": (member(b"a", b"x", b"\0", magic=V7), "a"),
    "contiguous": (member(b"a", b"x", b"7"), "a"),
    "whiteout in the middle": (member(b"a.wh.b", b"x"), "a.wh.b"),
    "global comment": (pax((b"comment", b"git"), kind=b"g") + member(b"a", b"x"), "a"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_understood(place: Place, name: str) -> None:
    archive, path = NAMES[name]
    place.unpack(tar(archive))
    assert read(place.path(path)) == b"x"


def test_a_name_with_an_archive_of_70_components_is_made(place: Place) -> None:
    place.unpack(tar(pax((b"path", b"d/" * 900 + b"f")), member(b"x", b"x")))
    assert len(place.tree()) == 901


def test_files_of_every_size_around_a_block_are_whole_however_the_stream_is_divided(tmp_path: object) -> None:
    sizes = [0, 1, 4, 5, 15, 16, 17, 511, 512, 513, 1023, 1024, 1025, 70_000]
    archive = tar(*[member(b"f%d" % size, (b"%d|" % size * 70_000)[:size]) for size in sizes])
    for step in (1, 13, 512, 1000, 1 << 20):
        os.mkdir(f"{tmp_path}/{step}")
        place = Place(f"{tmp_path}/{step}")
        facts = place.unpack(archive, step)
        assert (facts.entries, facts.size) == (len(sizes), sum(sizes))
        for size in sizes:
            assert read(place.path(f"f{size}")) == (b"%d|" % size * 70_000)[:size]


def test_an_archive_without_end_and_an_empty_one_are_taken(place: Place) -> None:
    assert place.unpack(b"").entries == 0
    assert place.unpack(END).entries == 0
    assert place.unpack(member(b"a")).entries == 1
    assert place.unpack(member(b"b") + bytes(512)).entries == 1
    assert place.unpack(tar(member(b"c")) + bytes(10_000)).entries == 1
    assert place.unpack(member(b"d", b"whole")[:517]).entries == 1  # umoci insert leaves out what fills the block
    assert read(place.path("d")) == b"whole"


# ---- duplicates and replacement


def test_the_last_of_two_entries_wins(place: Place) -> None:
    place.unpack(tar(member(b"a", b"first"), member(b"a", b"last", mode=0o600)))
    assert read(place.path("a")) == b"last"


def test_replacing_a_file_leaves_its_other_names_alone(place: Place) -> None:
    place.unpack(tar(member(b"a", b"old"), link(b"b", b"a"), member(b"a", b"new")))
    assert (read(place.path("a")), read(place.path("b"))) == (b"new", b"old")


def test_a_directory_given_twice_keeps_its_content(place: Place) -> None:
    place.unpack(tar(directory(b"d", mode=0o700), member(b"d/f", b"x"), directory(b"d", mode=0o711, mtime=5)))
    assert read(place.path("d/f")) == b"x"
    assert stat.S_IMODE(os.lstat(place.path("d")).st_mode) == 0o711
    assert os.lstat(place.path("d")).st_mtime == 5


KINDS = {
    "file": member(b"x", b"data"),
    "directory": directory(b"x"),
    "symlink": symlink(b"x", b"/outside"),
    "fifo": header(b"x", FIFO),
    "link": link(b"x", b"other"),
    "whiteout": member(b".wh.x"),
}


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("last", KINDS)
def test_any_kind_replaces_any_other(place: Place, first: str, last: str) -> None:
    inside = member(b"x/inside", b"y") if first == "directory" else b""
    place.unpack(tar(member(b"other", b"o"), KINDS[first], inside, KINDS[last]))
    found = os.lstat(place.path("x"))
    kind = first if last == "whiteout" else last  # what the layer has wins over its own whiteout
    wanted = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO,
              "link": stat.S_IFREG, "whiteout": stat.S_IFCHR}[kind]  # fmt: skip
    assert stat.S_IFMT(found.st_mode) == wanted
    if kind == "directory":
        assert is_opaque(place.path("x")) == ("whiteout" in (first, last))
        assert os.listdir(place.path("x")) == (["inside"] if first == "directory" else [])
    assert not any("pyc-gone" in name for name in place.tree())


def test_a_directory_swapped_for_a_symlink_sends_later_files_where_the_link_leads_inside(place: Place) -> None:
    place.unpack(
        tar(directory(b"d"), member(b"d/a", b"x"), directory(b"e"), symlink(b"d", b"e"), member(b"d/b", b"y"),
            symlink(b"d", b"../../outside"), directory(b"outside"), member(b"d/c", b"z"))
    )  # fmt: skip
    assert place.tree() == {"d", "e", "e/b", "outside", "outside/c"}


# ---- links


def test_files_go_through_symlinked_directories_within_the_layer(place: Place) -> None:
    place.unpack(
        tar(directory(b"usr"), directory(b"usr/lib"), symlink(b"lib", b"usr/lib"), member(b"lib/a", b"1"),
            symlink(b"abs", b"/usr/lib"), member(b"abs/b", b"2"), directory(b"lib/sub", mode=0o750, mtime=3),
            symlink(b"up", b"../../../../usr"), member(b"up/c", b"3"), directory(b"up/new/deep"))
    )  # fmt: skip
    assert {"usr/lib/a", "usr/lib/b", "usr/lib/sub", "usr/c", "usr/new/deep"} <= place.tree()
    assert os.lstat(place.path("usr/lib/sub")).st_mtime == 3


def test_hard_links_share_an_inode_whichever_comes_first(place: Place) -> None:
    place.unpack(
        tar(link(b"early", b"d/file"), directory(b"d"), member(b"d/file", b"x"), link(b"/late", b"./d/file"),
            symlink(b"l", b"d"), link(b"through", b"l/file"), symlink(b"s", b"nowhere"), link(b"tosym", b"s"),
            link(b"d/file", b"late"))
    )  # fmt: skip
    inodes = {os.lstat(place.path(name)).st_ino for name in ("early", "late", "through", "d/file")}
    assert len(inodes) == 1
    assert os.readlink(place.path("tosym")) == "nowhere"


def test_a_link_to_a_target_outside_is_only_text(place: Place) -> None:
    place.unpack(
        tar(symlink(b"a", b"/etc/shadow"), symlink(b"b", b"../../outside/secret"), symlink(b"p", b"/proc/self/root"))
    )
    assert os.readlink(place.path("b")) == "../../outside/secret"


def test_a_file_that_replaces_a_link_does_not_write_through_it(place: Place) -> None:
    place.unpack(tar(symlink(b"a", b"../canary"), member(b"a", b"mine", mode=0o777, uid=5)))
    assert read(place.path("a")) == b"mine"


def test_attributes_of_a_link_are_never_those_of_its_target(place: Place) -> None:
    place.unpack(
        tar(symlink(b"a", b"../canary", mode=0o4777, uid=12345, mtime=1), link(b"b", b"a", mode=0o4777, uid=99))
    )
    assert os.lstat(place.path("b")).st_uid == 12345


def test_many_directories_do_not_use_up_descriptors(place: Place) -> None:
    made = [directory(b"d%d" % number) for number in range(500)]
    files = [member(b"d%d/f" % (number * 7 % 500), b"x") for number in range(500)]
    links = [link(b"d%d/l" % number, b"d%d/f" % (499 - number)) for number in range(500)]
    place.unpack(tar(*made, *files, *links))
    assert len(place.tree()) == 1500


# ---- whiteouts


def test_whiteouts_become_what_overlayfs_understands(place: Place) -> None:
    facts = place.unpack(
        tar(member(b"d/.wh.gone"), directory(b"o"), member(b"o/kept", b"x"), member(b"o/.wh..wh..opq"),
            member(b"o/.wh.ghost"), member(b".wh.x..wh.y"), link(b".wh.byaufs", b"o/kept"))
    )  # fmt: skip
    assert is_whiteout(place.path("d/gone"))
    assert is_whiteout(place.path("x..wh.y"))
    assert is_whiteout(place.path("byaufs"))
    assert is_opaque(place.path("o"))
    assert os.listdir(place.path("o")) == ["kept"]  # whiteouts in an opaque directory would be listed
    assert facts.whiteouts == 5
    assert not facts.hides_all


@pytest.mark.parametrize("opaque_first", [True, False])
def test_an_opaque_marker_hides_lower_layers_only_wherever_it_stands(place: Place, opaque_first: bool) -> None:
    entries = [member(b"o/.wh..wh..opq"), member(b"o/mine", b"x")]
    place.unpack(tar(directory(b"o"), *(entries if opaque_first else reversed(entries))))
    assert is_opaque(place.path("o"))
    assert read(place.path("o/mine")) == b"x"


def test_a_whiteout_and_then_things_below_its_name_make_an_opaque_directory(place: Place) -> None:
    place.unpack(tar(member(b".wh.d"), member(b"d/f", b"x")))
    assert is_opaque(place.path("d"))
    assert read(place.path("d/f")) == b"x"


def test_an_opaque_root_is_reported(place: Place) -> None:
    assert place.unpack(tar(member(b".wh..wh..opq"), member(b"a"))).hides_all


def test_an_opaque_mark_does_not_stick_to_a_name_or_inode_that_is_used_again(place: Place) -> None:
    place.unpack(
        tar(directory(b"o"), member(b"o/.wh..wh..opq"), member(b"o", b"file"), directory(b"o"), directory(b"p"))
    )
    assert not is_opaque(place.path("o"))
    assert not is_opaque(place.path("p"))


def test_files_of_aufs_are_skipped_but_what_is_linked_to_them_stays(place: Place) -> None:
    place.unpack(
        tar(directory(b".wh..wh.plnk"), member(b".wh..wh.plnk/1.2", b"data"), link(b"a", b".wh..wh.plnk/1.2"),
            link(b"b", b".wh..wh.plnk/1.2"), member(b".wh..wh.aufs"))
    )  # fmt: skip
    assert place.tree() == {"a", "b"}
    assert os.lstat(place.path("a")).st_nlink == 2


# ---- attributes


def xattr(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return b"SCHILY.xattr." + name, value


def test_attributes_are_restored_and_capabilities_outlive_the_owner(place: Place) -> None:
    facts = place.unpack(
        tar(
            pax(xattr(b"user.a", b"b\0c"), xattr(b"security.capability", NET_RAW)),
            member(b"f", b"x", mode=0o4755, uid=1000),
            pax((b"LIBARCHIVE.xattr.user.%61", b"YmFzZTY0")),
            member(b"l", b"x"),
            pax(xattr(b"user.d", b"")),
            directory(b"d"),
        )
    )
    assert os.getxattr(place.path("f"), "user.a") == b"b\0c"
    assert os.getxattr(place.path("f"), "security.capability") == NET_RAW
    assert os.getxattr(place.path("l"), "user.a") == b"base64"
    assert os.listxattr(place.path("d")) == ["user.d"]
    assert os.lstat(place.path("f")).st_mode & 0o7777 == 0o4755
    assert set(facts.setuid) == {"f"}


def test_attributes_that_overlayfs_or_a_host_would_obey_do_not_get_through(place: Place) -> None:
    smuggled = [b"trusted.overlay.opaque", b"trusted.overlay.redirect", b"trusted.overlay.metacopy",
                b"trusted.overlay.origin", b"user.overlay.redirect"]  # fmt: skip
    dropped = [b"trusted.other", b"security.selinux", b"security.ima", b"security.evm", b"system.nfs4_acl", b"x"]
    for kind, target in ((member(b"f", b"x"), "f"), (directory(b"d"), "d")):
        place.unpack(tar(pax(*[xattr(name, b"/secret") for name in smuggled + dropped]), kind))
        found = set(os.listxattr(place.path(target)))
        assert found == {name.decode().replace("overlay.", "overlay.overlay.", 1) for name in smuggled}


def test_attributes_on_links_and_devices_are_ignored(place: Place) -> None:
    place.unpack(
        tar(pax(xattr(b"user.a", b"b")), symlink(b"l", b"../canary"), pax(xattr(b"user.a", b"b")), header(b"p", FIFO))
    )
    assert os.listxattr(place.path("l"), follow_symlinks=False) == []


def test_a_default_acl_of_a_directory_is_not_inherited_by_what_is_unpacked_into_it(place: Place) -> None:
    acl = bytes.fromhex("0200000001000700ffffffff02000700e803000004000700ffffffff10000700ffffffff20000500ffffffff")
    place.unpack(
        tar(
            pax(xattr(b"system.posix_acl_default", acl)),
            directory(b"d"),
            member(b"d/f", b"x", mode=0o600),
            directory(b"d/e"),
        )
    )
    assert os.getxattr(place.path("d"), "system.posix_acl_default") == acl
    assert os.listxattr(place.path("d/f")) == os.listxattr(place.path("d/e")) == []
    assert os.lstat(place.path("d/f")).st_mode & 0o7777 == 0o600


def test_a_setgid_directory_does_not_give_its_group_to_what_is_unpacked_into_it(place: Place) -> None:
    place.unpack(
        tar(directory(b"d", mode=0o2775, gid=50), member(b"d/f", b"x"), symlink(b"d/l", b"x"), directory(b"d/e"))
    )
    assert [os.lstat(place.path(name)).st_gid for name in ("d", "d/f", "d/l", "d/e")] == [50, 0, 0, 0]
    assert os.lstat(place.path("d/e")).st_mode & 0o7777 == 0o755


def test_the_umask_has_no_say(place: Place) -> None:
    old = os.umask(0o777)
    try:
        place.unpack(
            tar(directory(b"d", mode=0o777), member(b"d/f", mode=0o666), header(b"p", FIFO, mode=0o666), member(b"i/f"))
        )
    finally:
        os.umask(old)
    modes = [os.lstat(place.path(name)).st_mode & 0o7777 for name in ("d", "d/f", "p", "i")]
    assert modes == [0o777, 0o666, 0o666, 0o755]


def test_facts_for_the_defaults_of_a_container_are_collected(place: Place) -> None:
    assert not place.unpack(tar(member(b"a", ELF64))).elf32
    facts = place.unpack(
        tar(member(b"x", ELF32), member(b"s", mode=0o2755), directory(b"d", mode=0o2755), link(b"t", b"s")), 7
    )
    assert facts.elf32
    assert facts.setuid == ("s", "t")


def test_a_32_bit_program_is_noticed_in_a_sparse_file_too(place: Place) -> None:
    assert place.unpack(tar(sparse_old(b"sp", [(0, 45)], 100, ELF32))).elf32


# ---- sparse files


SPARSE = {
    "old": sparse_old(b"f", [(0, 3), (1000, 4)], 5000, b"abcdefg"),
    "old, continued": sparse_old(b"f", [(0, 1), (2, 1), (1000, 1), (1001, 1)], 5000, b"", b"\1")[:512]
    + (octal(1002, 12) + octal(2, 12) + octal(5000, 12) + octal(0, 12)).ljust(512, b"\0") + b"a_cdef".ljust(512, b"\0"),
    "0.0": pax((b"GNU.sparse.size", b"5000"), (b"GNU.sparse.numblocks", b"2"), (b"GNU.sparse.offset", b"0"),
               (b"GNU.sparse.numbytes", b"3"), (b"GNU.sparse.offset", b"1000"), (b"GNU.sparse.numbytes", b"4"))
    + member(b"f", b"abcdefg"),
    "0.1": pax((b"GNU.sparse.size", b"5000"), (b"GNU.sparse.name", b"f"), (b"GNU.sparse.map", b"0,3,1000,4"))
    + member(b"GNUSparseFile.0/f", b"abcdefg"),
    "1.0": sparse_1_0([2, 0, 3, 1000, 4], 5000, b"abcdefg"),
    "only holes": sparse_1_0([1, 5000, 0], 5000, b""),
}  # fmt: skip


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("step", [1, 512, 100_000])
def test_sparse_files_of_every_format_are_restored(place: Place, name: str, step: int) -> None:
    archive = SPARSE[name]
    if name == "old, continued":
        archive = archive[:124] + octal(6, 12) + archive[136:148] + b" " * 8 + archive[156:]
        archive = archive[:148] + b"%06o\0 " % sum(archive[:512]) + archive[156:]
    facts = place.unpack(tar(archive, member(b"after", b"x")), step)
    data = read(place.path("f"))
    wanted = bytearray(5000)
    if name == "old, continued":
        wanted[0:1], wanted[2:3], wanted[1000:1004] = b"a", b"_", b"cdef"
    elif name != "only holes":
        wanted[0:3], wanted[1000:1004] = b"abc", b"defg"
    assert data == wanted
    assert read(place.path("after")) == b"x"
    assert facts.size == 5001


@pytest.mark.peers
@pytest.mark.parametrize("how", ["--format=gnu", "--format=posix", "--sparse-version=0.0", "--sparse-version=0.1"])
def test_sparse_files_and_links_by_gnu_tar_are_read(
    place: Place, tmp_path_factory: pytest.TempPathFactory, how: str
) -> None:
    source = str(tmp_path_factory.mktemp("source"))
    with open(f"{source}/sparse", "wb") as file:
        for offset in range(0, 40 << 20, 1 << 20):
            file.seek(offset)
            file.write(b"here %d" % offset)
        file.truncate(50 << 20)
    os.link(f"{source}/sparse", f"{source}/link")
    options = [how] if how.startswith("--format") else ["--format=posix", how]
    done = subprocess.run(["tar", "-C", source, "-cS", *options, "."], capture_output=True, check=True)
    assert len(done.stdout) < 2 << 20
    place.unpack(done.stdout)
    assert read(place.path("sparse")) == read(f"{source}/sparse")
    assert os.lstat(place.path("link")).st_nlink == 2


# ---- what is not the archive's fault


def test_a_full_disk_is_a_store_error(tmp_path: object) -> None:
    os.mkdir(f"{tmp_path}/small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", f"{tmp_path}/small"], check=True)
    try:
        with pytest.raises(StoreError, match="No space left"):
            Place(f"{tmp_path}/small").unpack(tar(member(b"f", bytes(2 << 20))))
    finally:
        subprocess.run(["umount", f"{tmp_path}/small"], check=True)


# ---- compression


def chunks(data: bytes, step: int = 5000) -> Iterator[bytes]:
    return (data[at : at + step] for at in range(0, len(data), step))


DATA = b"".join(b"line %d\n" % number for number in range(100_000))
SKIPPABLE = b"\x50\x2a\x4d\x18" + (100).to_bytes(4, "little") + bytes(100)
STREAMS = {
    "plain": DATA,
    "gzip": gzip.compress(DATA),
    "gzip members": gzip.compress(DATA[:1000]) + gzip.compress(b"") + gzip.compress(DATA[1000:]),
    "gzip and zeros": gzip.compress(DATA) + bytes(3000),
    "zstd": zstandard.compress(DATA),
    "zstd frames": zstandard.compress(DATA[:1000]) + zstandard.compress(DATA[1000:]),
    "zstd with skippable frames": SKIPPABLE
    + zstandard.compress(DATA[:1000])
    + SKIPPABLE
    + zstandard.compress(DATA[1000:])
    + SKIPPABLE,
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("step", [3, 5000, 10 << 20])
def test_a_compressed_stream_is_read_to_its_end(name: str, step: int) -> None:
    assert b"".join(decompress(chunks(STREAMS[name], step), 1 << 30)) == DATA


@pytest.mark.parametrize("data", [b"", b"a", b"\x1f", b"abc"])
def test_a_stream_shorter_than_a_magic_number_is_plain(data: bytes) -> None:
    assert b"".join(decompress(chunks(data), 100)) == data


CHECKED = zstandard.ZstdCompressor(write_checksum=True).compress(DATA)
BROKEN = {
    "cut gzip": gzip.compress(DATA)[:-100],
    "gzip header only": gzip.compress(DATA)[:10],
    "gzip with a wrong checksum": gzip.compress(DATA)[:-8] + bytes(8),
    "gzip then garbage": gzip.compress(DATA) + b"garbage",
    "damaged gzip": gzip.compress(DATA)[:1000] + b"\xff" * 100 + gzip.compress(DATA)[1100:],
    "damaged zstd": CHECKED[:1000] + b"\xff" * 100 + CHECKED[1100:],
    "zstd then garbage": zstandard.compress(DATA) + b"garbage",
    "zstd with a huge window": b"\x28\xb5\x2f\xfd\x00\xa0" + bytes(20),
    "zstd with a dictionary": zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(DATA[:5000])).compress(
        DATA
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_a_layer_error(name: str) -> None:
    with pytest.raises(LayerError):
        list(decompress(chunks(BROKEN[name]), 1 << 30))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_bomb_is_stopped_at_the_limit_in_little_memory(pack: object) -> None:
    import tracemalloc

    bomb = pack(bytes(300 << 20))  # type: ignore[operator]
    tracemalloc.start()
    size = 0
    with pytest.raises(LayerError, match="more than 100 MiB"):
        for piece in decompress(chunks(bomb, 1 << 20), 100 << 20):
            size += len(piece)
    assert size <= 100 << 20
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()
