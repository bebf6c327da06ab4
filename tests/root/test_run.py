"""``pyc run`` in the foreground, as a user types it: what the process is, sees, may use and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from images.registry import Registry
from tests.root.conftest import Run
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE

pytestmark = pytest.mark.root


# --- streams, exit codes, signals -----------------------------------------------------------------------------------


def test_the_streams_stay_apart_and_the_exit_code_is_the_programs(run: Run) -> None:
    result = run(command=sh("echo out; echo err >&2; exit 7"))
    assert (result.stdout, result.stderr, result.code) == ("out\n", "err\n", 7)


def test_a_signal_is_128_plus_its_number(run: Run) -> None:
    assert run("--init", command=sh("kill -KILL $$")).code == 137
    assert run("--init", command=sh("kill -TERM $$")).code == 143


def test_stdin_is_passed_with_i_and_empty_without(run: Run) -> None:
    assert run("-i", command=("cat",), stdin="hello\n").stdout == "hello\n"
    assert run(command=("cat",), stdin="hello\n").stdout == ""


def test_a_program_that_closes_its_stdin_ends_with_its_own_code(run: Run) -> None:
    """Who wrote to it got a SIGPIPE, which ended the monitor as soon as it was let through: 137."""
    data = "x" * (1 << 20)
    assert run("-i", command=sh("exec <&-; sleep 0.1; exit 3"), stdin=data).code == 3


def test_a_megabyte_passes_both_ways_unchanged(run: Run) -> None:
    data = os.urandom(1 << 16).hex() * 20
    assert run("-i", command=("cat",), stdin=data).stdout == data


def test_a_reader_that_takes_its_time_gets_everything_and_signals_too(stocked: Pyc, image: str) -> None:
    script = "trap 'echo got' USR1; echo ready; sleep 0.5; wc -c"
    process = stocked.start("run", "--rm", "-i", image, "sh", "-c", script)
    assert process.stdin is not None
    sender = threading.Thread(target=lambda: (process.stdin.write(bytes(5_000_000)), process.stdin.close()))  # type: ignore[union-attr]
    sender.start()
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGUSR1)
    sender.join(20)
    assert sorted(process.stdout.read().split()) == [b"5000000", b"got"]
    assert process.wait(20) == 0
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def test_output_to_a_closed_pipe_does_not_hang(stocked: Pyc, image: str) -> None:
    process = stocked.start("run", "--rm", image, "sh", "-c", "yes | head -n 100000")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    for stream in (process.stdin, process.stderr):
        assert stream is not None
        stream.close()


def test_attach_only_stderr(run: Run) -> None:
    result = run("-a", "stderr", command=sh("echo out; echo err >&2"))
    assert (result.stdout, result.stderr) == ("", "err\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT])
def test_signals_are_forwarded(stocked: Pyc, image: str, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    process = stocked.start("run", "--rm", image, "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (f"got {name}\n".encode(), 9)


def test_init_is_called_init_and_tells_nothing_of_the_host(run: Run) -> None:
    show = "cat /proc/1/comm; tr '\\0' ' ' </proc/1/cmdline; echo; ps -o pid,args | grep '^ *1 '"
    comm, arguments, listed = run("--init", "--name", "secret", command=sh(show)).ok().lines
    assert (comm, arguments.strip(), listed.split()) == ("pyc-init", "pyc-init", ["1", "pyc-init"])


def test_init_reaps_orphans_and_passes_signals_on(stocked: Pyc, image: str) -> None:
    orphans = "for i in 1 2 3; do (sleep 0 &) ; done; sleep 0.3; ps"
    script = f"trap 'exit 5' TERM; {orphans}; echo ready; while :; do sleep 0.05; done"
    process = stocked.start("run", "--rm", "--init", image, "sh", "-c", script)
    assert process.stdout is not None
    lines = []
    while (line := process.stdout.readline()) != b"ready\n":
        lines.append(line)
    assert not [line for line in lines if b"[sleep]" in line]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 5


def test_a_background_process_does_not_keep_run_alive(run: Run) -> None:
    began = time.monotonic()
    assert run(command=sh("sleep 30 & echo done")).stdout == "done\n"
    assert time.monotonic() - began < 10 * PATIENCE


# --- the terminal ---------------------------------------------------------------------------------------------------


def test_a_terminal_is_a_terminal_follows_its_window_and_is_restored(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "--rm", "-it", image, "sh") as terminal:
        settings = terminal.attributes()
        terminal.expect(r"# ")
        assert terminal.attributes() != settings  # raw
        terminal.send("tty; stty size; echo $TERM\r")
        terminal.expect(r"/dev/pts/0\n24 80\nxterm")
        terminal.resize(40, 100)
        time.sleep(0.2)
        terminal.send("stty size\r")
        terminal.expect(r"40 100")
        terminal.send("exit 3\r")
        assert terminal.wait() == 3
        assert terminal.attributes() == settings


def test_control_c_reaches_the_program_not_us(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "--rm", "-it", image, "sh") as terminal:
        terminal.expect(r"# ")
        terminal.send("sleep 60\r")
        time.sleep(0.2)
        terminal.send("\x03")
        terminal.expect(r"# ")
        terminal.send("echo alive; exit\r")
        terminal.expect(r"alive\n")
        terminal.wait()


def test_the_terminal_is_restored_when_the_program_is_killed(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "--rm", "--name", "doomed", "-it", image, "sh") as terminal:
        settings = terminal.attributes()
        terminal.expect(r"# ")
        stocked("rm", "-f", "doomed").ok()
        assert terminal.wait() == 137
        assert terminal.attributes() == settings


# --- what it is and sees --------------------------------------------------------------------------------------------


def test_it_is_pid_1_in_namespaces_of_its_own(run: Run) -> None:
    script = "echo $$; for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; ls /sys/class/net"
    lines = run(command=sh(script)).ok().lines
    ours = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup")]
    assert lines[0] == "1"
    assert not set(lines[1:7]) & set(ours)
    assert lines[7:] == ["lo"]


@pytest.mark.parametrize(
    ("option", "name"),
    [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup"), ("--network", "net")],
)
def test_host_namespaces_can_be_kept(run: Run, option: str, name: str) -> None:
    shown = run(option, "host", command=("readlink", f"/proc/self/ns/{name}")).ok().stdout.strip()
    assert shown == os.readlink(f"/proc/self/ns/{name}")


def test_loopback_is_up(run: Run) -> None:
    assert "127.0.0.1" in run(command=("ip", "addr", "show", "lo")).ok().stdout


def test_names(run: Run) -> None:
    result = run(
        "--hostname",
        "box",
        "--domainname",
        "example",
        "--add-host",
        "db:10.1.2.3",
        command=sh("hostname; cat /proc/sys/kernel/domainname /etc/hostname; grep db /etc/hosts"),
    )
    assert result.ok().lines == ["box", "example", "box", "10.1.2.3\tdb"]


@pytest.mark.parametrize(
    ("user", "expected"),
    [("1000:1000", "uid=1000 gid=1000"), ("65534", "uid=65534"), ("root", "uid=0(root) gid=0(root)")],
)
def test_user(run: Run, user: str, expected: str) -> None:
    assert run("--user", user, command=("id",)).ok().stdout.startswith(expected)


def test_groups_are_exactly_those_asked_for(run: Run) -> None:
    line = (
        run("--user", "1000:1000", "--group-add", "2000", command=("grep", "Groups", "/proc/self/status")).ok().stdout
    )
    assert line.split()[1:] == ["1000", "2000"]


def test_a_user_can_write_to_its_own_stdout_by_name(run: Run) -> None:
    assert run("--user", "1000", command=sh("echo hi > /dev/stdout")).ok().stdout == "hi\n"


def test_environment_workdir_entrypoint(run: Run) -> None:
    result = run("-e", "A=b c", "-w", "/made/here", "--entrypoint", "sh", command=("-c", "echo $A; pwd; echo $HOME"))
    assert result.ok().lines == ["b c", "/made/here", "/root"]


def test_the_callers_environment_stays_outside(stocked: Pyc, image: str) -> None:
    result = stocked("run", "--rm", "-e", "WANTED", image, "env", env={"SECRET": "1", "WANTED": "2"})
    assert "WANTED=2" in result.lines
    assert "SECRET" not in result.stdout


# --- files ----------------------------------------------------------------------------------------------------------


def test_binds_are_shared_and_read_only_ones_are(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    options = ("-v", f"{tmp_path}:/rw", "-v", f"{tmp_path}:/deep/er/ro:ro", "-v", f"{tmp_path}/file:/etc/one")
    result = run(*options, command=sh("cat /rw/file /etc/one; echo x > /rw/new; echo y > /deep/er/ro/new"))
    assert result.stdout == "contentcontent"
    assert "Read-only file system" in result.stderr
    assert (tmp_path / "new").read_text() == "x\n"


def test_mount_syntax(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    options = (
        "--mount",
        f"type=bind,src={tmp_path},dst=/b,readonly",
        "--mount",
        "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700",
    )
    lines = run(*options, command=sh("cat /b/file; echo; stat -c %a /t; df -k /t | tail -1")).ok().lines
    assert lines[:2] == ["content", "700"]
    assert lines[2].split()[1] == "1024"


def test_tmpfs_read_only_and_shm(run: Run) -> None:
    options = ("--read-only", "--tmpfs", "/scratch", "--shm-size", "8m")
    result = run(*options, command=sh("touch /x; echo ok > /scratch/y; cat /scratch/y; df -k /dev/shm | tail -1"))
    assert "Read-only file system" in result.stderr
    assert result.lines[0] == "ok"
    assert result.lines[1].split()[1] == "8192"


def test_what_it_writes_is_its_own(run: Run) -> None:
    run(command=sh("echo x > /written; rm /bin/ls")).ok()
    assert run(command=sh("ls /written")).code == 1


def test_devices(run: Run) -> None:
    lines = (
        run(command=sh("ls /dev; echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 1 /dev/full >/dev/null"))
        .ok()
        .lines
    )
    assert set(lines[:-1]) == {
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    }
    result = run("--device", "/dev/full:/dev/box/full2", command=sh("echo x > /dev/box/full2"))
    assert "No space left on device" in result.stderr


def test_mknod_and_other_devices_are_refused(run: Run) -> None:
    assert run(command=("mknod", "/tmp/disk", "b", "8", "0")).code != 0
    with_cap = run("--cap-add", "MKNOD", command=sh("mknod /tmp/kmsg c 1 11; cat /tmp/kmsg"))
    assert "ermitted" in with_cap.stderr


# --- limits ---------------------------------------------------------------------------------------------------------


def test_limits_are_in_the_cgroup(run: Run) -> None:
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        files = "memory.max pids.max cpu.max"
        expected = ["67108864", "33", "50000 100000"]
    else:
        files = "memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us"
        expected = ["67108864", "33", "50000"]
    options = ("--memory", "64m", "--pids-limit", "33", "--cpus", "0.5")
    assert run(*options, command=sh(f"cd /sys/fs/cgroup; cat {files}")).ok().lines == expected


def test_a_fork_bomb_stays_inside(run: Run) -> None:
    result = run("--pids-limit", "20", command=sh("for i in $(seq 40); do sleep 1 & done; wait"))
    assert "can't fork" in result.stderr


def test_too_much_memory_is_killed_and_said_so(stocked: Pyc, image: str) -> None:
    options = ("--memory", "16m", "--memory-swap", "16m", "--name", "hungry")
    result = stocked(
        "run", *options, image, "sh", "-c", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo $x | wc -c"
    )
    assert result.code != 0
    (document,) = json.loads(stocked("inspect", "hungry").ok().stdout)
    assert document["State"]["OOMKilled"] is True


def test_ulimits_and_sysctls(run: Run) -> None:
    options = ("--ulimit", "nofile=100:200", "--ulimit", "core=0", "--sysctl", "net.ipv4.ip_forward=1")
    script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/sys/net/ipv4/ip_forward"
    assert run(*options, command=sh(script)).ok().lines == ["100", "200", "0", "1"]


def test_cgroup_parent(run: Run) -> None:
    shown = (
        run("--cgroup-parent", "/pyc/nested", "--cgroupns", "host", command=("cat", "/proc/self/cgroup")).ok().stdout
    )
    assert "/pyc/nested/" in shown
    for top, _, _ in os.walk("/sys/fs/cgroup"):
        if top.endswith("/pyc/nested"):
            os.rmdir(top)


# --- records --------------------------------------------------------------------------------------------------------


def test_a_container_that_is_kept_is_listed_and_removed(stocked: Pyc, image: str, tmp_path: Path) -> None:
    cidfile = tmp_path / "cid"
    stocked("run", "--name", "kept", "--cidfile", str(cidfile), "-l", "a=b", image, "sh", "-c", "exit 4")
    (document,) = json.loads(stocked("inspect", "kept").ok().stdout)
    assert document["Id"] == cidfile.read_text()
    assert document["State"]["ExitCode"] == 4
    assert "kept" in stocked("ps", "-a").stdout
    assert stocked("run", "--name", "kept", image, "true").code == 125
    stocked("rm", "kept").ok()
    assert "kept" not in stocked("ps", "-a").stdout


def test_rm_leaves_nothing(stocked: Pyc, image: str) -> None:
    stocked("run", "--rm", "--name", "gone", image, "true").ok()
    for directory in (f"{stocked.root}/containers", f"{stocked.root}/names", f"{stocked.runroot}/containers"):
        assert os.listdir(directory) == []


def test_what_it_wrote_is_deleted_at_once_and_the_empty_rest_by_the_next_start(stocked: Pyc, image: str) -> None:
    stocked("run", "--rm", image, "sh", "-c", "head -c 1000000 /dev/zero > /big").ok()
    assert os.listdir(f"{stocked.root}/trash") == []
    for _ in range(3):
        stocked("run", "--rm", image, "true").ok()
    assert len(os.listdir(f"{stocked.root}/trash")) == 1


def test_a_hundred_and_twenty_layers(stocked: Pyc, registry: Registry) -> None:
    """Each adds a file, replaces another, and deletes the one in /only that the layer below had."""
    name = registry.publish("layers")
    shown = stocked("run", "--rm", name, "sh", "-c", "ls /n | wc -l; cat /last; ls /only", timeout=120).ok()
    assert shown.lines == ["119", "119", "119"]


def test_eighty_at_once_do_not_meet(stocked: Pyc, image: str) -> None:
    """Each clears up after others that were killed; none takes what another is just making for remains."""
    running = [stocked.start("run", "--rm", image, "sh", "-c", f"echo {n}") for n in range(80)]
    for number, process in enumerate(running):
        out, err = process.communicate(timeout=300)
        assert (out, err, process.returncode) == (f"{number}\n".encode(), b"", 0)


def test_the_host_sees_no_mount_of_a_container(stocked: Pyc, image: str) -> None:
    with open("/proc/self/mountinfo") as file:
        before = file.read()
    process = stocked.start("run", "--rm", image, "sh", "-c", "echo up; sleep 1")
    assert process.stdout is not None
    process.stdout.readline()
    with open("/proc/self/mountinfo") as file:
        assert file.read() == before
    process.communicate(timeout=20)


def test_mounts_do_not_spread_where_the_hosts_root_is_shared(stocked: Pyc, image: str) -> None:
    look = "$(cat /proc/self/mountinfo)"
    script = f'mount --make-rshared / && before="{look}" && "$@" && test "$before" = "{look}"'
    argv = stocked.argv("run", "--rm", image, "true")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *argv], env=stocked.env(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
