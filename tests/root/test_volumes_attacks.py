"""Volumes that somebody hostile writes to, disks that don't answer, and processes that are killed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE
from tests.support.races import LIBC, exchanging

pytestmark = pytest.mark.root

TRIES = int(os.environ.get("PYC_TRIES", "100"))


def test_a_directory_that_becomes_a_link_at_the_wrong_moment_leads_no_mount_outside(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    """CVE-2021-30465, CVE-2024-45310: nested mounts in a volume that another container renames things in."""
    canary = tmp_path / "canary"
    (canary / "sub").mkdir(parents=True)
    (canary / "secret").touch()
    before = sorted(os.walk(canary))
    for name in ("race", "inner"):
        stocked("volume", "create", name).ok()
    data = Path(stocked.root, "volumes/race/_data")
    (data / "dir" / "sub").mkdir(parents=True)
    up = "../" * 20
    ended: dict[int, int] = {}
    for target in (str(canary), up + str(canary)[1:]):
        (data / "link").unlink(missing_ok=True)
        if not (data / "dir").is_dir() or (data / "dir").is_symlink():
            os.rename(data / "dir", data / "was")
        (data / "link").symlink_to(target)
        with exchanging(data / "dir", data / "link") as count:
            for number in range(TRIES // 2):
                kind = (
                    ("-v", "race:/v", "-v", "inner:/v/dir/sub"),
                    ("-v", "race:/v", "-v", "/etc/hostname:/v/dir/made/file"),
                    ("--mount", "source=race,target=/v,volume-subpath=dir"),
                )[number % 3]
                # With the host's ids root could make something outside: the resolution alone stands before that.
                options = ("--network", "none", "--userns", ("host", "private")[number % 2], *kind)
                result = stocked("run", "--rm", *options, image, *sh("ls /v /v/dir/ /v/link/; true"))
                assert "secret" not in result.stdout
                ended[result.code] = ended.get(result.code, 0) + 1
        assert count[0] > TRIES
        for name in ("dir", "link"):
            if (data / name).is_symlink():
                (data / name).unlink()
            else:
                os.rename(data / name, data / "kept")
        os.rename(data / "kept", data / "dir")
    assert set(ended) <= {0, 125}, ended
    assert ended[0] > TRIES // 10
    assert sorted(os.walk(canary)) == before
    assert not any(str(canary) in line for line in Path("/proc/self/mountinfo").read_text().splitlines())
    stocked("volume", "rm", "race", "inner").ok()


# --- a FUSE server that stops answering -------------------------------------------------------------------------------

FUSE_GETATTR, FUSE_STATFS, FUSE_INIT, FUSE_OPENDIR, FUSE_FORGET = 3, 17, 26, 27, 2


def serve(device: int) -> None:
    """A filesystem of one empty directory, as fuse(4) speaks."""
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, node = struct.unpack_from("IIQQ", request)
        body = b""
        if opcode == FUSE_INIT:
            body = struct.pack("IIIIHHIIHH8I", 7, 31, 0, 0, 12, 10, 4096, 1, 32, 0, *[0] * 8)
        elif opcode == FUSE_GETATTR:
            attributes = struct.pack("QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
            body = struct.pack("QII", 0, 0, 0) + attributes
        elif opcode == FUSE_STATFS:
            body = bytes(80)
        elif opcode == FUSE_OPENDIR:
            body = bytes(16)
        elif opcode == FUSE_FORGET:
            continue
        error = 0 if body else -errno.ENOSYS
        os.write(device, struct.pack("IiQ", 16 + len(body), error, unique) + body)


@contextlib.contextmanager
def fuse(where: Path) -> Iterator[int]:
    """A mount whose server is a process of ours; yields its pid."""
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"needs /dev/fuse: {error.strerror}")
    data = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    assert LIBC.mount(b"pyc-test", bytes(where), b"fuse", 0, data) == 0, os.strerror(ctypes.get_errno())
    server = os.fork()
    if server == 0:
        try:
            serve(device)
        finally:
            os._exit(0)
    os.close(device)
    try:
        yield server
    finally:
        os.kill(server, signal.SIGKILL)  # the last descriptor: the kernel ends whatever waits
        os.waitpid(server, 0)
        LIBC.umount2(bytes(where), 2)


def test_lists_do_not_wait_for_a_disk_that_does_not_answer(stocked: Pyc, image: str, tmp_path: Path) -> None:
    where = tmp_path / "fuse"
    where.mkdir()
    with fuse(where) as server:
        options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={where}")
        stocked("volume", "create", *options, "dead").ok()
        run = ("run", "-d", "--name", "stuck", "-v", "dead:/d", "-v", f"{where}:/e", image, *sh("echo up; sleep 60"))
        stocked(*run).ok()
        os.kill(server, signal.SIGSTOP)
        for command in (
            ("ps", "-a"), ("inspect", "stuck"), ("logs", "stuck"), ("volume", "ls"), ("volume", "inspect", "dead"),
            ("volume", "prune", "-f"), ("ps", "--filter", "volume=dead"), ("volume", "ls", "--format", "{{.Links}}"),
        ):  # fmt: skip
            began = time.monotonic()
            result = stocked(*command, timeout=10)
            assert result.code == 0, result.stderr
            assert time.monotonic() - began < 3 * PATIENCE, command
        assert stocked("volume", "rm", "dead", timeout=10).code == 1
        stocked("rm", "-f", "stuck", timeout=20).ok()
        stocked("volume", "rm", "dead", timeout=10).ok()


# --- killed ---------------------------------------------------------------------------------------------------------


def test_volumes_of_a_container_that_was_never_recorded_go_with_the_next_command(stocked: Pyc, image: str) -> None:
    container = os.urandom(32).hex()
    os.makedirs(f"{stocked.root}/volumes/{container[:56]}00000000/_data/deep")
    os.makedirs(f"{stocked.root}/containers/{container}")
    os.makedirs(f"{stocked.runroot}/containers/{container}")
    Path(f"{stocked.runroot}/containers/{container}/lock").touch()
    stocked("run", "--rm", image, "true").ok()
    assert not os.path.exists(f"{stocked.root}/volumes/{container[:56]}00000000")


def test_what_a_kill_left_of_a_volume_is_no_volume_and_is_pruned_or_finished(stocked: Pyc, image: str) -> None:
    for name in ("left", "over"):
        os.makedirs(f"{stocked.root}/volumes/{name}")
    assert stocked("volume", "ls", "-q").ok().stdout == ""
    stocked("run", "--rm", "-v", "left:/d", image, "touch", "/d/x").ok()
    stocked("volume", "prune", "-f").ok()
    assert os.listdir(f"{stocked.root}/volumes") == ["left"]
    stocked("volume", "rm", "left").ok()


def test_a_start_that_fails_leaves_no_volume_without_a_name(stocked: Pyc, image: str) -> None:
    assert stocked("run", "-v", "/d", image, "/nothing").code == 127
    assert stocked("run", "-v", "/d", "--mount", "type=bind,src=/does/not/exist,dst=/e", image, "true").code == 125
    assert stocked("volume", "ls", "-q").ok().stdout == ""


def test_many_containers_fill_one_volume_once_and_see_it_full(stocked: Pyc, image: str) -> None:
    script = "mkdir -p /many && cd /many && for n in $(seq 300); do echo $n > $n; done"
    stocked("run", "--name", "many", image, *sh(script)).ok()
    stocked("commit", "many", "many").ok()
    started = [
        stocked.start("run", "--rm", "-v", "shared:/many", "-v", "other:/o", "many", *sh("cat /many/* | wc -l"))
        for _ in range(6)
    ]
    seen = [process.communicate(timeout=60)[0] for process in started]
    assert seen == [b"300\n"] * 6
    stocked("rm", "many").ok()
    stocked("volume", "rm", "shared", "other").ok()


def test_a_volume_that_is_removed_while_containers_start_is_there_or_made_anew(stocked: Pyc, image: str) -> None:
    for _ in range(5):
        started = [stocked.start("run", "--rm", "-v", "churn:/d", image, "touch", "/d/x") for _ in range(3)]
        removing = [stocked.start("volume", "rm", "-f", "churn") for _ in range(2)]
        assert [process.wait(60) for process in started] == [0] * 3
        assert {process.wait(60) for process in removing} <= {0, 1}
        for process in [*started, *removing]:
            process.communicate()
    stocked("volume", "rm", "-f", "churn").ok()


def test_a_volume_that_nests_deeper_than_python_goes_does_not_stop_a_prune(stocked: Pyc, image: str) -> None:
    nest = "cd /d && echo sized > file && for n in $(seq 3000); do mkdir d && cd d || exit 1; done"
    shown = stocked("run", "-v", "deep:/d", "--name", "nests", image, *sh(nest))
    assert shown.code == 1 and "too long" in shown.stderr  # as deep as a shell gets
    stocked("rm", "nests").ok()
    pruned = stocked("volume", "prune", "-af").ok().lines
    assert "deep" in pruned and "6B" in pruned[-1]
    assert stocked("volume", "ls", "-q").ok().stdout == ""
