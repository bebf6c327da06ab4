"""Attacks from inside a container on what comes in by exec; each is a way out that some engine once had."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainer.engine import capture
from pycontainer.engine.exec import ExecOptions
from pycontainer.engine.options import Roots
from tests.root.test_attacks import digests
from tests.root.test_exec import Box, eventually
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE, missing_command
from tests.support.races import leased

pytestmark = pytest.mark.root

# Looks at every process that appears, as fast as it can, through each of the kernel's links: is there a way to a file
# of the host's, or a descriptor that is none of the container's? What it finds it writes to /found.
WATCHER = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *found;

static void try(const char *path, int flags) {
  int fd = open(path, flags);
  if (fd >= 0) {
    fprintf(found, "opened %s\n", path);
    fflush(found);
    close(fd);
  }
}

int main(int argc, char **argv) {
  char path[4096], link[256];
  found = fopen("/found", "w");
  puts("watching");
  fflush(stdout);
  for (;;)
    for (int pid = 2; pid < 400; pid++) {
      if (pid == getpid())
        continue;
      snprintf(path, sizeof path, "/proc/%d/comm", pid);
      if (access(path, F_OK))
        continue;
      snprintf(path, sizeof path, "/proc/%d/root%s", pid, argv[1]);
      try(path, O_RDONLY);
      snprintf(path, sizeof path, "/proc/%d/cwd/../../../../../..%s", pid, argv[1]);
      try(path, O_RDONLY);
      for (int fd = 3; fd < 24; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d/../../../../../..%s", pid, fd, argv[1]);
        try(path, O_RDONLY);
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        long n = argc > 2 ? -1 : readlink(path, link, sizeof link - 1);
        if (n > 0) {
          link[n] = 0;
          if (strstr(link, "cgroup") || strstr(link, "pidfd") || strstr(link, "socket:"))
            fprintf(found, "seen %s -> %s\n", path, link), fflush(found);
        }
      }
      snprintf(path, sizeof path, "/proc/%d/exe", pid);
      n_exe:
      if (readlink(path, link, sizeof link - 1) > 0 && strstr(link, "pyc-performer"))
        try(path, O_WRONLY);
    }
}
""".replace("      n_exe:\n", "")


TRACES = "--cap-add SYS_PTRACE --cap-add DAC_READ_SEARCH --security-opt seccomp=unconfined"


@pytest.fixture(scope="module")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> str:
    if reason := missing_command("cc"):
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("watcher")
    source, program = directory / "watcher.c", directory / "watcher"
    source.write_text(WATCHER)
    subprocess.run(["cc", "-O2", "-static", "-o", program, source], check=True)
    return str(program)


@pytest.fixture
def box(stocked: Pyc, image: str) -> Iterator[Box]:
    made = Box(stocked, image)
    yield made
    stocked("rm", "-f", made.id)


@pytest.mark.parametrize(
    ("options", "told"),
    [("", ""), ("--userns host", ""), (f"--userns host {TRACES}", "only the host"), (TRACES, "only the host")],
    ids=["ordinary", "without a user namespace", "may trace", "may trace in its own user namespace"],
)
def test_nobody_inside_can_look_through_a_process_that_comes_in(
    stocked: Pyc, image: str, watcher: str, tmp_path: Path, options: str, told: str
) -> None:
    """CVE-2016-9962, CVE-2024-21626, CVE-2019-5736: while it joins, it must show nothing of the host's."""
    canary = tmp_path / "canary"
    canary.write_text("of the host")
    before = digests()
    words = (str(canary), told) if told else (str(canary),)
    box = Box(stocked, image, "-v", f"{watcher}:/watcher:ro", *options.split(), command=("/watcher", *words))
    try:
        for number in range(30):
            assert box("true", options="-t" if number % 3 == 0 else "").code == 0
        assert box("cat", "/found").stdout == ""
    finally:
        stocked("rm", "-f", box.id)
    assert digests() == before


def test_a_replaced_program_overwrites_nothing(box: Box) -> None:
    """CVE-2019-5736: the program to be executed is a script whose interpreter is whoever executes it."""
    before = digests()
    box(*sh("printf '#!/proc/self/exe\\n' > /bin/evil; chmod +x /bin/evil")).ok()
    for _ in range(3):
        assert box("evil").code != 0
        assert box(*sh("exec 3<>/proc/self/exe; echo x >&3")).code != 0
    assert digests() == before


