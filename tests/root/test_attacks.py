"""Attacks from inside a container on what made it; each is a way out that some engine once had."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pycontainer
from pycontainer.core.performer import executable
from tests.root.conftest import Run
from tests.support.cli import Pyc, pyc_command, sh

pytestmark = pytest.mark.root


def digests() -> dict[str, str]:
    performer = Path(pycontainer.__file__).parent / "core" / "performer"
    files = [os.path.realpath(sys.executable), pyc_command(), str(performer)]
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files}


def test_the_performer_is_sealed_and_open_for_reading_only() -> None:
    link = f"/proc/self/fd/{executable()}"
    assert os.readlink(link).startswith("/memfd:")
    with pytest.raises(OSError, match="Operation not permitted"):
        os.truncate(link, 0)
    descriptor = os.open(link, os.O_RDWR)
    try:
        with pytest.raises(OSError, match="Operation not permitted"):
            os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


def test_under_init_proc_1_exe_is_no_file_of_the_host(run: Run) -> None:
    before = digests()
    script = "readlink /proc/1/exe; (echo x > /proc/1/exe) 2>&1; cat /proc/1/exe | wc -c"
    lines = run("--init", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined", command=sh(script)).lines
    assert lines[0].startswith("/memfd:")
    assert "Text file busy" in lines[1] or "ermitted" in lines[1] or "denied" in lines[1]
    assert digests() == before


def test_an_entrypoint_that_is_proc_self_exe_overwrites_nothing(stocked: Pyc, image: str, tmp_path: Path) -> None:
    before = digests()
    script = tmp_path / "entry"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    result = stocked("run", "--rm", "-v", f"{script}:/entry", image, "/entry")
    assert result.code in (125, 126, 127, 120, 121, 1, 139)
    assert digests() == before


def test_no_descriptor_but_the_three_is_inherited(stocked: Pyc, image: str) -> None:
    leaked = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    argv = stocked.argv("run", "--rm", image, "sh", "-c", "for fd in /proc/self/fd/*; do readlink $fd; done; true")
    try:
        shown = subprocess.run(argv, env=stocked.env(), pass_fds=[leaked], capture_output=True, text=True, check=True)
    finally:
        os.close(leaked)
    lines = shown.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0] == "/dev/null"
    assert all(line.startswith("pipe:") for line in lines[1:])


def test_every_descriptor_of_a_monitor_is_accounted_for(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """It is root and outside; what leads into the container, or to a directory that it need not write, is not its."""
    options = ("-v", f"{tmp_path}:/b", "--tmpfs", "/t", "--health-cmd", "true", "--pids-limit", "50")
    container = stocked("run", "-d", *options, image, "sleep", "100").ok().stdout.strip()
    init = int(stocked("inspect", "--format", "{{.State.Pid}}", container).ok().stdout)
    monitor = int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1])
    own, run = f"{stocked.root}/containers/{container}", f"{stocked.runroot}/containers/{container}"
    accounted = {
        "/dev/null": "its own streams",
        "socket": "reports, the handshake, clients and the door for them",
        "pipe": "what the container writes",
        "anon_inode": "the pidfd of init, the signals",
        own: "the log's directory",
        f"{own}/log": "the log",
        f"{own}/life": "how it ended",
        f"{run}/#": "the lock that says that it lives",
        "/sys/fs/cgroup/": "counts what was killed for memory",
    }
    held = [os.readlink(path) for path in Path(f"/proc/{monitor}/fd").iterdir()]
    strange = [path for path in held if path not in accounted and path.partition(":")[0] not in accounted]
    assert [path for path in strange if not path.startswith((f"{run}/#", "/sys/fs/cgroup/"))] == []
    assert {path.rpartition("/")[2] for path in held if path.startswith("/sys/fs/cgroup/")} <= {
        *("memory.oom_control", "memory.events"),
    }
    stocked("rm", "-f", container).ok()


@pytest.mark.parametrize("number", range(3, 20))
def test_a_working_directory_through_proc_self_fd_stays_inside(run: Run, number: int) -> None:
    result = run("-w", f"/proc/self/fd/{number}", command=sh("pwd; ls /"))
    assert result.code == 125 or "boot" not in result.stdout


def test_capabilities_are_exactly_the_default_ones(run: Run) -> None:
    lines = dict(line.split() for line in run(command=("grep", "Cap", "/proc/self/status")).ok().lines)
    assert lines["CapInh:"] == lines["CapAmb:"] == "0" * 16
    assert lines["CapPrm:"] == lines["CapEff:"] == lines["CapBnd:"]
    user = run("--user", "1000", command=("grep", "Cap", "/proc/self/status")).ok().lines
    assert [line.split()[1] for line in user[1:3]] == ["0" * 16, "0" * 16]


def test_privileges_are_not_gained_and_calls_are_filtered(run: Run) -> None:
    status = run(command=("cat", "/proc/self/status")).ok().stdout
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    for attempt in ("unshare -U true", "unshare -m true", "mount -t tmpfs x /mnt", "chroot / mount -t proc p /proc"):
        assert run(command=sh(attempt)).code != 0, attempt


def test_privileged_has_no_filter_but_the_one_that_was_asked_for(run: Run) -> None:
    command = ("grep", "Seccomp:", "/proc/self/status")
    assert run("--privileged", command=command).ok().stdout == "Seccomp:\t0\n"
    assert run("--privileged", "--security-opt", "seccomp=docker", command=command).ok().stdout == "Seccomp:\t2\n"


@pytest.mark.parametrize(
    "path",
    ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/panic_on_oom", "/sys/kernel/uevent_helper"],
)
def test_the_hosts_switches_can_not_be_written(run: Run, path: str) -> None:
    result = run("--cap-add", "ALL", command=sh(f"echo x > {path}"))
    assert result.code != 0
    assert "ead-only" in result.stderr or "nonexistent" in result.stderr or "denied" in result.stderr


@pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms", "/proc/config.gz"])
def test_what_tells_too_much_is_empty(run: Run, path: str) -> None:
    if not os.path.exists(path):
        pytest.skip(f"this kernel has no {path}")
    assert run(command=sh(f"head -c 10 {path} | wc -c")).ok().stdout.strip() == "0"


def test_cgroups_can_not_be_written(run: Run) -> None:
    tries = "for f in $(find . -name cgroup.procs); do echo $$ > $f && echo WROTE $f; done"
    script = f"cd /sys/fs/cgroup; mkdir x memory/x 2>/dev/null; {tries}"
    assert "WROTE" not in run("--cap-add", "ALL", command=sh(script)).stdout


def test_a_symlink_in_the_image_leads_no_mount_and_no_file_outside(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """A container's own writable layer plays the hostile image: links where the engine makes mount points."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "hosts").write_text("host's own")
    binds = tmp_path / "binds"
    binds.mkdir()
    (binds / "link").symlink_to(canary)
    (binds / "up").symlink_to("../../../../../../../../" + str(canary).lstrip("/"))
    for name in ("link", "up"):
        options = ("-v", f"{binds}:/b", "-v", f"/etc/hostname:/b/{name}/hosts")
        stocked("run", "--rm", *options, image, "true")
        options = ("-v", f"{binds}:/b", "-w", f"/b/{name}/made/by/workdir")
        stocked("run", "--rm", *options, image, "true")
    assert os.listdir(canary) == ["hosts"]
    assert (canary / "hosts").read_text() == "host's own"


