"""The history of escapes, as attacks on us: images made to lead the engine astray, and programs that try the doors.

Each test names what it repeats. docs/security.md has the whole list, with the tests of other files; races are tried
PYC_TRIES times (100; 2,000 in `make test-nightly`).
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pyc, Result, sh
from tests.support.host import PATIENCE, missing_command, needs_cgroup
from tests.support.races import exchanging

pytestmark = pytest.mark.root

TRIES = int(os.environ.get("PYC_TRIES", "100"))


class Hostile:
    """Makes images whose root filesystem is BusyBox and what somebody evil puts beside it."""

    def __init__(self, pyc: Pyc) -> None:
        self.pyc = pyc

    def make(self, entries: dict[str, str | bytes | None], *changes: str, base: bool = True) -> str:
        """``entries``: path -> target of a link, a file's bytes, or None for a directory. Gives the image's name."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            if base:
                tar.add(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
                for applet in ("sh", "ls", "cat", "echo", "readlink", "stat", "grep", "true", "mount", "unshare", "wc",
                               "mkdir", "touch", "sleep", "env", "id", "tty", "find", "ps", "umount"):  # fmt: skip
                    tar.addfile(_entry(f"bin/{applet}", tarfile.SYMTYPE, "busybox"))
            for path, content in entries.items():
                if isinstance(content, bytes):
                    entry = _entry(path, tarfile.REGTYPE)
                    entry.size, entry.mode = len(content), 0o755
                    tar.addfile(entry, io.BytesIO(content))
                else:
                    tar.addfile(_entry(path, tarfile.SYMTYPE if content else tarfile.DIRTYPE, content or ""))
        words = [word for change in changes for word in ("--change", change)]
        self.pyc("import", *words, "-", "hostile", stdin=archive.getvalue()).ok()
        return "hostile"

    def run(self, *words: str) -> Result:
        """Run the image's shell, or what ``words`` say."""
        return self.pyc("run", "--rm", *words)


def _entry(path: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname, entry.mode = kind, target, 0o755
    return entry


@pytest.fixture
def hostile(stocked: Pyc) -> Iterator[Hostile]:
    if reason := missing_command("busybox"):
        pytest.skip(reason)
    yield Hostile(stocked)
    stocked("rmi", "-f", "hostile")


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that has to be afterwards what it was before."""
    place = tmp_path / "canary"
    (place / "sub").mkdir(parents=True)
    (place / "secret").write_text("of the host")

    def look() -> list[tuple[str, int, int, bytes]]:
        return [
            (str(path), path.lstat().st_mode, path.lstat().st_uid, path.read_bytes() if path.is_file() else b"")
            for path in sorted(place.rglob("*"))
        ]

    before = look()
    yield place
    assert look() == before
    assert str(place) not in Path("/proc/self/mountinfo").read_text()


def real(path: str) -> tuple[str, ...]:
    """A command that says what filesystem is at ``path``."""
    return sh(f"grep ' {path} ' /proc/self/mountinfo")


# --- the image's root decides where the engine mounts and writes ----------------------------------------------------

UP = "../../../../../../../../../.."


@pytest.mark.parametrize("way", ["absolute", "upwards", "inside"])
@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_link_where_the_kernel_s_directories_belong(hostile: Hostile, canary: Path, name: str, way: str) -> None:
    """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2019-16884, CVE-2026-41579, CVE-2026-47766."""
    target = {"absolute": str(canary), "upwards": UP + str(canary), "inside": "/etc"}[way]
    done = hostile.run(hostile.make({name: target, "etc": None}), "true")
    assert done.code == 125 and "Traceback" not in done.stderr and name in done.stderr


@pytest.mark.parametrize("path", ["/proc", "/sys", "/dev", "/proc/self", "/sys/fs/cgroup", "/proc/sys"])
def test_a_volume_of_the_image_s_at_a_place_of_the_kernel_s(hostile: Hostile, path: str) -> None:
    """CVE-2019-16884: what is written to /proc must reach the kernel, and not an attacker's file."""
    image = hostile.make({"proc": None}, f"VOLUME {path}")
    done = hostile.run(
        "--sysctl", "net.ipv4.ip_forward=1", image, *sh("cat /proc/sys/net/ipv4/ip_forward; readlink /proc/self")
    )
    assert done.code == 125 or (done.lines[0] == "1" and done.lines[1].isdigit())


@pytest.mark.parametrize("node", ["null", "console", "ptmx", "pts", "shm", "tty", "fd", "mqueue"])
def test_nodes_that_the_image_has_made_into_links(hostile: Hostile, canary: Path, node: str) -> None:
    """CVE-2025-31133 and CVE-2025-52565: the image's /dev covers no file, and no terminal is bound in it."""
    image = hostile.make({"dev": None, f"dev/{node}": "/proc/sys/kernel/core_pattern"})
    done = hostile.run("-t", image, *sh("cat /proc/keys /proc/timer_list /proc/kallsyms; ls -l /dev/null; tty"))
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    assert done.ok().lines[0].startswith("crw-rw-rw-") and "1,   3" in done.stdout and "/dev/pts/0" in done.stdout
    assert hostile.run(image, *sh("for f in keys sys/kernel/core_pattern; do echo x > /proc/$f; done")).code != 0
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.parametrize("name", ["resolv.conf", "hosts", "hostname", "mtab", "passwd", "group"])
def test_a_link_where_the_engine_writes_or_reads_a_file(hostile: Hostile, canary: Path, name: str) -> None:
    """CVE-2025-24965, CVE-2024-9341."""
    for target in (f"{canary}/secret", f"{UP}{canary}/secret"):
        done = hostile.run("-h", "evil", "-u", "0", hostile.make({"etc": None, f"etc/{name}": target}), "true")
        assert "of the host" not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert hostile.run(hostile.make({"etc": str(canary)}), "true").code in (0, 125)


def test_a_mount_point_behind_a_link_to_nothing_is_made_where_that_leads(hostile: Hostile, canary: Path) -> None:
    """Many images have such an /etc/resolv.conf. What is made is the container's own."""
    stub, elsewhere = "../run/systemd/resolve/stub-resolv.conf", f"{UP}{canary}/new/hosts"
    image = hostile.make({"etc": None, "etc/resolv.conf": stub, "etc/hosts": elsewhere, "data": "/srv/none/data"})
    options = ("--dns", "192.0.2.1", "--add-host", "friend:192.0.2.2", "-v", f"{canary}:/data:ro")
    script = "cat /etc/resolv.conf; grep -c friend /etc/hosts; cat /data/secret; readlink /etc/resolv.conf"
    done = hostile.run(*options, image, *sh(script)).ok()
    assert done.lines == ["nameserver 192.0.2.1", "1", f"of the host{stub}"]
    (canary.parent / "etc").mkdir()
    (canary.parent / "etc" / "resolv.conf").write_text("nameserver 192.0.2.9\n")
    covered = hostile.run(*options[:2], "-v", f"{canary.parent}/etc:/etc", image, "cat", "/etc/resolv.conf").ok()
    assert covered.stdout == "nameserver 192.0.2.1\n"  # the image's link is not there
    circle = hostile.make({"etc": None, "etc/resolv.conf": "hosts", "etc/hosts": "resolv.conf"})
    done = hostile.run(circle, "true")
    assert done.code == 125 and "too many levels of symbolic links" in done.stderr.lower()


OUTWARD = ["/link", "/link/sub", "/link/new/er", "/../../../../etc", "/a/../../../..", "/link/../../x"]
# Root of a user namespace could make nothing outside anyway: with the host's it is the resolution that is tried.
USERS = pytest.mark.parametrize("users", ["private", "host"])


@USERS
@pytest.mark.parametrize("path", OUTWARD)
def test_a_volume_through_a_link_or_upwards(hostile: Hostile, canary: Path, path: str, users: str) -> None:
    """CVE-2022-23648, CVE-2019-18837: no byte of the host's is copied into a volume, and nothing mounted outside."""
    image = hostile.make({"link": str(canary), "etc": None}, f'VOLUME ["{path}"]')
    script = "cat /link/secret /link/sub/* /etc/shadow /x 2>/dev/null; find / -xdev -name secret"
    done = hostile.run("--userns", users, image, *sh(script))
    assert "of the host" not in done.stdout and "root:" not in done.stdout and "Traceback" not in done.stderr


@USERS
def test_a_working_directory_through_a_link(hostile: Hostile, canary: Path, users: str) -> None:
    """CVE-2024-21626's family: what is missing is made inside."""
    for target in (str(canary), UP + str(canary), "/proc/1/root", "/proc/self/cwd"):
        image = hostile.make({"link": target}, "WORKDIR /link/made/here")
        done = hostile.run("--userns", users, image, *sh("readlink -f .; ls /boot"))
        assert done.code != 0 and "vmlinuz" not in done.stdout


PASSWD = {
    "a device": "/dev/zero",
    "the process's memory": "/proc/self/mem",
    "another root": "/proc/1/root/etc/passwd",
    "a loop": "/etc/passwd",
    "a descriptor": "/proc/self/fd/0",
}


@pytest.mark.parametrize("target", PASSWD.values(), ids=PASSWD)
def test_a_passwd_that_is_no_file(hostile: Hostile, target: str) -> None:
    """CVE-2024-9676 and containerd's bounded user files: an error within a second, and no memory filled."""
    image = hostile.make({"etc": None, "etc/passwd": target})
    began = time.monotonic()
    done = hostile.run("-u", "somebody", image, "id")
    assert done.code == 125 and "Traceback" not in done.stderr and time.monotonic() - began < 5 * PATIENCE


# --- what an image says is no control ------------------------------------------------------------------------------


def test_labels_and_annotations_of_any_engine_control_nothing(hostile: Hostile, tmp_path: Path) -> None:
    """CVE-2026-53488, CVE-2024-3154: a label is not a log's address, and an annotation no property of a unit."""
    mark = tmp_path / "mark"
    keys = ("io.pycontainer.log", "containerd.io/restart.loguri", "io.podman.annotations.privileged",
            "org.systemd.property.ExecStopPost", "run.oci.hooks.stderr", "io.kubernetes.cri.sandbox-id")  # fmt: skip
    image = hostile.make({}, *(f'LABEL {key}="binary:///bin/touch?{mark}"' for key in keys))
    annotations = [word for key in keys for word in ("--annotation", f"{key}=/bin/touch {mark}")]
    assert hostile.run(*annotations, image, *sh("grep NoNew /proc/self/status")).ok().stdout == "NoNewPrivs:\t1\n"
    assert not mark.exists()


def test_variables_of_the_caller_s_reach_nobody(stocked: Pyc, hostile: Hostile) -> None:
    """CVE-2026-57231, CVE-2020-14370: an image's half a variable takes nothing from who runs it."""
    image = hostile.make({}, "ENV LD_PRELOAD=/evil.so", "ENV PYTHONPATH=/evil")
    done = stocked("run", "--rm", image, "env", env={"AWS_SECRET_ACCESS_KEY": "canary", "FOO": "canary"})
    assert "canary" not in done.stdout and "LD_PRELOAD=/evil.so" in done.stdout
    stocked("run", "-d", "--name", "one", "-e", "MINE=secret", image, "sleep", "100").ok()
    assert "secret" not in hostile.run(image, *sh("env; cat /proc/*/environ")).stdout
    stocked("rm", "-f", "one")


@pytest.mark.parametrize("length", [65_535, 65_536, 70_000, 200_000])
@pytest.mark.parametrize("flag", ["--hostname", "-w", "-e", "--user", "--annotation", "-v"])
def test_strings_longer_than_any_field(stocked: Pyc, image: str, flag: str, length: int) -> None:
    """CVE-2021-43784: a length that does not fit is refused, it never wraps around."""
    if length > 131_000:
        length = 131_000  # the longest word that execve takes
    value = {"-e": "A=", "--annotation": "a=", "-v": "/tmp:/", "-w": "/"}.get(flag, "") + "x" * length
    done = stocked("run", "--rm", flag, value, image, "echo", "ran")
    assert "Traceback" not in done.stderr and "this is a bug" not in done.stderr
    assert (done.code, done.stdout) == (0, "ran\n") if done.code == 0 else done.code in (125, 126)


# --- doors that are tried from inside ------------------------------------------------------------------------------


@needs_cgroup(1)
@pytest.mark.parametrize("options", ["", "--cap-add ALL", "--cap-add SYS_ADMIN", "--userns host"])
def test_the_release_agent_of_a_cgroup_can_not_be_set(stocked: Pyc, image: str, options: str) -> None:
    """CVE-2022-0492, CVE-2021-4154: on v1 it is a program that the kernel starts on the host."""
    script = """
    for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs); do
      (echo /evil > $f) 2> /dev/null && echo WROTE $f; done
    unshare -UrCm sh -c 'mount -t cgroup -o memory x /mnt && echo MOUNTED' 2> /dev/null
    mkdir /sys/fs/cgroup/memory/x 2> /dev/null && echo MADE; true
    """
    assert stocked("run", "--rm", *options.split(), image, *sh(script)).ok().stdout == ""


def test_no_handle_of_a_file_opens_one_of_the_host_s(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """ "Shocker": DAC_READ_SEARCH and open_by_handle_at walk the whole disk by inode numbers."""
    if reason := missing_command("cc"):
        pytest.skip(reason)
    (tmp_path / "shocker.c").write_text(r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
int main(void) {
  struct { struct file_handle h; unsigned char id[8]; } root = {{8, 1}, {2}};
  int fd = open("/etc/hostname", O_RDONLY);
  int opened = open_by_handle_at(fd, &root.h, O_RDONLY);
  printf("%d %d\n", opened, errno);
  return 0;
}""")
    subprocess.run(["cc", "-static", "-o", tmp_path / "shocker", tmp_path / "shocker.c"], check=True)
    for options in ((), ("--security-opt", "seccomp=unconfined")):
        done = stocked("run", "--rm", *options, "-v", f"{tmp_path}:/s:ro", image, "/s/shocker").ok()
        assert done.stdout == "-1 1\n"


# What a container may list of the two trees that no namespace divides. What a newer kernel adds shows up here.
KNOWN = set("""
acpi allocinfo asound buddyinfo bus cgroups cmdline config.gz consoles cpuinfo crypto devices diskstats dma driver
dynamic_debug execdomains fb filesystems fs interrupts iomem ioports irq kallsyms kcore key-users keys kmsg
kpagecgroup kpagecount kpageflags latency_stats loadavg locks mdstat meminfo misc modules mounts mtrr net
pagetypeinfo partitions pressure sched_debug schedstat scsi self slabinfo softirqs stat swaps sys sysrq-trigger
sysvipc thread-self timer_list timer_stats tty uptime version version_signature vmallocinfo vmstat zoneinfo
""".split())  # fmt: skip


def test_a_file_that_a_new_kernel_adds_to_proc_is_noticed(stocked: Pyc, image: str) -> None:
    """CVE-2017-16539, CVE-2018-10892, GHSA-jq35-85cj-fj4p, GHSA-6fw5-f8r9-fgfm: someone forgot to hide it."""
    listed = {name for name in stocked("run", "--rm", image, "ls", "/proc").ok().stdout.split() if not name.isdigit()}
    assert listed <= KNOWN
    writable = "find /proc /sys -maxdepth 4 -type f -perm -200 -not -path '/proc/[0-9]*' -not -path '/proc/self/*'"
    script = f"for f in $({writable} 2>/dev/null); do (: > $f) 2>/dev/null && echo $f; done; true"
    opened = stocked("run", "--rm", image, *sh(script)).ok().lines
    # The covers are /dev/null, which swallows what is written.
    masked = set(stocked("run", "--rm", image, *sh("grep -o ' /null [^ ]*' /proc/self/mountinfo")).stdout.split())
    assert [path for path in opened if path not in masked] == []


def test_another_user_of_the_host_gets_at_nothing(stocked: Pyc, image: str) -> None:
    """CVE-2021-41103, CVE-2021-41091, CVE-2024-25621: a setuid program of a container's is not for the host's users."""
    stocked("run", "-d", "--name", "suid", image, *sh("cp /bin/busybox /own; chmod 6755 /own; sleep 100")).ok()
    places = [path for top in (stocked.root, stocked.runroot) for path in Path(top).glob("*")]
    assert len(places) > 5
    for path in (stocked.root, stocked.runroot, *places):
        argv = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "ls", str(path)]
        assert subprocess.run(argv, capture_output=True).returncode != 0, path
        top = path in (stocked.root, stocked.runroot)
        assert os.lstat(path).st_mode & 0o077 == 0 or not top
    stocked("rm", "-f", "suid")


def test_top_runs_nothing_of_the_container_s(stocked: Pyc, image: str) -> None:
    """CVE-2022-1227."""
    fake = "for p in ps nsenter top; do echo '#!/bin/sh\ntouch /ran' > /bin/$p; chmod +x /bin/$p; done; sleep 100"
    stocked("run", "-d", "--name", "fake", image, *sh("rm -f /bin/ps /bin/nsenter /bin/top; " + fake)).ok()
    assert "sleep" in stocked("top", "fake").ok().stdout
    assert stocked("exec", "fake", "ls", "/ran").code != 0
    stocked("rm", "-f", "fake")


def test_nothing_spreads_to_a_host_whose_mounts_are_shared(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """runc#2404 and its like: on systemd's hosts every mount spreads unless it is told not to."""
    script = """
    mount --make-rshared / && before=$(wc -l < /proc/self/mountinfo) && "$@" > /dev/null && "$@" > /dev/null
    after=$(wc -l < /proc/self/mountinfo); echo $before $after
    """
    argv = stocked.argv("run", "--rm", "-v", f"{tmp_path}:/b", "--tmpfs", "/t", image, "true")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *argv], env=stocked.env(), capture_output=True)
    before, after = done.stdout.split()
    assert done.returncode == 0 and before == after


# --- races --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@USERS
def test_a_mount_point_in_a_bind_that_is_swapped_for_a_link(
    stocked: Pyc, image: str, canary: Path, tmp_path: Path, users: str
) -> None:
    """CVE-2021-30465, CVE-2025-52881, CVE-2025-31133: the volume's owner renames while mounts are made below it."""
    shared = tmp_path / "shared"
    (shared / "a").mkdir(parents=True)
    codes: dict[int, int] = {}
    targets = [str(canary), UP + str(canary), "/proc/self/root", "/proc/sys"]
    for target in targets:
        link = next((shared / name for name in "ab" if (shared / name).is_symlink()), shared / "b")
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with exchanging(shared / "a", shared / "b") as count:
            for number in range(TRIES // 2 // len(targets)):
                options = (("--tmpfs", "/s/a/t"), ("-v", "/etc/hostname:/s/a/f"), ("-w", "/s/a/made"))[number % 3]
                options = ("--userns", users, *options)
                done = stocked("run", "--rm", "-v", f"{shared}:/s", *options, image, *sh("cat /s/a/secret; true"))
                assert "of the host" not in done.stdout
                codes[done.code] = codes.get(done.code, 0) + 1
        assert count[0] > TRIES
    assert set(codes) <= {0, 125, 126, 127}, codes
    assert codes.get(0)
