"""A user namespace for each container: root in it is nobody outside, and nothing on disk shows it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

import pycontainer
from pycontainer.engine import users
from pycontainer.engine.options import Roots
from pycontainer.oci.build import USERS
from tests.support.cli import Pyc, pyc_command, sh
from tests.support.host import missing_command

pytestmark = pytest.mark.root
MAP = "/proc/self/uid_map"

PROBE = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  printf("euid %d egid %d\n", geteuid(), getegid());
  while (fgets(line, sizeof line, status))
    if (!strncmp(line, "CapEff", 6))
      fputs(line, stdout);
  return 0;
}
"""


@pytest.fixture
def box(stocked: Pyc, image: str) -> Iterator[str]:
    stocked("run", "-d", "--name", "box", image, "sleep", "1000").ok()
    yield "box"
    stocked("rm", "-f", "box")


def host_pid(stocked: Pyc, name: str) -> str:
    return stocked("inspect", "-f", "{{.State.Pid}}", name).ok().stdout.strip()


def first_id(stocked: Pyc, name: str) -> int:
    inside, outside, size = map(int, Path(f"/proc/{host_pid(stocked, name)}/uid_map").read_text().split())
    assert (inside, size) == (0, USERS)
    return outside


# --- ranges -----------------------------------------------------------------------------------------------------------


def test_containers_that_run_at_once_have_ids_of_their_own_and_give_them_back(stocked: Pyc, image: str) -> None:
    names = [f"many{number}" for number in range(6)]
    started = [stocked.start("run", "-d", "--name", name, image, "sleep", "1000") for name in names]
    assert [process.wait(60) for process in started] == [0] * len(names)
    ranges = [first_id(stocked, name) for name in names]
    assert len(set(ranges)) == len(names)
    assert all(users.FIRST <= first < 2**31 and first % USERS == 0 for first in ranges)
    for process in started:
        process.communicate()
    stocked("rm", "-f", *names).ok()
    stocked("run", "--rm", image, "true").ok()
    assert [name for name in os.listdir(f"{stocked.runroot}/users") if name.isdigit()] == []


@pytest.fixture
def no_maps(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, int]]:
    kept: dict[int, int] = {}
    monkeypatch.setattr(users, "_idle", kept)
    yield kept
    for namespace in kept.values():
        os.close(namespace)


def test_a_range_whose_owner_was_killed_is_taken_again(tmp_path: Path, no_maps: dict[int, int]) -> None:
    roots = Roots(str(tmp_path / "root"), str(tmp_path / "run"))
    one, other = "5" * 64, "5" * 63 + "6"  # both want the same range first
    os.makedirs(roots.live(one))
    os.makedirs(roots.live(other))
    first = users._claim(roots, one)
    assert users._claim(roots, other) == first + 1
    os.unlink(roots.live(other) + "/users")
    os.unlink(roots.live(one) + "/users")
    os.rmdir(roots.live(one))  # killed, and its remains were cleared away without giving it back
    os.unlink(f"{roots.runroot}/users/{first + 1}")
    assert users._claim(roots, other) == first
    users.give_back(roots, other)
    assert os.listdir(f"{roots.runroot}/users") == []


# --- maps that serve again --------------------------------------------------------------------------------------------