def test_the_terminal_that_started_it_can_not_be_typed_into(run: Run) -> None:
    assert run(command=sh("cat /proc/self/stat")).ok().stdout.split()[5] == "1"  # session: its own


def test_state_is_closed_to_other_users(stocked: Pyc) -> None:
    for directory in (stocked.root, stocked.runroot):
        assert os.stat(directory).st_mode & 0o077 == 0, directory


def test_what_a_container_may_write_without_end_is_not_in_the_live_state(stocked: Pyc, image: str) -> None:
    """That is on a filesystem of memory, /run, which the whole host needs."""
    files = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    fill = 'for file; do head -c 2000000 /dev/zero > "$file"; done; echo full; sleep 60'
    name = stocked("run", "-d", image, *sh(fill), "sh", *files).ok().stdout.strip()
    while "full" not in stocked("logs", name).ok().stdout:
        continue
    live = Path(stocked.runroot, "containers", name)
    assert sum(path.lstat().st_size for path in live.iterdir()) < 1_000_000
    shown = stocked("inspect", "-f", "{{.HostsPath}} {{.HostnamePath}} {{.ResolvConfPath}}", name).ok().stdout
    assert [os.path.getsize(path) for path in shown.split()] == [2_000_000] * 3
    stocked("restart", "-t", "0", name).ok()


def test_a_name_that_is_no_text_keeps_nobody_from_ending_it(stocked: Pyc, image: str) -> None:
    """Whoever reads /proc/PID/stat reads what a process calls itself, which is the name of what it executed."""
    script = r"name=$(printf '/\377) R 1'); printf '#!/bin/sh\necho up; sleep 1000' > $name; chmod +x $name; exec $name"
    name = stocked("run", "-d", image, *sh("IFS=; " + script)).ok().stdout.strip()
    while "up" not in stocked("logs", name).ok().stdout:
        continue
    assert "sleep 1000" in stocked("top", name).ok().stdout
    assert "sleep 1000" in stocked("top", name, "-o", "pid,args").ok().stdout
    assert stocked("exec", name, "echo", "in").ok().stdout == "in\n"
    for verb in (("stats", "--no-stream"), ("pause",), ("unpause",), ("stop", "-t", "0"), ("start",), ("rm", "-f")):
        stocked(*verb, name).ok()


def test_newlines_in_names_are_refused(run: Run) -> None:
    for options in (["-e", "HOME=/x\nroot:x"], ["--hostname", "a\nb"], ["--add-host", "a\nb:1.2.3.4"]):
        assert run(*options, command=("true",)).code == 125, options


def test_a_sysctl_of_the_whole_host_is_refused(run: Run) -> None:
    for value in ("kernel.core_pattern=|/x", "kernel.shm_rmid_forced=1+kernel.core_pattern=x", "vm.swappiness=1"):
        assert run("--sysctl", value).code == 125, value
