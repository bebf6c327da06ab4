"""What is in a volume when a container starts: an image's files, another container's, or a part of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pyc, sh

pytestmark = pytest.mark.root

MAKE = """
mkdir -p /data/deep/er /etc/own && cd /data
echo one > file && chown 7:8 file && chmod 4751 file && touch -d '2001-02-03 04:05:06' file
ln -s /etc/passwd link && ln file hard && ln -s file deep/up && echo two > deep/er/file
mkfifo -m 640 pipe && chown -h 3:4 link && mkdir -m 1777 sticky && chown 5:6 /data && chmod 2750 /data
ln -s /data /behind
touch -d '2001-02-03 04:05:06' deep/er deep sticky /data
"""


@pytest.fixture(scope="module")
def _made() -> dict[str, bool]:
    return {}


@pytest.fixture
def filled(stocked: Pyc, image: str, _made: dict[str, bool]) -> Iterator[str]:
    """An image with files, and volumes declared in every way that an image may think of."""
    if not _made:
        stocked("run", "--name", "maker", image, *sh(MAKE)).ok()
        changes = ["VOLUME /data", 'VOLUME ["/../../etc/own", "/behind/deep"]', "VOLUME /nowhere/yet"]
        stocked("commit", *(word for change in changes for word in ("-c", change)), "maker", "filled").ok()
        stocked("commit", "maker", "plain").ok()
        stocked("rm", "maker").ok()
        _made["yes"] = True
    yield "filled"
    if left := os.listdir(stocked.root + "/containers"):
        stocked("rm", "-f", *left)
    stocked("volume", "prune", "-a", "-f").ok()


LOOK = "cd /data && stat -c '%n %F %a %u:%g %h %Y' . * deep/* deep/er/* | sort; readlink link; cat file deep/er/file"


def test_an_empty_volume_gets_what_the_image_has_there(stocked: Pyc, filled: str) -> None:
    wanted = stocked("run", "--rm", "plain", *sh(LOOK)).ok().stdout
    assert "file regular file 4751 7:8 2 981173106" in wanted
    for option in ("-v=fresh:/data", "--mount=type=volume,target=/data", "-v=fresh:/data"):
        assert stocked("run", "--rm", option, "plain", *sh(LOOK)).ok().stdout == wanted, option


def test_extended_attributes_and_capabilities_come_along(stocked: Pyc, filled: str) -> None:
    upper = stocked("run", "--name", "marker", "plain", "true").ok() and f"{stocked.root}/containers"
    (one,) = os.listdir(upper)
    path = f"{upper}/{one}/upper/marked"
    os.makedirs(path)
    Path(path + "/file").write_text("x")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(path + "/file", "security.capability", capability)
    os.setxattr(path + "/file", "user.one", b"1")
    os.setxattr(path, "user.two", b"2")
    stocked("commit", "marker", "marked").ok()
    stocked("run", "--rm", "-v", "marks:/marked", "marked", "true").ok()
    copied = f"{stocked.root}/volumes/marks/_data"
    assert os.getxattr(copied + "/file", "security.capability") == capability
    assert os.getxattr(copied + "/file", "user.one") == b"1"
    assert os.getxattr(copied, "user.two") == b"2"


def test_nothing_is_copied_into_a_volume_that_has_something_or_that_must_not(stocked: Pyc, filled: str) -> None:
    stocked("run", "--rm", "-v", "kept:/d", "plain", "touch", "/d/mine").ok()
    assert stocked("run", "--rm", "-v", "kept:/data", "plain", "ls", "/data").ok().stdout == "mine\n"
    for option in ("-v=bare:/data:nocopy", "--mount=source=bare,target=/data,volume-nocopy"):
        assert stocked("run", "--rm", option, "plain", "ls", "/data").ok().stdout == ""
    assert stocked("run", "--rm", "-v", "bare:/data", "plain", "cat", "/data/file").ok().stdout == "one\n"


def test_what_an_image_declares_becomes_volumes_in_its_own_root(stocked: Pyc, filled: str) -> None:
    stocked("run", "--name", "one", filled, *sh("touch /data/new /etc/own/new /nowhere/yet/new")).ok()
    (document,) = json.loads(stocked("inspect", "one").ok().stdout)
    mounts = {mount["Destination"]: mount for mount in document["Mounts"]}
    assert set(mounts) == {"/data", "/etc/own", "/behind/deep", "/nowhere/yet"}
    assert {mount["Type"] for mount in mounts.values()} == {"volume"}
    assert os.listdir(mounts["/etc/own"]["Source"]) == ["new"]
    assert sorted(os.listdir(mounts["/behind/deep"]["Source"])) == ["er", "up"]
    assert len(stocked("volume", "ls", "-q").ok().lines) == 4
    stocked("rm", "-v", "one").ok()
    assert stocked("volume", "ls", "-q").ok().lines == []


def test_a_declared_volume_that_would_be_the_hosts_etc_holds_the_images(stocked: Pyc, filled: str) -> None:
    """CVE-2022-23648: the path was joined to the image's root without being cleaned."""
    stocked("run", "--name", "climber", "plain", *sh("echo image > /etc/shadow")).ok()
    stocked("commit", "-c", 'VOLUME ["/../../../../../../etc"]', "climber", "climber").ok()
    stocked("run", "--name", "climbs", "climber", "true").ok()
    (document,) = json.loads(stocked("inspect", "climbs").ok().stdout)
    (mount,) = document["Mounts"]
    assert mount["Destination"] == "/etc"
    assert Path(mount["Source"], "shadow").read_text() == "image\n"
    assert not os.path.exists(mount["Source"] + "/machine-id")


