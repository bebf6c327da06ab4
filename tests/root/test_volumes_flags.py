"""What is left of the flags about files: sources that are made, devices, disks of other hosts, names that are none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pyc, sh
from tests.support.host import missing_command

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _no_volume_stays(stocked: Pyc) -> Iterator[None]:
    yield
    if os.path.isdir(stocked.root + "/containers") and (left := os.listdir(stocked.root + "/containers")):
        stocked("rm", "-f", *left)
    stocked("volume", "prune", "-a", "-f").ok()


def test_v_makes_a_source_that_is_missing_and_mount_does_not(stocked: Pyc, image: str, tmp_path: Path) -> None:
    made = tmp_path / "a" / "b"
    result = stocked("run", "--rm", "-v", f"{made}:/d", image, *sh("stat -c %u:%g:%a /d; echo x > /d/file")).ok()
    assert (result.stdout, (made / "file").read_text()) == ("0:0:755\n", "x\n")
    assert f"made the directory {made}" in result.stderr
    missing = f"type=bind,source={tmp_path}/c,target=/d"
    refused = stocked("run", "--rm", "--mount", missing, image, "true")
    assert (refused.code, (tmp_path / "c").exists()) == (125, False)
    assert f"bind source path does not exist: {tmp_path}/c" in refused.stderr
    stocked("run", "--rm", "--mount", missing + ",bind-create-src", image, "true").ok()
    assert (tmp_path / "c").is_dir()


def test_a_source_that_was_deleted_is_made_again_when_the_container_starts_again(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    stocked("run", "--name", "again", "-v", f"{source}:/d", image, *sh("echo x >> /d/file")).ok()
    (source / "file").unlink()
    source.rmdir()
    stocked("start", "-a", "again").ok()
    assert (source / "file").read_text() == "x\n"


def test_a_source_that_can_not_be_made_is_a_clean_error_and_leaves_no_container(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    for source in (tmp_path / "dangling", tmp_path / "file" / "below"):
        refused = stocked("run", "--name", "never", "-v", f"{source}:/d", image, "true")
        assert (refused.code, len(refused.stderr.splitlines())) == (125, 1), refused.stderr
        assert f"can't make the bind source {source}" in refused.stderr
    assert "never" not in stocked("ps", "-a").ok().stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A block device with an empty ext4."""
    if reason := missing_command("losetup", "mkfs.ext4"):
        pytest.skip(reason)
    image = tmp_path / "disk.img"
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"needs a loop device: {made.stderr.strip()}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


def test_a_volume_can_be_a_block_device(stocked: Pyc, image: str, disk: str) -> None:
    stocked("volume", "create", "-o", "type=ext4", "-o", f"device={disk}", "-o", "o=noatime", "disk").ok()
    stocked("run", "--rm", "-v", "disk:/d", image, *sh("ls -d /d/lost+found; echo kept > /d/file")).ok()
    look = "cat /d/file; grep ' /d ' /proc/self/mountinfo; echo x > /d/file"
    shown = stocked("run", "--rm", "-v", "disk:/d:ro", image, *sh(look))
    kept, line = shown.lines
    assert kept == "kept" and f" - ext4 {disk} " in line and "noatime" in line.split()[5]
    assert "ead-only" in shown.stderr
    assert os.listdir(f"{stocked.root}/volumes/disk/_data") == []


def test_a_filesystem_that_the_kernel_lacks_is_said_so(stocked: Pyc, image: str) -> None:
    if "nfs" in Path("/proc/filesystems").read_text():
        pytest.skip("needs a kernel without nfs")
    stocked("volume", "create", "-o", "type=nfs", "-o", "device=:/share", "-o", "o=addr=localhost,ro", "share").ok()
    refused = stocked("run", "--rm", "-v", "share:/d", image, "true")
    assert refused.code == 125
    if "nfs" not in Path("/proc/filesystems").read_text():  # else it was a module, and has come for this
        assert "no filesystem 'nfs'" in refused.stderr
    unknown = ("type=nfs", "device=:/share", "o=addr=no.such.host.invalid")
    stocked("volume", "create", *(word for text in unknown for word in ("-o", text)), "lost").ok()
    refused = stocked("run", "--rm", "-v", "lost:/d", image, "true")
    assert refused.code == 125 and "no host is called 'no.such.host.invalid'" in refused.stderr


@pytest.mark.parametrize("name", ["../up", "a/b", ".", "..", ".hidden", "-x", "a\nb", "ä", "a" * 256])
def test_what_is_no_name_makes_no_volume(stocked: Pyc, image: str, name: str) -> None:
    for argv in (
        ("volume", "create", "--", name),
        ("volume", "create", f"--name={name}"),
        ("run", "--rm", "--mount", f"source={name},target=/d", image, "true"),
    ):
        assert stocked(*argv).code in (1, 125), argv
    for verb in ("inspect", "rm"):
        refused = stocked("volume", verb, "--", name)
        assert refused.code == 1 and "no such volume" in refused.stderr
    assert stocked("volume", "ls", "-q").ok().stdout == ""


def test_the_driver_is_local(stocked: Pyc, image: str) -> None:
    for driver, code in (("local", 0), ("flocker", 125)):
        option = f"source=driven,target=/d,volume-driver={driver}"
        assert stocked("run", "--rm", "--volume-driver", driver, "-v", "driven:/d", image, "true").code == code
        assert stocked("run", "--rm", "--mount", option, image, "true").code == code
        assert stocked("volume", "create", "-d", driver, "made").code == (0 if code == 0 else 1)


@pytest.mark.parametrize(
    ("option", "kept", "gone"),
    [
        ("-v={}:/d:noexec,noatime", "noexec noatime nosuid nodev", ""),
        ("-v={}:/d:suid,dev", "", "nosuid nodev"),
        ("-v={}:/d:nosymfollow", "nosymfollow", ""),
        ("--mount=type=bind,source={},target=/d,bind-propagation=rprivate", "nosuid nodev", "noexec"),
    ],
)
def test_flags_of_a_bind_are_those_of_its_mount(
    stocked: Pyc, image: str, tmp_path: Path, option: str, kept: str, gone: str
) -> None:
    shown = stocked("run", "--rm", option.format(tmp_path), image, "grep", " /d ", "/proc/self/mountinfo").ok()
    flags = set(shown.stdout.split()[5].split(","))
    assert flags >= set(kept.split()) and not flags & set(gone.split()), flags


@pytest.mark.parametrize(
    ("option", "seen"),
    [
        ("--mount=type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700", "1024 700"),
        ("--mount=type=tmpfs,destination=/t,tmpfs-size=2097152", "2048 1777"),
        ("--tmpfs=/t:size=512k,mode=1750", "512 1750"),
    ],
)
def test_a_tmpfs_is_as_large_and_open_as_asked(stocked: Pyc, image: str, option: str, seen: str) -> None:
    look = "echo $(df -k /t | awk 'NR==2{print $2}') $(stat -c %a /t); dd if=/dev/zero of=/t/x bs=1k count=4096 2>&1"
    shown = stocked("run", "--rm", option, image, *sh(look))
    assert shown.lines[0] == seen
    assert "No space left" in shown.stdout