@pytest.mark.parametrize("number", [3, 4, 5, 7, 8, 9, 10, 12, 15, 19])
def test_a_directory_through_proc_self_fd_stays_inside(box: Box, number: int) -> None:
    """CVE-2024-21626, with a descriptor of the host's open in the caller too."""
    leaked = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    argv = box.pyc.argv("exec", "-w", f"/proc/self/fd/{number}", box.id, *sh("pwd; ls ..; ls ../.."))
    done = subprocess.run(argv, env=box.pyc.env(), pass_fds=[leaked], capture_output=True, text=True, timeout=20)
    os.close(leaked)
    assert done.returncode != 0 or "boot" not in done.stdout
    assert "Traceback" not in done.stderr


def test_no_descriptor_of_the_caller_s_gets_in(box: Box) -> None:
    leaked = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    argv = box.pyc.argv("exec", box.id, *sh("ls /proc/$$/fd; true"))
    done = subprocess.run(argv, env=box.pyc.env(), pass_fds=[leaked], capture_output=True, text=True, timeout=20)
    os.close(leaked)
    assert done.stdout.split() == ["0", "1", "2"]


FILES = {
    "a FIFO": "rm /etc/passwd; mkfifo /etc/passwd",
    "a directory": "rm /etc/passwd; mkdir /etc/passwd",
    "huge": "truncate -s 6000000000 /etc/passwd",
    "a link to the host": "rm /etc/passwd; ln -s /proc/1/root/../../../etc/passwd /etc/passwd",
    "a link to a device": "rm /etc/passwd; ln -s /dev/zero /etc/passwd",
    "a loop": "rm /etc/passwd; ln -s passwd /etc/passwd",
    "a link to the kernel's messages": "rm /etc/passwd; ln -s /proc/kmsg /etc/passwd",
}


@pytest.mark.parametrize("made", FILES.values(), ids=FILES)
def test_a_hostile_passwd_is_refused_at_once(box: Box, made: str) -> None:
    box(*sh(f"touch /etc/passwd; {made}")).ok()
    began = time.monotonic()
    done = box("id", options="-u nobody-at-all")
    assert done.code == 126 and "Traceback" not in done.stderr and done.stderr.count("\n") <= 2
    assert time.monotonic() - began < 5 * PATIENCE
    assert box("echo", "in").stdout == "in\n"  # who asks for nobody needs no file


def test_who_leases_its_passwd_keeps_nobody_waiting(box: Box) -> None:
    """Root in there may ask to be told before anybody opens a file of its own: the kernel lets us wait for 45 s."""
    box(*sh("echo me:x:7:7::/: > /etc/passwd")).ok()
    with leased(f"/proc/{box.pid}/root/etc/passwd"):
        began = time.monotonic()
        done = box("id", options="-u me")
    assert done.code == 126 and done.stderr.count("\n") <= 2 and time.monotonic() - began < 5 * PATIENCE


STOPPER = sh("while :; do kill -STOP -1; done")