def test_a_program_s_next_container_has_the_map_of_its_last(stocked: Pyc, image: str, no_maps: dict[int, int]) -> None:
    roots = Roots(stocked.root, stocked.runroot)
    look = sh("cat /proc/self/uid_map; echo x > /mine; stat -c %u:%g /mine /etc/hostname /bin")
    texts = [pycontainer.run(image, look, network="none", roots=roots).text for _ in range(3)]
    assert len(set(texts)) == 1
    (line, *owners) = texts[0].splitlines()
    assert owners == ["0:0"] * 3
    inside, first, size = map(int, line.split())
    assert (inside, size, list(no_maps)) == (0, USERS, [(first - users.FIRST) // USERS])
    assert [name for name in os.listdir(f"{stocked.runroot}/users") if name.isdigit()] == []


def test_containers_of_a_program_that_run_at_once_have_maps_of_their_own(
    stocked: Pyc, image: str, no_maps: dict[int, int]
) -> None:
    roots = Roots(stocked.root, stocked.runroot)

    def run(_: int) -> str:
        return pycontainer.run(image, sh("cat /proc/self/uid_map; sleep 0.5"), network="none", roots=roots).text

    with ThreadPoolExecutor(3) as pool:
        for _ in range(2):  # the second time with maps that are there
            assert len(set(pool.map(run, range(3)))) == 3
    assert len(no_maps) == 3


def test_no_map_is_learnt_from_another_process(no_maps: dict[int, int]) -> None:
    found = users.Map(users.FIRST)
    found.learn(os.getpid())
    found.keep()
    assert (found.given, no_maps) == ({}, {})


# --- who is who -------------------------------------------------------------------------------------------------------


def test_what_root_of_a_container_writes_is_root_s_everywhere(stocked: Pyc, image: str, box: str) -> None:
    stocked("exec", box, *sh("echo x > /mine; echo y > /theirs; chown 1000:50 /theirs; mkdir /d; ln -s x /link")).ok()
    identity = stocked("inspect", "-f", "{{.Id}}", box).stdout.strip()
    upper = Path(stocked.root, "containers", identity, "upper")
    owners = {name: os.lstat(upper / name) for name in ("mine", "theirs", "d", "link")}
    assert {name: (found.st_uid, found.st_gid) for name, found in owners.items()} == {
        "mine": (0, 0), "theirs": (1000, 50), "d": (0, 0), "link": (0, 0),
    }  # fmt: skip
    assert {"A /mine", "A /theirs", "A /d", "A /link"} <= set(stocked("diff", box).ok().lines)
    copied = subprocess.run(stocked.argv("cp", f"{box}:/theirs", "-"), env=stocked.env(), capture_output=True)
    exported = subprocess.run(stocked.argv("export", box), env=stocked.env(), capture_output=True)
    for archive, name in ((copied, "theirs"), (exported, "theirs")):
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            entry = tar.getmember(name)
            assert (entry.uid, entry.gid) == (1000, 50)
    stocked("commit", box, "committed").ok()
    shown = stocked("run", "--rm", "--userns", "host", "committed", "stat", "-c", "%u:%g", "/theirs", "/mine").ok()
    assert shown.lines == ["1000:50", "0:0"]
    stocked("rmi", "-f", "committed").ok()


def test_volumes_and_binds_keep_the_host_s_owners(stocked: Pyc, image: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    os.chown(tmp_path / "theirs", 1234, 4321)
    os.chmod(tmp_path, 0o777)
    script = "stat -c %u:%g /b/theirs; echo > /b/roots; chown 77:78 /v; echo > /v/mine; stat -c %u:%g /v"
    done = stocked("run", "--rm", "-v", f"{tmp_path}:/b", "-v", "kept:/v", image, *sh(script)).ok()
    assert done.lines == ["1234:4321", "77:78"]
    assert os.stat(tmp_path / "roots").st_uid == 0
    volume = Path(stocked.root, "volumes/kept/_data")
    assert (os.stat(volume).st_uid, os.stat(volume / "mine").st_uid) == (77, 0)
    stocked("volume", "rm", "kept").ok()


def test_root_may_write_the_files_that_we_make(stocked: Pyc, image: str, box: str) -> None:
    files = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    script = "for file; do echo mine >> $file && tail -n 1 $file; done; stat -c %u:%g $@"
    for again in (False, True):  # and after the container's next start, of another range perhaps
        if again:
            stocked("restart", "-t", "0", box).ok()
        assert stocked("exec", box, *sh(script), "sh", *files).ok().lines == ["mine"] * 3 + ["0:0"] * 3


def test_a_user_that_the_container_has_no_id_for_is_one_line(stocked: Pyc, box: str) -> None:
    assert stocked("exec", "-u", "65535", box, "id", "-u").ok().stdout == "65535\n"
    for user in ("65536", "1:70000"):
        done = stocked("exec", "-u", user, box, "id")
        assert done.code == 126 and "user namespace ends before" in done.stderr and done.stderr.count("\n") <= 2


@pytest.fixture(scope="module")
def powers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """An archive: a program that tells who it is, once setuid, once with a file capability."""
    if reason := missing_command("cc", "setcap"):
        pytest.skip(reason)
    where = tmp_path_factory.mktemp("powers")
    (where / "probe.c").write_text(PROBE)
    for name in ("setuid", "capable"):
        subprocess.run(["cc", "-O2", "-static", "-o", where / name, where / "probe.c"], check=True)
    os.chmod(where / "setuid", 0o6755)
    subprocess.run(["setcap", "cap_net_raw+ep", where / "capable"], check=True)
    tar = ["tar", "--xattrs", "--xattrs-include=*", "-C", str(where), "-c", "setuid", "capable"]
    yield subprocess.run(tar, check=True, capture_output=True).stdout


@pytest.mark.parametrize("mode", ["private", "host"])
def test_programs_that_give_powers_give_them(stocked: Pyc, image: str, powers: bytes, mode: str) -> None:
    stocked("create", "--name", "giver", image).ok()
    stocked("cp", "-a", "-", "giver:/bin", stdin=powers).ok()
    stocked("commit", "giver", "powers").ok()
    stocked("rm", "giver").ok()
    options = ("run", "--rm", "-u", "1000:1000", "--userns", mode, "--security-opt")
    lines = stocked(*options, "no-new-privileges=false", "powers", *sh("setuid; capable; cat " + MAP)).ok().lines
    assert lines[0] == "euid 0 egid 0" and lines[2] == "euid 1000 egid 1000"
    assert lines[3] == "CapEff:\t0000000000002000"  # NET_RAW, and in this user namespace only
    assert lines[4].endswith(str(USERS)) == (mode == "private")
    lines = stocked(*options, "no-new-privileges", "powers", *sh("setuid; capable")).ok().lines
    assert lines[0] == lines[2] == "euid 1000 egid 1000"
    stocked("rmi", "-f", "powers").ok()


# --- where it is off --------------------------------------------------------------------------------------------------

OFF = {
    "--userns host": "--userns host",
    "--privileged": "--privileged",
    "--pid host": "--pid host",
    "--ipc host": "--ipc host",
    "--ipc shareable": "--ipc shareable",
    "--network host": "--network host",
    "--device /dev/null:/dev/x": "--device",
    "--cap-add SYS_ADMIN": "--cap-add CAP_SYS_ADMIN",
    "--cap-add ALL": "--cap-add ALL",
    "--cap-add MKNOD": "--cap-add CAP_MKNOD",
    "--user 65536": "an id above 65535, or a filesystem or kernel that can't map ids",
    "--user 1:70000": "an id above 65535, or a filesystem or kernel that can't map ids",
    "--group-add 70000": "an id above 65535, or a filesystem or kernel that can't map ids",
}


@pytest.mark.parametrize("options", OFF)
def test_it_is_off_for_what_means_the_host_and_inspect_says_why(stocked: Pyc, image: str, options: str) -> None:
    done = stocked("run", "--name", "off", *options.split(), image, "cat", MAP)
    assert done.ok().stdout.split() == ["0", "0", str(2**32 - 1)]
    config = json.loads(stocked("inspect", "off").stdout)[0]["HostConfig"]
    assert (config["UsernsMode"], config["UsernsReason"]) == ("host", OFF[options])
    stocked("rm", "off").ok()
    if options != "--userns host":
        refused = stocked("run", "--rm", *options.split(), "--userns", "private", image, "true")
        assert refused.code == 125 and refused.stderr.count("\n") <= 2
        assert "--userns private" in refused.stderr or "needs the host's user namespace" in refused.stderr


def test_a_mount_whose_filesystem_can_not_is_named_once(stocked: Pyc, image: str) -> None:
    command = ("run", "--rm", "-v", "/proc:/x:ro", image, "true")
    assert "the filesystem of /proc, or of something mounted below it, can't map ids" in stocked(*command).ok().stderr
    assert stocked(*command).ok().stderr == ""
    told = [name for name in os.listdir(f"{stocked.runroot}/users") if not name.isdigit()]
    assert told and all(re.fullmatch("told[.][0-9a-f]{8}", name) for name in told)


@pytest.mark.parametrize("options", ["", "--uts host", "--cgroupns host", "--cap-add NET_RAW", "--cap-add NET_ADMIN",
                                     "--cap-add SYS_PTRACE", "--read-only", "--init", "-t", "--tmpfs /x"])  # fmt: skip
def test_it_is_on_for_all_else(stocked: Pyc, image: str, options: str) -> None:
    done = stocked("run", "--name", "on", *options.split(), image, "cat", MAP).ok()
    inside, outside, size = map(int, done.stdout.split())
    assert (inside, size) == (0, USERS) and outside >= users.FIRST
    config = json.loads(stocked("inspect", "on").stdout)[0]["HostConfig"]
    assert config["UsernsMode"] == "private" and config["IDMappings"]["UidMap"] == [f"0:{outside}:{USERS}"]
    stocked("rm", "on").ok()


def test_where_a_filesystem_can_not_map_ids_it_is_off_and_that_is_said_once(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    merged, layers = tmp_path / "merged", f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", merged], check=True)
    try:
        first, second = (stocked("run", "--rm", "-v", f"{merged}:/m", image, *sh(f"cat {MAP}; echo > /m/x"))
                         for _ in range(2))  # fmt: skip
        refused = stocked("run", "--rm", "--userns", "private", "-v", f"{merged}:/m", image, "true")
    finally:
        subprocess.run(["umount", merged], check=True)
    assert first.ok().stdout.split() == second.ok().stdout.split() == ["0", "0", str(2**32 - 1)]
    assert first.stderr.count("\n") == 1 and "no user namespace" in first.stderr
    assert second.stderr == ""
    assert refused.code == 125 and "Traceback" not in refused.stderr
    assert os.stat(tmp_path / "upper/x").st_uid == 0


@pytest.mark.parametrize("where", ["/proc/fs", "/sys/kernel"])
def test_where_the_host_s_proc_is_covered_it_is_off_and_that_is_said(stocked: Pyc, image: str, where: str) -> None:
    """As in a container of another engine's: the kernel lets nobody have a /proc that shows more than the host's."""
    stocked("run", "--rm", image, "true").ok()
    covered = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {where} && exec "$@"', "sh"]
    for options, code in (((), 0), (("--userns", "private"), 125)):
        argv = [*covered, *stocked.argv("run", "--rm", *options, image, "cat", MAP)]
        done = subprocess.run(argv, env=stocked.env(), capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        assert f"{where} is covered on the host" in done.stderr
        assert code or done.stdout.split() == ["0", "0", str(2**32 - 1)]


def test_below_a_directory_that_lets_only_its_owner_pass_it_is_off_and_that_is_said(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    for name in ("root", "run"):
        (tmp_path / "home" / name).mkdir(parents=True)
    mine = Pyc(str(tmp_path / "home/root"), str(tmp_path / "home/run"), str(tmp_path), stocked.environment)
    mine("pull", "-q", image).ok()
    os.chmod(tmp_path / "home", 0o700)
    os.chown(tmp_path / "home", 1234, 1234)
    done = mine("run", "--rm", image, "cat", MAP).ok()
    assert done.stdout.split() == ["0", "0", str(2**32 - 1)]
    assert f"nobody but its owner may pass through {tmp_path}/home" in done.stderr and done.stderr.count("\n") == 1
    refused = mine("run", "--rm", "--userns", "private", image, "true")
    assert refused.code == 125 and "may pass through" in refused.stderr


def test_kernels_that_stack_only_what_is_attached(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """Before Linux 6.15 the layers are mapped in a mount namespace that lasts as long as mounting them takes."""
    program = "import sys, pycontainer.plan.layers as layers; layers.DETACHED_LAYERS = (99, 0)"
    argv = stocked.argv("run", "--rm", image, *sh(f"cat {MAP}; touch /x; stat -c %u /x /bin; grep -c ^ /proc/mounts"))
    head = Path(pyc_command()).read_text().splitlines()[0].removeprefix("#!")
    entry = f"{program}; sys.argv = {argv!r}; from pycontainer.__main__ import main; main()"
    done = subprocess.run([head, "-c", entry], env=stocked.env(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert int(lines[0].split()[1]) >= users.FIRST and lines[1:3] == ["0", "0"]
    assert str(tmp_path.parent) not in Path("/proc/self/mountinfo").read_text()


def test_layers_on_a_mount_of_their_own(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """One mount that maps ids serves for all of a container's root, but only where all of it is on one mount."""
    script = sh(f"cat {MAP}; touch /x; stat -c %u /x /bin")
    moved = f"mv {stocked.root}/layers {tmp_path}/elsewhere && mkdir {stocked.root}/layers"
    bound = f"mount --bind {tmp_path}/elsewhere {stocked.root}/layers"
    back = f"rmdir {stocked.root}/layers; mv {tmp_path}/elsewhere {stocked.root}/layers"
    argv = [*stocked.argv("run", "--rm", image, *script)]
    for around in (
        '"$@"',
        f'{moved} && unshare -m sh -c \'{bound} && exec "$@"\' sh "$@"; code=$?; {back}; exit $code',
    ):
        done = subprocess.run(
            ["sh", "-c", around, "sh", *argv], env=stocked.env(), capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert int(lines[0].split()[1]) >= users.FIRST and lines[1:] == ["0", "0"]


# --- what root of a container can't do --------------------------------------------------------------------------------


def test_nothing_of_the_host_s_can_be_read_signalled_or_changed(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """A process that had broken out of everything else would be nobody: run one as the container's root on the host."""
    stocked("run", "-d", "--name", "other", image, *sh("echo secret > /secret; chmod 600 /secret; sleep 1000")).ok()
    stocked("run", "-d", "--name", "this", image, "sleep", "1000").ok()
    this, other = first_id(stocked, "this"), first_id(stocked, "other")
    victim = subprocess.Popen(["sleep", "100"])
    secret = tmp_path / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    theirs = host_pid(stocked, "other")
    attacks = {
        "a file of root's": f"cat {secret}",
        "the shadow file": "cat /etc/shadow",
        "state of pyc's": f"ls {stocked.root}",
        "a host process": f"kill -9 {victim.pid}",
        "another container's process": f"kill -9 {theirs}",
        "another container's root": f"cat /proc/{theirs}/root/secret",
        "another container's environment": f"cat /proc/{theirs}/environ",
        "another container's descriptors": f"ls /proc/{theirs}/fd/",
        "another container's namespaces": f"nsenter -t {theirs} -m true",
        "a host sysctl": "sh -c 'echo x > /proc/sys/kernel/core_pattern'",
        "a raw disk": "head -c 1 /dev/vda",
    }
    try:
        for what, command in attacks.items():
            argv = ["setpriv", f"--reuid={this}", f"--regid={this}", "--clear-groups", "sh", "-c", command]
            assert subprocess.run(argv, capture_output=True).returncode != 0, what
        assert victim.poll() is None and os.path.exists(f"/proc/{theirs}") and this != other
    finally:
        victim.kill()
        victim.wait()
        stocked("rm", "-f", "this", "other")


def test_with_every_capability_of_its_own_it_changes_nothing_of_the_host_s(stocked: Pyc, image: str) -> None:
    """NET_ADMIN and NET_RAW, without a filter: what they reach is its own network namespace."""
    options = ("--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined")
    script = """
    mount -t tmpfs x /mnt && umount /mnt && echo mounted
    mknod /n b 8 0 && head -c 1 /n && echo disk
    echo 1 > /proc/sys/vm/drop_caches && echo sysctl
    hostname evil && echo renamed
    date -s 2000-01-01 > /dev/null; date +%Y
    dmesg > /dev/null && echo log
    nice -n -20 true && echo nice
    chroot /proc/1/root ls /boot && echo out
    """
    done = stocked("run", "--rm", *options, "--security-opt", "systempaths=unconfined", image, *sh(script))
    assert not {"disk", "sysctl", "2000", "log", "out", "mounted", "renamed"} & set(done.lines), done.stdout


# --- descriptors ------------------------------------------------------------------------------------------------------


def test_every_descriptor_of_the_first_process_and_of_its_monitor_is_accounted_for(
    stocked: Pyc, image: str, box: str
) -> None:
    pid = host_pid(stocked, box)
    links = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert sorted(links) == [0, 1, 2]
    assert links[0] == "/dev/null" and links[1].startswith("pipe:") and links[2].startswith("pipe:")
    with open(f"/proc/{pid}/stat") as file:
        monitor = file.read().rpartition(") ")[2].split()[1]
    ours = (stocked.root, stocked.runroot, "/sys/fs/cgroup/", "anon_inode:[pidfd]", "anon_inode:[signalfd]", "socket:",
            "pipe:", "/dev/null", "user:[", "anon_inode:[eventfd]", "anon_inode:[timerfd]")  # fmt: skip
    held = [os.readlink(f"/proc/{monitor}/fd/{fd}") for fd in os.listdir(f"/proc/{monitor}/fd")]
    mounts = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/"}  # detached, of the container's own
    assert [link for link in held if not link.startswith(ours) and link not in mounts] == []
    assert len(held) < 40


def test_no_socket_of_ours_has_an_abstract_name(stocked: Pyc, image: str, box: str) -> None:
    """CVE-2020-15257: who shares the host's network could connect to it."""
    names = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "@" in line]
    assert not [name for name in names if "pyc" in name or "container" in name]
    shown = stocked("run", "--rm", "--network", "host", image, "cat", "/proc/net/unix").ok().stdout
    assert not [line for line in shown.splitlines() if "@" in line and "pyc" in line]