def test_a_declared_volume_behind_a_link_out_of_the_image_stays_in_it(
    stocked: Pyc, filled: str, tmp_path: Path
) -> None:
    """CVE-2019-18837, CVE-2020-10696, CVE-2023-0778: the link was followed on the host."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("host")
    script = f"ln -s ../../../../../../../..{secret} /up; ln -s {secret} /abs; ln -s /proc/1/root{secret} /magic"
    stocked("run", "--name", "linker", "plain", *sh(script)).ok()
    stocked("commit", "linker", "linked").ok()
    for link in ("up", "abs", "magic"):
        stocked("run", "--rm", "-v", f"caught{link}:/{link}", "linked", "true")
        for _, _, names in os.walk(f"{stocked.root}/volumes/caught{link}"):
            assert "key" not in names
    assert os.listdir(secret) == ["key"]


def test_a_copy_that_was_interrupted_is_made_again(stocked: Pyc, filled: str) -> None:
    stocked("volume", "create", "half").ok()
    where = f"{stocked.root}/volumes/half"
    os.mkdir(where + "/_data/deep", 0o700)
    Path(where + "/_data/file").write_text("o")
    os.symlink("/etc", where + "/_data/sticky")
    Path(where + "/copying").write_text("")
    wanted = stocked("run", "--rm", "plain", *sh(LOOK)).ok().stdout
    assert stocked("run", "--rm", "-v", "half:/data", "plain", *sh(LOOK)).ok().stdout == wanted
    assert not os.path.exists(where + "/copying")


def test_mounts_are_taken_over_from_another_container(stocked: Pyc, filled: str, tmp_path: Path) -> None:
    bound = tmp_path / "bound"
    bound.mkdir()
    options = ("-v", "named:/n", "-v", f"{bound}:/b:ro", "-v", "/anonymous", "--tmpfs", "/t")
    stocked("run", "--name", "first", *options, "plain", *sh("echo 1 > /n/f; echo 2 > /anonymous/f")).ok()
    look = "cat /n/f /anonymous/f; touch /b/x || echo ro; grep -c ' /t ' /proc/self/mountinfo"
    seen = stocked("run", "--rm", "--volumes-from", "first", "plain", *sh(look))
    assert seen.stdout.split() == ["1", "2", "ro", "0"]
    tried = stocked("run", "--rm", "--volumes-from", "first:ro", "plain", *sh("touch /n/x; touch /anonymous/x"))
    assert tried.stderr.count("ead-only") == 2
    own = stocked("run", "--rm", "--volumes-from", "first", "-v", "other:/n", "plain", *sh("ls /n")).ok()
    assert own.stdout == ""
    stocked("run", "--name", "heir", "--volumes-from", "first", "plain", "true").ok()
    stocked("rm", "-v", "first").ok()  # its volume without a name is the heir's too
    assert stocked("run", "--rm", "--volumes-from", "heir", "plain", "cat", "/anonymous/f").ok().stdout == "2\n"
    assert stocked("run", "--rm", "--volumes-from", "nobody", "plain", "true").code == 125


def test_a_part_of_a_volume_is_mounted_and_what_leads_out_is_refused(stocked: Pyc, filled: str) -> None:
    stocked("run", "--rm", "-v", "parts:/data", "plain", *sh("ln -s / /data/out; ln -s deep /data/in")).ok()

    def part(path: str) -> tuple[int, str]:
        mount = f"source=parts,target=/m,volume-subpath={path}"
        result = stocked("run", "--rm", "--mount", mount, "plain", *sh("cat /m/er/file || cat /m"))
        return result.code, result.stdout + result.stderr

    assert part("deep") == (0, "two\n")
    assert part("in") == (0, "two\n")
    assert part("deep/er/file")[1].startswith("two\n")
    assert part("out")[0] == part("out/etc")[0] == part("link")[0] == part("nothing")[0] == 125
    assert "leads out of volume parts" in part("out/etc")[1]


def test_an_image_is_mounted_read_only_and_kept_while_it_is(stocked: Pyc, filled: str, image: str) -> None:
    look = "cat /i/data/file; touch /i/x || echo ro; ls /i/sys | wc -l"
    for options in ((), ("--privileged",)):
        seen = stocked("run", "--rm", *options, "--mount", "type=image,source=plain,target=/i", image, *sh(look))
        assert seen.ok().stdout.split() == ["one", "ro", "0"]
    sub = "type=image,source=plain,target=/i,image-subpath=data/deep"
    assert stocked("run", "--rm", "--mount", sub, image, *sh("cat /i/er/file; ls /i")).ok().stdout == "two\ner\nup\n"
    single = stocked("run", "--rm", "--mount", f"type=image,source={image},target=/i", "plain", "ls", "/i/bin/sh").ok()
    assert single.stdout == "/i/bin/sh\n"
    assert stocked("run", "--rm", "--mount", "type=image,source=nothing,target=/i", image, "true").code == 125
    stocked("tag", "plain", "lent").ok()
    stocked("run", "--name", "borrower", "--mount", "type=image,source=lent,target=/i", image, "true").ok()
    stocked("rmi", "lent").ok()
    refused = stocked("rmi", "plain")
    assert refused.code != 0
    assert "borrower" in refused.stderr


def test_options_of_the_local_driver_make_a_tmpfs_or_a_bind(stocked: Pyc, filled: str, tmp_path: Path) -> None:
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=42,mode=750")
    stocked("volume", "create", *options, "mem").ok()
    look = "df -k /m | awk 'NR==2{print $2}'; stat -c '%u %a' /m"
    assert stocked("run", "--rm", "-v", "mem:/m", "plain", *sh(look)).ok().stdout == "1024\n42 750\n"
    bound = tmp_path / "bound"
    bound.mkdir()
    (bound / "file").write_text("host\n")
    stocked("volume", "create", "-o", "type=none", "-o", f"device={bound}", "-o", "o=bind", "dir").ok()
    assert stocked("run", "--rm", "-v", "dir:/d", "plain", "cat", "/d/file").ok().stdout == "host\n"
    stocked("volume", "rm", "dir").ok()
    assert (bound / "file").exists()
    here = f"type=volume,source=mount,target=/d,volume-opt=type=none,volume-opt=o=bind,volume-opt=device={bound}"
    here += ",volume-label=a=b"
    assert stocked("run", "--rm", "--mount", here, "plain", "cat", "/d/file").ok().stdout == "host\n"
    assert stocked("volume", "inspect", "-f", "{{.Labels.a}} {{.Options.o}}", "mount").ok().stdout == "b bind\n"
    for wrong, message in ((["-o", "type=nfs"], "is missing"), (["-o", "o=bind"], "is missing"), (["-d", "x"], "x")):
        refused = stocked("volume", "create", *wrong, "wrong")
        assert refused.code != 0
        assert message in refused.stderr
    assert stocked("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem").code == 1  # other options


def test_mode_and_owner_of_the_copied_root_are_the_images(stocked: Pyc, filled: str) -> None:
    stocked("run", "--rm", "-v", "root:/data", "plain", "true").ok()
    found = os.stat(f"{stocked.root}/volumes/root/_data")
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o2750, 5, 6)


def test_a_part_of_a_volume_is_what_cp_reaches_in_a_stopped_container(stocked: Pyc, filled: str) -> None:
    stocked("run", "--rm", "-v", "parts:/data", "plain", "true").ok()
    mount = "source=parts,target=/m,volume-subpath=deep"
    stocked("run", "--name", "stopped", "--mount", mount, "plain", "true").ok()
    copied = f"{stocked.scratch}/copied"
    stocked("cp", "stopped:/m/er/file", copied).ok()
    assert Path(copied).read_text() == "two\n"


def test_a_volume_behind_a_link_to_proc_does_not_hide_the_kernels(stocked: Pyc, filled: str) -> None:
    stocked("run", "--name", "hider", "plain", *sh("ln -s /proc /p; ln -s /sys /s")).ok()
    stocked("commit", "-c", 'VOLUME ["/p", "/sys/fs/cgroup", "/proc/sys"]', "hider", "hider").ok()
    look = (
        "awk '$5==\"/proc\"{type=$(NF-2)} END{print type}' /proc/self/mountinfo; wc -c < /proc/keys; ls -d /sys/kernel"
    )
    seen = stocked("run", "--rm", "-v", "sys:/s", "hider", *sh(look)).ok()
    assert seen.stdout.split() == ["proc", "0", "/sys/kernel"]


def test_a_kernel_that_takes_no_layers_one_by_one_takes_twenty_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pycontainer.errors import HostLacks
    from pycontainer.rootfs import detached

    real = detached.fsconfig

    def old(fs: int, command: int, key: str = "", value: str = "") -> None:
        if key == "lowerdir+":
            raise OSError(22, "Invalid argument")
        assert len(value) < 256
        real(fs, command, key, value)

    monkeypatch.setattr(detached, "fsconfig", old)
    lowers = []
    for number in range(40):
        lowers.append(str(tmp_path / f"{number:03}"))
        os.mkdir(lowers[-1])
        Path(lowers[-1], f"f{number}").touch()
        Path(lowers[-1], "top").write_text(str(number))
    for count in (2, 11, 20):
        with detached.overlay(lowers[:count]) as root:
            here = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
            try:
                assert set(os.listdir(here)) == {"top", *(f"f{number}" for number in range(count))}
                file = os.open("top", os.O_RDONLY, dir_fd=here)
                assert os.read(file, 9) == b"0"
                os.close(file)
            finally:
                os.close(here)
    with pytest.raises(HostLacks, match="40 layers"), detached.overlay(lowers):
        pass