def test_who_stops_all_that_comes_in_keeps_nobody_waiting(
    stocked: Pyc, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to wait for a start that does not come to its end: neither a person, nor a program with a timeout."""
    box = Box(stocked, image, "--userns", "host", command=STOPPER)
    monkeypatch.setattr(capture, "GRACE", 0.5)
    roots = Roots(stocked.root, stocked.runroot)
    late = [capture.capture(roots, box.id, ExecOptions(("true",)), lambda *_: None, timeout=0.1).late for _ in "three"]
    assert any(late)
    any(_ends_when_asked(box) for _ in range(3))  # on a busy machine who stops all is not quick enough each time
    stocked("rm", "-f", box.id).ok()


def test_who_can_not_die_keeps_no_program_waiting(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is frozen by cgroup v1 does not even die of SIGKILL, until somebody thaws it."""
    monkeypatch.setattr(capture, "GRACE", 0.5)
    freezes: list[int] = []
    ended = capture.capture(
        Roots(box.pyc.root, box.pyc.runroot),
        box.id,
        ExecOptions(("sh", "-c", "echo begun; sleep 998")),
        lambda *_: freezes.append(box.pyc("pause", box.id).code),
        timeout=2 * PATIENCE,
    )
    assert freezes == [0] and ended == capture.Captured(128 + signal.SIGKILL, late=True)
    box.pyc("unpause", box.id).ok()
    assert eventually(lambda: not box.runs("sleep 998"))


def _ends_when_asked(box: Box) -> bool:
    """Whether an ``exec`` could be stopped before its program began: then it must end at SIGTERM."""
    asked = subprocess.Popen(box.pyc.argv("exec", box.id, "sleep", "1000"), env=box.pyc.env())
    assert eventually(box.watchers)
    time.sleep(0.3)
    asked.terminate()
    try:
        code = asked.wait(5 * PATIENCE)
    except subprocess.TimeoutExpired:
        asked.kill()
        asked.wait()
        told = box.pyc("events", "--since", "1h", "--until", "0s", "--filter", f"container={box.id}").ok()
        assert "exec_start: sleep 1000" in told.stdout
        return False
    assert code in (128 + signal.SIGTERM, 128 + signal.SIGKILL)
    return eventually(lambda: len(box.watchers()) == 0)


def test_a_container_that_was_started_in_a_chroot_is_entered_by_its_own_root(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    """What is first in its mount namespace is the host's root: in there, only the chroot's could be pivoted."""
    (tmp_path / "canary").touch()
    (tmp_path / "root").mkdir()
    script = f'mount --make-rprivate / && mount --rbind / {tmp_path}/root && exec chroot {tmp_path}/root "$@"'

    def apart(*words: str) -> subprocess.CompletedProcess[str]:
        argv = ["unshare", "-m", "sh", "-c", script, "sh", *stocked.argv(*words)]
        return subprocess.run(argv, env=stocked.env(), capture_output=True, text=True, timeout=30)

    name = apart("run", "-d", image, "sleep", "60").stdout.strip()
    try:
        for words in (("ls", str(tmp_path)), ("ls", "/boot"), ("ls", "/.dockerenv")):
            assert "No such file" in apart("exec", name, *words).stderr
        assert "linuxrc" in apart("exec", name, "ls", "/").stdout
        assert stocked("exec", name, "ls", "/boot").code == 1  # nor by somebody outside of the chroot
    finally:
        stocked("rm", "-f", name)


def test_who_a_user_is_can_not_be_widened(box: Box) -> None:
    """CVE-2016-3697, CVE-2024-40635: a number is a number, and no line of the file makes it another one."""
    lines = "1000:x:0:0::/:/bin/sh\nbob:x:4294967296:0::/:/bin/sh\neve:x:-1:0::/:/bin/sh\n"
    box(*sh(f"printf '{lines}' > /etc/passwd")).ok()
    assert box("id", "-u", options="-u 1000").stdout == "1000\n"
    for name in ("bob", "eve"):
        assert box("id", "-u", options=f"-u {name}").code == 126


def test_capabilities_are_exactly_the_container_s(stocked: Pyc, image: str) -> None:
    """CVE-2022-29162 and its family: inheritable and ambient sets are empty, whoever it runs as."""
    box = Box(stocked, image, "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE")
    shown = ("grep", "Cap", "/proc/self/status")
    mask = f"{1 << 10:016x}"
    as_root = [line.split()[1] for line in box(*shown).ok().lines]
    as_user = [line.split()[1] for line in box(*shown, options="-u 1000").ok().lines]
    assert as_root == ["0" * 16, mask, mask, mask, "0" * 16]
    assert as_user == ["0" * 16, "0" * 16, "0" * 16, mask, "0" * 16]
    assert "Seccomp:\t2" in box("grep", "Seccomp:", "/proc/self/status").stdout
    assert box(*sh("unshare -m true")).code != 0


def test_devices_of_its_own_making_are_no_trap(stocked: Pyc, image: str) -> None:
    box = Box(stocked, image, "--userns", "host")  # in a user namespace devices are bound, and can't be removed
    box(*sh("rm /dev/null; ln -s /etc/passwd /dev/null")).ok()
    assert box("cat").stdout == ""  # nothing to read, and nothing opened behind the link
    box(*sh("rm /dev/null; mkdir /dev/null")).ok()
    assert box("cat").code == 0
    box(*sh("rm -r /dev/null; mkfifo /dev/null")).ok()
    assert box("true").code == 0
    with box.pyc.terminal("exec", "-t", box.id, "tty") as terminal:
        terminal.expect("/dev/pts/")


def test_a_terminal_is_not_taken_from_what_it_has_mounted_instead(stocked: Pyc, image: str) -> None:
    box = Box(stocked, image, "--privileged")
    box(*sh("mkdir /x; ln -s /dev/tty /x/ptmx; mount --bind /x /dev/pts")).ok()
    done = box("true", options="-t")
    assert done.code != 0 and "Traceback" not in done.stderr


def test_the_caller_s_terminal_can_not_be_reached(box: Box) -> None:
    """CVE-2017-5226: what it types there the caller's shell would execute."""
    script = "(echo x > /dev/tty) 2>/dev/null && echo REACHED; echo over"
    with box.pyc.terminal("exec", "-i", box.id, *sh(script)) as terminal:
        assert "REACHED" not in terminal.expect(r"[\s\S]*over")


def test_a_container_whose_monitor_was_killed_is_not_entered(box: Box) -> None:
    with open(f"/proc/{box.pid}/stat") as file:
        os.kill(int(file.read().rpartition(") ")[2].split()[1]), signal.SIGKILL)
    done = box("true")
    assert done.code == 1 and "is not running" in done.stderr
