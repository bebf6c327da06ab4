"""``cp`` and ``export``: files into containers and out of them, running or not."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pyc, Result, sh
from tests.support.tars import snapshot

pytestmark = pytest.mark.root

MAKE = """
mkdir -p /d/sub/deep /empty; echo one > /d/one; echo two > /d/sub/two; ln /d/one /d/again; ln -s one /d/relative
ln -s /d/sub /d/absolute; ln -s /d /link; ln -s /nowhere /dangling; mkfifo /d/fifo; chown 7:8 /d/sub; chmod 2711 /d/sub
printf '%0200000d' 0 > /d/big; touch -d '2001-02-03 04:05:06' /d/one /d/sub
"""


@pytest.fixture(params=["exited", "running"])
def box(request: pytest.FixtureRequest, stocked: Pyc, image: str) -> Iterator[Pyc]:
    """A container ``box`` with some files, as it is most of the time: at work, or done."""
    if request.param == "exited":
        stocked("run", "--name", "box", image, *sh(MAKE)).ok()
        yield stocked
        return
    with stocked.start("run", "--name", "box", image, *sh(MAKE + "touch /ready; sleep 60")) as process:
        while process.poll() is None and stocked("cp", "box:/ready", "-").code:
            time.sleep(0.02)
        yield stocked
        stocked("rm", "-f", "box").ok()
        process.communicate(timeout=20)


def archive_of(pyc: Pyc, source: str) -> tarfile.TarFile:
    done = subprocess.run(pyc.argv("cp", source, "-"), env=pyc.env(), capture_output=True, check=True)
    return tarfile.open(fileobj=io.BytesIO(done.stdout))


def read(pyc: Pyc, path: str) -> str:
    with archive_of(pyc, f"box:{path}") as archive:
        (member,) = archive.getmembers()
        file = archive.extractfile(member)
        assert file
        return file.read().decode()


def tar(*members: tuple[str, str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, text in members:
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = len(text), 5, 6
            archive.addfile(info, io.BytesIO(text.encode()))
    return file.getvalue()


# --- out of a container ---------------------------------------------------------------------------------------------


def test_a_tree_comes_out_whole(box: Pyc, tmp_path: Path) -> None:
    box("cp", "-a", "box:/d", str(tmp_path / "all")).ok()
    found = snapshot(str(tmp_path / "all"))
    assert {*found} == {".", "one", "again", "relative", "absolute", "fifo", "big", "sub", "sub/two", "sub/deep"}
    assert (tmp_path / "all/one").read_text() == "one\n" and (tmp_path / "all/big").stat().st_size == 200000
    assert os.path.samefile(tmp_path / "all/one", tmp_path / "all/again")
    assert os.readlink(tmp_path / "all/absolute") == "/d/sub"
    status = os.stat(tmp_path / "all/sub")
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o2711, 7, 8)
    assert status.st_mtime == os.stat(tmp_path / "all/one").st_mtime


def test_without_archive_mode_files_are_the_callers_and_gain_no_power(box: Pyc, tmp_path: Path) -> None:
    box("cp", "box:/d/sub", str(tmp_path)).ok()
    status = os.stat(tmp_path / "sub")
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o711, os.geteuid(), os.getegid())


Case = tuple[str, str, dict[str, str]]
OUT: list[Case] = [  # source in the container, target below a directory that has dir/ and file; what is there then
    ("/d/one", "new", {"new": "one\n"}),
    ("/d/one", "dir", {"dir/one": "one\n"}),
    ("/d/one", "dir/", {"dir/one": "one\n"}),
    ("/d/one", "file", {"file": "one\n"}),
    ("/d/sub", "new", {"new/two": "two\n"}),
    ("/d/sub", "new/", {"new/two": "two\n"}),
    ("/d/sub", "dir", {"dir/sub/two": "two\n"}),
    ("/d/sub/", "dir", {"dir/sub/two": "two\n"}),
    ("/d/sub/.", "dir", {"dir/two": "two\n"}),
    ("/d/sub/.", "new", {"new/two": "two\n"}),
    ("d/sub/../one", "new", {"new": "one\n"}),
    ("/link/one", "new", {"new": "one\n"}),
    ("/d/absolute/two", "new", {"new": "two\n"}),
    ("/d/absolute/", "new", {"new/two": "two\n"}),
]


@pytest.mark.parametrize(("source", "target", "there"), OUT, ids=lambda value: value if isinstance(value, str) else "")
def test_out_goes_where_docker_puts_it(
    box: Pyc, tmp_path: Path, source: str, target: str, there: dict[str, str]
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("before")
    box("cp", f"box:{source}", f"{tmp_path}/{target}").ok()
    assert {name: (tmp_path / name).read_text() for name in there} == there


def test_a_link_is_copied_as_a_link_unless_it_shall_be_followed(box: Pyc, tmp_path: Path) -> None:
    box("cp", "box:/d/relative", str(tmp_path / "link")).ok()
    assert os.readlink(tmp_path / "link") == "one"
    box("cp", "-L", "box:/d/relative", str(tmp_path / "file")).ok()
    assert not (tmp_path / "file").is_symlink() and (tmp_path / "file").read_text() == "one\n"


WRONG_OUT = [
    ("box:/missing", "new", "could not find the file /missing in container box"),
    ("box:/d/one/", "new", "could not find the file /d/one/"),
    ("box:/d/one/x", "new", "could not find the file"),
    ("nobody:/x", "new", "no such container: nobody"),
    ("box:/d", "file", "can't copy a directory over the file"),
    ("box:/d/one", "none/new", "no such directory"),
    ("box:/d/one", "none/", "no such directory"),
    ("box:/dangling/x", "new", "could not find"),
]


@pytest.mark.parametrize(("source", "target", "said"), WRONG_OUT)
def test_what_can_not_come_out_is_told(box: Pyc, tmp_path: Path, source: str, target: str, said: str) -> None:
    (tmp_path / "file").write_text("before")
    result = box("cp", source, f"{tmp_path}/{target}")
    assert result.code == 1 and said in result.stderr and "Traceback" not in result.stderr
    assert sorted(os.listdir(tmp_path)) == ["file"] and (tmp_path / "file").read_text() == "before"


def test_an_archive_on_stdout_is_named_after_its_source(box: Pyc) -> None:
    with archive_of(box, "box:/d/sub") as archive:
        assert archive.getnames() == ["sub", "sub/deep", "sub/two"]
    with archive_of(box, "box:/d/sub/.") as archive:
        assert archive.getnames() == [".", "deep", "two"]


def test_the_kernels_own_files_are_not_copied(box: Pyc) -> None:
    with archive_of(box, "box:/") as archive:
        names = archive.getnames()
    assert "proc" in names and "sys" in names and "d/one" in names
    assert [name for name in names if name.startswith(("proc/", "sys/"))] == []
    one = box("cp", "box:/proc/version", "-")
    assert one.code == 1  # never a file of no bytes: in a container that has ended there is none
    assert "is the kernel's" in one.stderr or "could not find the file" in one.stderr


# --- into a container -----------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/file").write_text("file")
    (tmp_path / "in/sub/x").write_text("x")
    (tmp_path / "in/link").symlink_to("file")
    os.chown(tmp_path / "in/file", 1234, 1235)
    os.chmod(tmp_path / "in/file", 0o4750)
    os.utime(tmp_path / "in/file", ns=(10**18, 10**18 + 123456789))
    return tmp_path / "in"


IN: list[Case] = [
    ("file", "/new", {"/new": "file"}),
    ("file", "/empty", {"/empty/file": "file"}),
    ("file", "/empty/", {"/empty/file": "file"}),
    ("file", "/d/one", {"/d/one": "file"}),
    ("file", "/link", {"/d/file": "file"}),
    ("file", "/d/absolute/new", {"/d/sub/new": "file"}),
    ("file", "/d/relative", {"/d/one": "file"}),
    ("file", "", {"/file": "file"}),
    ("", "/new", {"/new/sub/x": "x"}),
    ("", "/empty", {"/empty/in/sub/x": "x"}),
    (".", "/empty", {"/empty/sub/x": "x"}),
    ("sub", "/d", {"/d/sub/x": "x", "/d/sub/two": "two\n"}),
    ("sub/.", "/d/absolute", {"/d/sub/x": "x"}),
]


@pytest.mark.parametrize(("source", "target", "there"), IN, ids=lambda value: value if isinstance(value, str) else "")
def test_in_goes_where_docker_puts_it(box: Pyc, tree: Path, source: str, target: str, there: dict[str, str]) -> None:
    box("cp", f"{tree}/{source}", f"box:{target}").ok()
    assert {name: read(box, name) for name in there} == there


def member(pyc: Pyc, path: str) -> tarfile.TarInfo:
    with archive_of(pyc, f"box:{path}") as archive:
        return archive.getmembers()[0]


def test_what_goes_in_is_roots_and_with_archive_mode_its_owners(box: Pyc, tree: Path) -> None:
    box("cp", str(tree / "file"), "box:/plain").ok()
    box("cp", "-a", str(tree / "file"), "box:/kept").ok()
    plain, kept = member(box, "/plain"), member(box, "/kept")
    assert (plain.uid, plain.gid, plain.mode) == (0, 0, 0o4750)
    assert (kept.uid, kept.gid, kept.mode, kept.mtime) == (1234, 1235, 0o4750, 1000000000.1234568)


WRONG_IN = [
    ("missing", "/new", "no such file or directory"),
    ("file", "/none/new", "no such directory"),
    ("file", "/none/", "no such directory"),
    ("sub", "/d/one", "can't copy a directory over the file"),
    ("file", "/d/one/x", "not a directory"),
    ("sub/.", "/d/one", "can't copy a directory over the file"),
]


@pytest.mark.parametrize(("source", "target", "said"), WRONG_IN)
def test_what_can_not_go_in_is_told(box: Pyc, tree: Path, source: str, target: str, said: str) -> None:
    before = box("diff", "box").stdout
    result = box("cp", f"{tree}/{source}", f"box:{target}")
    assert result.code == 1 and said in result.stderr and "Traceback" not in result.stderr
    assert box("diff", "box").stdout == before


def test_a_file_does_not_replace_a_directory_nor_the_reverse(box: Pyc, tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("")
    (tmp_path / "one").mkdir()
    for name, said in (("sub", "cannot overwrite directory"), ("one", "cannot overwrite non-directory")):
        result = box("cp", str(tmp_path / name), "box:/d")
        assert result.code == 1 and said in result.stderr
    assert read(box, "/d/one") == "one\n" and read(box, "/d/sub/two") == "two\n"


Pack = Callable[[bytes], bytes]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
def test_an_archive_on_stdin_is_extracted(box: Pyc, pack: Pack) -> None:
    box("cp", "-", "box:/d", stdin=pack(tar(("a", "A"), ("made/b", "B"), ("absolute/c", "C")))).ok()
    assert (read(box, "/d/a"), read(box, "/d/made/b"), read(box, "/d/sub/c")) == ("A", "B", "C")
    assert (member(box, "/d/a").uid, member(box, "/d/a").gid) == (5, 6)


@pytest.mark.parametrize(
    ("data", "target", "said"),
    [
        (b"no tar at all", "/d", "can't be used"),
        (b"\x1f\x8bno gzip", "/d", "can't be used"),
        (b"\xfd7zXZ\0no xz", "/d", "can't be used"),
        (tar(("../up", "x")), "/d", ".."),
        (tar(("a", "A")), "/none", "no such directory"),
        (tar(("a", "A")), "/d/one", "no directory"),
    ],
)
def test_an_archive_that_can_not_be_extracted_is_told(box: Pyc, data: bytes, target: str, said: str) -> None:
    result = box("cp", "-", f"box:{target}", stdin=data)
    assert result.code == 1 and said in result.stderr and "Traceback" not in result.stderr


def test_what_came_in_is_seen_by_the_container_and_counts_as_a_change(box: Pyc, tree: Path) -> None:
    box("cp", str(tree / "file"), "box:/new").ok()
    assert "A /new" in box("diff", "box").lines


def test_the_arguments_must_make_sense(stocked: Pyc, tmp_path: Path) -> None:
    for arguments in (("a:/x", "b:/y"), ("./x", "/y"), ("x",), ("-", "-"), ("./a:b", "c")):
        result = stocked("cp", *arguments)
        assert result.code == 125 or result.code == 1, arguments
        assert "Traceback" not in result.stderr


def test_many_copies_into_a_stopped_container_take_turns(stocked: Pyc, image: str, tmp_path: Path) -> None:
    stocked("run", "--name", "box", image, "true").ok()
    (tmp_path / "file").write_bytes(os.urandom(1_000_000))
    copies = [stocked.start("cp", str(tmp_path / "file"), f"box:/copy{number}") for number in range(8)]
    for process in copies:
        assert process.communicate(timeout=60) == (b"", b"") and process.returncode == 0
    assert len([line for line in stocked("diff", "box").lines if "copy" in line]) == 8
    assert os.listdir(f"{stocked.runroot}/containers") == []
    assert stocked("start", "-a", "box").code == 0


# --- mounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["exited", "running"])
def test_volumes_are_reached_and_read_only_ones_kept(stocked: Pyc, image: str, tmp_path: Path, state: str) -> None:
    for name in ("rw", "ro"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seen").write_text(name)
    flags = ("-v", f"{tmp_path}/rw:/rw", "-v", f"{tmp_path}/ro:/ro:ro", "--name", "box", image)
    with stocked.start("run", *flags, *sh("touch /rw/ready; sleep 60" if state == "running" else "true")) as process:
        while not (tmp_path / "rw/ready").exists() and process.poll() is None:
            time.sleep(0.02)
        (tmp_path / "file").write_text("new")
        assert read(stocked, "/rw/seen") == "rw" and read(stocked, "/ro/seen") == "ro"
        stocked("cp", str(tmp_path / "file"), "box:/rw/made").ok()
        refused = stocked("cp", str(tmp_path / "file"), "box:/ro/made")
        assert refused.code == 1 and "read-only" in refused.stderr
        assert (tmp_path / "rw/made").read_text() == "new" and not (tmp_path / "ro/made").exists()
        stocked("rm", "-f", "box").ok()
        process.communicate(timeout=20)


@pytest.mark.parametrize("state", ["exited", "running"])
def test_what_is_bound_behind_links_of_the_image_is_reached(
    stocked: Pyc, image: str, tmp_path: Path, state: str
) -> None:
    """The bind is at /var/kept, where /data leads; ``up`` leads there another way, and ``/data`` alone is a link."""
    stocked("run", "--name", "made", image, *sh("mkdir /var/kept; ln -s var/kept /data; ln -s .. /var/up")).ok()
    stocked("commit", "made", "linked").ok()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/seen").write_text("bound")
    (tmp_path / "file").write_text("new")
    stocked("run", "-d", "--name", "box", "-v", f"{tmp_path}/kept:/data", "linked", "sleep", "60").ok()
    if state == "exited":
        stocked("kill", "box").ok()
    for way in ("/data", "/var/kept", "/var/up/data", "/data/../kept"):
        assert read(stocked, f"{way}/seen") == "bound", way
        stocked("cp", str(tmp_path / "file"), f"box:{way}/made").ok()
        (tmp_path / "kept/made").unlink()
    stocked("cp", "box:/data", str(tmp_path / "link")).ok()
    assert os.readlink(tmp_path / "link") == "var/kept"
    stocked("cp", "box:/data/.", str(tmp_path / "all")).ok()
    assert (tmp_path / "all/seen").read_text() == "bound"


def test_a_read_only_root_is_not_written(stocked: Pyc, image: str, tmp_path: Path) -> None:
    stocked("run", "--read-only", "--name", "box", image, "true").ok()
    (tmp_path / "file").write_text("new")
    result: Result = stocked("cp", str(tmp_path / "file"), "box:/new")
    assert result.code == 1 and "read-only" in result.stderr


# --- export ---------------------------------------------------------------------------------------------------------


def test_an_export_has_all_files_and_no_volume(box: Pyc, tmp_path: Path) -> None:
    box("export", "-o", str(tmp_path / "all.tar"), "box").ok()
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = archive.getnames()
        assert {"d/one", "d/sub/two", "bin/busybox", "etc/passwd", "proc"} <= set(names)
        assert archive.getmember("d/one").islnk() or archive.getmember("d/again").islnk()
        file = archive.extractfile("d/sub/two")
        assert file and file.read() == b"two\n"
    assert [name for name in names if name.startswith(("proc/", "sys/", "/", "./"))] == []


def test_an_export_of_nothing_makes_no_file(stocked: Pyc, tmp_path: Path) -> None:
    result = stocked("export", "-o", str(tmp_path / "x"), "nobody")
    assert result.code == 1 and "no such container" in result.stderr and os.listdir(tmp_path) == []


def test_a_reader_that_leaves_is_no_error_of_ours(box: Pyc) -> None:
    with box.start("export", "box") as process:
        assert process.stdout and process.stderr
        process.stdout.read(1000)
        process.stdout.close()
        assert process.stderr.read() == b""


def test_no_mount_is_seen_on_the_host_while_an_export_is_under_way(box: Pyc) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    with box.start("export", "box") as process:
        assert process.stdout
        process.stdout.read(1000)
        assert Path("/proc/self/mountinfo").read_text() == before
        process.kill()
    assert Path("/proc/self/mountinfo").read_text() == before
