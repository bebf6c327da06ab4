"""What goes wrong on a host, row by row: the truth is told at once, and nothing is left for its user to clear away."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from images.registry import Registry
from tests.support import deaf_fuse
from tests.support.cli import Pyc, sh
from tests.support.crash import BOX, LONG, NAME, PARENT, Crash, crashing, kill, kill_monitor, monitor_of
from tests.support.host import PATIENCE, cgroup_version, needs_filesystem
from tests.support.remains import processes

pytestmark = pytest.mark.root
ALL = "PYC_TEST_CRASHES" in os.environ
"""Each kind of damage to each file, and more of what has to be the same the hundredth time."""


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crash]:
    with crashing(registry.publish("busybox"), str(tmp_path_factory.mktemp("faults"))) as made:
        yield made


@pytest.fixture
def crash(whole: Crash) -> Iterator[Crash]:
    whole.clear()
    yield whole
    assert whole.remains() == []


def state(crash: Crash, name: str = NAME) -> tuple[str, int]:
    """What ``inspect`` says, which repairs nothing."""
    found = json.loads(crash("inspect", name).ok().stdout)[0]["State"]
    return found["Status"], found["ExitCode"]


def init_of(crash: Crash, name: str = NAME) -> int:
    return int(crash("inspect", "--format", "{{.State.Pid}}", name).ok().stdout)


def again(crash: Crash) -> None:
    """The container starts, stops and is removed, and its name is free."""
    crash("start", NAME).ok()
    assert state(crash) == ("running", 0)
    crash("rm", "-f", "-v", NAME).ok()
    crash("run", "--rm", *BOX, crash.image, "true").ok()


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_killed_monitor_takes_the_container_along(crash: Crash) -> None:
    crash.running()
    init = init_of(crash)
    kill_monitor(crash.pyc, NAME)
    status, code = state(crash)
    assert (status, code) == ("exited", 255)
    assert crash.remains() == []
    told = crash("events", "--since", "1h", "--until", "0s", "-f", f"container={NAME}", "--format",
                 "{{.Action}} {{.Actor.Attributes.exitCode}}").ok()  # fmt: skip
    assert told.lines[-1] == "die 255"
    with contextlib.suppress(FileNotFoundError):  # or a zombie, if nobody on this host waits for orphans
        assert os.readlink(f"/proc/{init}/exe") == ""
    again(crash)


def test_nothing_begins_to_run_whose_monitor_has_been_killed(crash: Crash) -> None:
    """While many mounts are made: changing ids before had forgotten what ties a process to the monitor."""
    mounts = [word for number in range(200) for word in ("--tmpfs", f"/many/{number}")]
    starting = crash.pyc.start("run", "-d", *BOX, *mounts, crash.image, *LONG)
    deadline = time.monotonic() + 10 * PATIENCE
    while not (inside := in_cgroups()):
        assert time.monotonic() < deadline
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(Path(f"/proc/{inside[0]}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    _, err = starting.communicate(timeout=20 * PATIENCE)
    assert starting.returncode == 125 and b"Traceback" not in err, err
    assert crash.remains() == [] and in_cgroups() == []


def in_cgroups() -> list[int]:
    """The processes of all containers."""
    files = glob.glob(f"/sys/fs/cgroup/{PARENT}/*/cgroup.procs") or glob.glob(f"/sys/fs/cgroup/pids/{PARENT}/*/tasks")
    return [int(line) for file in files for line in Path(file).read_text().splitlines()]


def test_a_killed_first_process_is_an_exit(crash: Crash) -> None:
    crash.running()
    kill(init_of(crash))
    crash("wait", NAME)
    assert state(crash) == ("exited", 137)
    again(crash)


def test_monitor_and_first_process_are_killed_at_once(crash: Crash) -> None:
    crash.running()
    kill(monitor_of(crash.pyc, NAME), init_of(crash))
    assert state(crash)[0] == "exited"
    again(crash)


def test_the_whole_group_of_the_client_is_killed(crash: Crash) -> None:
    """The monitor is in a session of its own: the container runs on, and is removed at its end."""
    client = subprocess.Popen(
        crash.pyc.argv("run", "--rm", *BOX, crash.image, *LONG),
        env=crash.pyc.env(),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while crash("ps", "-q").stdout == "" and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    assert state(crash) == ("running", 0)
    crash("kill", NAME).ok()
    assert crash.remains() == [] and crash("ps", "-aq").stdout == ""


def test_a_stopped_monitor_keeps_nobody_waiting(crash: Crash) -> None:
    crash.running()
    monitor = monitor_of(crash.pyc, NAME)
    os.kill(monitor, signal.SIGSTOP)
    try:
        for words in (("ps", "-a"), ("inspect", NAME), ("logs", NAME)):
            crash.pyc(*words, timeout=5).ok()
    finally:
        os.kill(monitor, signal.SIGCONT)


@pytest.mark.slow
def test_all_processes_of_many_containers_are_killed_at_once(crash: Crash) -> None:
    for number in range(12):
        crash("run", "-d", "--name", f"many{number}", "--cgroup-parent", PARENT, *BOX[4:6], crash.image, *LONG).ok()
    kill(*processes(crash.pyc, PARENT))
    assert crash.remains(grace=0) == []
    crash("rm", *(f"many{number}" for number in range(12))).ok()


def test_who_outlives_the_first_process_in_the_hosts_pid_namespace_is_found(crash: Crash) -> None:
    crash.running("--pid", "host")
    crash("exec", "-d", NAME, "setsid", "sleep", "998").ok()
    top, separator = ("/sys/fs/cgroup", "0::") if cgroup_version() == 2 else ("/sys/fs/cgroup/memory", "memory:")
    group = Path(f"/proc/{init_of(crash)}/cgroup").read_text().split(separator)[1].split()[0]
    members = Path(f"{top}{group}/cgroup.procs")
    assert len(members.read_text().split()) >= 2
    kill_monitor(crash.pyc, NAME)
    assert crash.remains() == []
    assert not members.exists()


# --- boots ------------------------------------------------------------------------------------------------------------


def cgroups() -> list[str]:
    return [top for top, _, _ in os.walk("/sys/fs/cgroup") if f"/{PARENT}/" in top]


def reboot(crash: Crash, *, keeps_run: bool) -> None:
    """As the power goes: no process has time to write, locks and links are gone, and so is /run, if it is a tmpfs."""
    kill(*processes(crash.pyc, PARENT))
    deadline = time.monotonic() + 5
    while (left := cgroups()) and time.monotonic() < deadline:
        for top in left:
            with contextlib.suppress(OSError):  # the kernel has not done with it
                os.rmdir(top)
    crash.host("nft", "flush", "ruleset")
    for line in crash.host.ok("ip", "-o", "link", "show", "type", "bridge").splitlines():
        crash.host.ok("ip", "link", "delete", line.split()[1].rstrip(":"))
    if not keeps_run:
        shutil.rmtree(crash.pyc.runroot)


@pytest.mark.parametrize("keeps_run", [False, True])
def test_after_a_boot_nothing_is_stale(crash: Crash, keeps_run: bool) -> None:
    crash.running()
    crash("create", "--name", "other", "--cgroup-parent", PARENT, crash.image, "true").ok()
    crash("run", "-d", "--rm", "--name", "gone", "--cgroup-parent", PARENT, crash.image, *LONG).ok()
    assert crash("run", "-d", "--name", "half", crash.image, *LONG, point="create.reserved").code == -signal.SIGKILL
    reboot(crash, keeps_run=keeps_run)
    lines = crash("ps", "-a", "--format", "{{.Names}} {{.State}}").ok().lines
    assert sorted(lines) == sorted([f"{NAME} exited", "other created"])
    assert crash.remains() == []
    crash("run", "--rm", "--name", "half", "--cgroup-parent", PARENT, crash.image, "true").ok()
    crash("rm", "other").ok()
    again(crash)


@pytest.mark.slow
def test_another_processs_number_is_never_signalled(crash: Crash) -> None:
    """Neither after the monitor was killed, nor while it lives and the file is wrong."""
    with subprocess.Popen(["sleep", "1000"]) as victim:
        try:
            for killed in (True, False):
                crash.running()
                [live] = Path(crash.pyc.runroot, "containers").iterdir()
                if killed:
                    kill_monitor(crash.pyc, NAME)
                (live / "pid").write_text(str(victim.pid))
                for verb in ("kill", "pause", "exec", "rm"):
                    more = {"exec": [NAME, "true"], "rm": ["-f", "-v", NAME]}
                    result = crash(verb, *more.get(verb, [NAME]))
                    assert victim.poll() is None, verb
                assert result.code == 0, result
        finally:
            victim.kill()


# --- files ------------------------------------------------------------------------------------------------------------

GARBAGE = {"empty": b"", "half": b'{"id": "', "bytes": b"\xff\0\xfe" * 20, "list": b"[1, 2]"}
DURABLE, LIVE = ("container.json", "config.json", "life", "restarts", "log", "hosts"), ("pid", "network.json", "lock")


@pytest.mark.slow
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_damaged_file_spoils_nothing_else(crash: Crash, garbage: str) -> None:
    """Every other command goes on, nobody sees a traceback, and what is damaged can be removed."""
    crash("run", "--name", "sound", "--cgroup-parent", PARENT, crash.image, "true").ok()
    files, shift = (*DURABLE, *LIVE), list(GARBAGE).index(garbage)
    for name in files if ALL else files[shift % 3 :: 3]:
        crash.running()
        short = crash("ps", "-q", "--no-trunc").ok().stdout.strip()
        where = crash.pyc.root if name in DURABLE else crash.pyc.runroot
        Path(f"{where}/containers/{short}/{name}").write_bytes(GARBAGE[garbage])
        assert "sound" in crash("ps", "-a").ok().stdout, name
        for verb in ("inspect", "logs", "start", "port", "stop"):
            result = crash(verb, *(["-t", "0"] if verb == "stop" else []), short)
            assert "bug" not in result.stderr and "Traceback" not in result.stderr, (name, result)
        crash("rm", "-f", "-v", short).ok()
        assert crash.remains() == [], name
    crash("start", "sound").ok()
    crash("rm", "-f", "sound").ok()


def test_directories_deleted_by_hand_are_no_riddle(crash: Crash) -> None:
    for place in (crash.pyc.root, crash.pyc.runroot):
        crash.running()
        shutil.rmtree(f"{place}/containers")
        crash("rm", "-f", "-v", NAME)
        crash("ps", "-a").ok()
        crash("volume", "prune", "-f").ok()  # whose they were is written down no more
        assert crash.remains() == []
        crash("run", "--rm", *BOX, crash.image, "true").ok()


def test_another_bridge_and_filter_are_made_where_somebody_removed_them(crash: Crash) -> None:
    crash.running()
    bridge = crash.host.ok("ip", "-o", "link", "show", "type", "bridge").split()[1].rstrip(":")
    crash.host.ok("ip", "link", "delete", bridge)
    crash.host.ok("nft", "flush", "ruleset")
    ping = ("run", "--rm", "--cgroup-parent", PARENT, "--network", "crash", crash.image, "ping", "-c1", "-W2", NAME)
    crash(*ping).ok()
    crash("rm", "-f", "-v", NAME).ok()


def test_a_cgroup_removed_under_us_is_no_obstacle(crash: Crash) -> None:
    crash.running()
    for top, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if f"/{PARENT}/" in top:
            for pid in Path(f"{top}/cgroup.procs").read_text().split():
                Path(f"{top}/../../cgroup.procs").write_text(pid)
            os.rmdir(top)
    for words in ("ps", f"inspect {NAME}", f"stats --no-stream {NAME}", f"pause {NAME}", f"stop -t 0 {NAME}"):
        result = crash(*words.split())
        assert "bug" not in result.stderr, result
    again(crash)


# --- what runs out ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("limit", [4, 6, 8, 10, 14, 18, 24, 32])
def test_too_few_descriptors_are_an_error_and_no_leak(crash: Crash, limit: int) -> None:
    inside = ["nsenter", f"--net={crash.host.path}"]
    argv = Pyc(crash.pyc.root, crash.pyc.runroot, "").argv("run", "--rm", *BOX, crash.image, "true")
    wrapped = [*inside, sys.executable, "-c", _WITH_FEW.format(limit=limit), *argv]
    done = subprocess.run(wrapped, env=crash.pyc.env(), capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 125) or limit < 8, done
    assert "Traceback" not in done.stderr or limit < 8, done
    assert "this is a bug" not in done.stderr, done
    assert crash.remains() == []


_WITH_FEW = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextlib.contextmanager
def _small(crash: Crash, place: Path, mebibytes: int) -> Iterator[Pyc]:
    """One with a store on a disk of its own."""
    (place / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place / "small")]
    subprocess.run(mount, check=True)
    try:
        pyc = replace(Pyc.beneath(str(place / "rest")), root=str(place / "small/root"))
        pyc("pull", "-q", crash.image).ok()
        yield pyc
        pyc("rm", "-f", NAME)
    finally:
        subprocess.run(["umount", "-l", str(place / "small")], check=True)


def test_a_full_disk_stops_the_program_and_nobody_else(crash: Crash, tmp_path: Path) -> None:
    """A log that finds no room loses whole lines; what reads, stops and removes needs none."""
    with _small(crash, tmp_path, 16) as small:
        small("run", "-d", "--name", NAME, "--network", "none", "--cgroup-parent", PARENT, crash.image,
              *sh("i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; dd if=/dev/zero of=/full bs=64k; "
                  "while echo line $i; do i=$((i+1)); [ $i -gt 2000 ] && break; done; sleep 1000")).ok()  # fmt: skip
        deadline = time.monotonic() + 20
        while "No space" not in small("logs", NAME).stderr and time.monotonic() < deadline:
            time.sleep(0.1)
        log = next(Path(small.root, "containers").iterdir()) / "log"
        for line in log.read_text().splitlines():
            assert line.split()[1] in ("stdout", "stderr") and line.split()[2] in ("F", "P"), line
        small("ps").ok()
        small("stop", "-t", "0", NAME).ok()
        assert small("run", "--rm", "--network", "none", crash.image, "true").code in (0, 125)
        small("rm", NAME).ok()
        small("run", "--rm", "--network", "none", "--cgroup-parent", PARENT, crash.image, "true").ok()


def test_on_a_read_only_disk_one_may_look(crash: Crash, tmp_path: Path) -> None:
    with _small(crash, tmp_path, 16) as small:
        small("run", "--name", NAME, "--network", "none", "--cgroup-parent", PARENT, crash.image, "echo", "hello").ok()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "small")], check=True)
        try:
            assert NAME in small("ps", "-a").ok().stdout
            small("inspect", NAME).ok()
            assert small("logs", NAME).ok().stdout == "hello\n"
            small("images").ok()
            for words in (("run", "--rm", "--network", "none", crash.image, "true"), ("rm", NAME), ("start", NAME)):
                result = small(*words)
                assert result.code in (1, 125) and "read-only file system" in result.stderr.lower(), result
                assert "bug" not in result.stderr
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(tmp_path / "small")], check=True)
        small("rm", NAME).ok()


# --- what does not answer ---------------------------------------------------------------------------------------------


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A directory on a disk of FUSE, and the process that must be told to become deaf."""
    place = tmp_path / "deaf"
    place.mkdir()
    argv = [sys.executable, str(Path(deaf_fuse.__file__)), str(place)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        assert server.stdout.readline().startswith("mounted")
        try:
            yield place, server
        finally:
            server.kill()
            subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
@needs_filesystem("fuse")
def test_a_disk_that_does_not_answer_holds_up_nobody_else(
    crash: Crash, deaf: tuple[Path, subprocess.Popen[str]]
) -> None:
    """Whoever waits for it can't be killed, and says so; all others go on, and its container can be removed later."""
    place, server = deaf
    waits = "echo here; while [ ! -e /go ]; do sleep 0.1; done; ls /deaf"
    crash("run", "-d", *BOX, "-v", f"{place}:/deaf", crash.image, *sh(waits)).ok()
    server.send_signal(signal.SIGUSR1)
    crash("exec", NAME, "touch", "/go").ok()
    time.sleep(0.5)
    for words in (("ps", "-a"), ("inspect", NAME), ("logs", NAME)):
        began = time.monotonic()
        crash.pyc(*words, timeout=20).ok()
        assert time.monotonic() - began < 3 * PATIENCE, words  # 0.1 s on a host that does nothing else
    began = time.monotonic()
    refused = crash.pyc("rm", "-f", NAME, timeout=60)
    assert refused.code == 1 and "has not ended" in refused.stderr, refused
    assert time.monotonic() - began < 30 * PATIENCE
    crash("run", "--rm", "--cgroup-parent", PARENT, "--name", "other", crash.image, "true").ok()
    server.kill()
    server.wait()
    crash("rm", "-f", "-v", NAME).ok()


# --- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_many_start_at_once_and_none_meets_another(crash: Crash) -> None:
    """On the bridge, each with an address that nobody else has."""
    show = sh("ip -o -4 address show eth0; sleep 3")
    started = [crash.pyc.start("run", "--rm", "--cgroup-parent", PARENT, crash.image, *show) for _ in range(30)]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [err for _, err, code in ended if code] == []
    assert len({out.split()[3] for out, _, _ in ended}) == len(ended)


@pytest.mark.slow
def test_one_after_the_other_they_leave_nothing(crash: Crash) -> None:
    for _ in range(200 if ALL else 10):
        crash("create", "--name", NAME, "--cgroup-parent", PARENT, crash.image, "true").ok()
        crash("start", "-a", NAME).ok()
        crash("rm", NAME).ok()
