"""What a user can get wrong: one clear line, docker's exit code, nothing left behind, never a traceback."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.root.conftest import Run
from tests.support.cli import Pyc, Result, sh
from tests.support.interrupts import loading

pytestmark = pytest.mark.root


def says(result: Result, code: int, *words: str) -> None:
    assert result.code == code, result.stderr
    assert "Traceback" not in result.stderr
    assert any(line.startswith("pyc: ") for line in result.stderr.splitlines()), result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def clean(stocked: Pyc) -> None:
    for directory in (f"{stocked.root}/containers", f"{stocked.root}/names", f"{stocked.runroot}/containers"):
        assert not os.path.exists(directory) or os.listdir(directory) == []


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_command_that_is_not_there(run: Run) -> None:
    says(run(command=("nope",)), 127, "nope", "executable file not found in $PATH")
    says(run(command=("/no/such",)), 127, "/no/such", "no such file or directory")


def test_a_command_that_can_not_be_executed(run: Run, tmp_path: Path) -> None:
    says(run(command=("/etc/passwd",)), 126, "/etc/passwd", "permission denied", "not marked executable")
    says(run(command=("/etc",)), 126, "is a directory")
    for name, content, words in (
        ("script", b"#!/no/interpreter\n", ("no such file or directory",)),
        ("foreign", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(100), ("exec format error",)),
        ("text", b"neither\n", ("exec format error",)),
    ):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
        result = run("-v", f"{tmp_path}:/b", command=(f"/b/{name}",))
        says(result, 127 if name == "script" else 126, *words)


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--user", "nobodyhere"], ["nobodyhere"]),
        (["--user", "4294967296"], ["4294967296"]),
        (["--user", "-1"], ["-1"]),
        (["--group-add", "nogrouphere"], ["nogrouphere"]),
        (["-w", "relative"], ["relative"]),
        (["-w", "/etc/passwd"], ["passwd", "not a directory"]),
        (["-v", "/proc/no/such:/x"], ["/proc/no/such", "can't make"]),
        (["--mount", "type=bind,src=/no/such,dst=/x"], ["/no/such", "does not exist"]),
        (["--mount", "type=bind,dst=/x"], ["source"]),
        (["-v", "/etc:relative"], ["relative"]),
        (["-v", "/etc:/x:nonsense"], ["nonsense"]),
        (["--memory", "1k"], ["memory"]),
        (["--memory", "lots"], ["lots"]),
        (["--cpus", "-2"], ["cpus"]),
        (["--cpuset-cpus", "0-9999999"], ["cpuset"]),
        (["--pids-limit", "many"], ["pids-limit"]),
        (["--ulimit", "nofile"], ["nofile"]),
        (["--ulimit", "nofile=9:4"], ["nofile"]),
        (["--cap-add", "FLY"], ["FLY"]),
        (["--device", "/dev/nothing"], ["/dev/nothing"]),
        (["--device", "/etc/passwd"], ["/etc/passwd"]),
        (["--name", "bad/name"], ["bad/name"]),
        (["--network", "nowhere"], ["network"]),
        (["--restart", "always"], ["--restart", "--rm"]),
        (["--restart", "perhaps"], ["perhaps"]),
        (["--publish", "nonsense"], ["nonsense"]),
        (["--security-opt", "nonsense"], ["nonsense"]),
        (["--security-opt", "seccomp=/no/such"], ["/no/such"]),
        (["--pull", "perhaps"], ["perhaps"]),
        (["--platform", "plan9/amd64"], ["plan9"]),
        (["--no-such-flag"], ["no-such-flag"]),
        (["--explain=json:/no/such/dir/x"], ["/no/such/dir"]),
        (["--sysctl", "net.ipv4.nope=1"], ["because  its namespaces have no kernel parameter net/ipv4/nope"]),
        (["--sysctl", "net.ipv4.ip_forward=junk"], ["because  net/ipv4/ip_forward does not take the value 'junk'"]),
        (["--sysctl", "net.ipv4.ip_forward"], ["net.ipv4.ip_forward", "must be name=value"]),
        (["--sysctl", "net.ipv4.ip_forward="], ["net.ipv4.ip_forward", "must be name=value"]),
        (["--add-host", "foo"], ["must be NAME:ADDRESS"]),
        (["-v", "/x:y:z"], ["the container's path, 'y': must be an absolute path"]),
        (["-v", "n:/x"], ["at least two characters"]),
        (["--network", "n"], ["at least two characters"]),
    ],
)
def test_options(run: Run, stocked: Pyc, options: list[str], words: list[str]) -> None:
    says(run(*options), 125, *words)
    clean(stocked)


@pytest.mark.parametrize("options", [["--oom-score-adj", "-500"], ["--ulimit", "nofile=100000000"]])
def test_who_may_not_go_beyond_limits_is_told_what_is_missing(stocked: Pyc, image: str, options: list[str]) -> None:
    argv = ["setpriv", "--bounding-set", "-sys_resource", *stocked.argv("run", "--rm", *options, image, "true")]
    done = subprocess.run(argv, env=stocked.env(), capture_output=True, text=True)
    says(Result(tuple(argv), done.returncode, "", done.stderr), 125, "because  this process does not have CAP_SYS_RES")


def test_a_missing_image_name(stocked: Pyc) -> None:
    assert stocked("run").code == 125
    says(stocked("run", "--rm", "Upper"), 125, "lower case")
    says(stocked("run", "--rm", "--pull", "never", "nothere"), 125, "nothere")


def test_without_root(stocked: Pyc, image: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *stocked.argv("run", "--rm", image, "true")],
        env=stocked.env(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 125
    assert "root" in done.stderr
    assert "Traceback" not in done.stderr


CHROOT = """
    mount -t tmpfs x $0 && mkdir $0/root && cd $0/root
    for name in /*; do
        if [ -L $name ]; then cp -P $name .; elif [ -d $name ]; then mkdir .$name && mount --rbind $name .$name; fi
    done
    %s exec chroot . "$@"
"""


def in_a_chroot(stocked: Pyc, where: Path, *words: str, first: str = "") -> Result:
    argv = ["unshare", "-m", "sh", "-c", CHROOT % first, str(where), *words]
    done = subprocess.run(argv, env=stocked.env(), capture_output=True, text=True)
    return Result(tuple(words), done.returncode, done.stdout, done.stderr)


def apart(stocked: Pyc) -> Pyc:
    """With a live state of its own: what it notes of the chroot is not so for others."""
    return replace(stocked, runroot=stocked.runroot + "-chroot")


def test_a_chroot_to_a_plain_directory_says_so(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """Its / is no mount, so that what spreads from it can't be stopped."""
    done = in_a_chroot(stocked, tmp_path, *apart(stocked).argv("run", "--rm", image, "true"))
    says(done, 125, "is a plain directory (a chroot)")


def test_who_enters_a_container_of_a_chroot_is_not_outside(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """Joining its mount namespace leads to that one's root, which must not be the host's."""
    pyc = " ".join(apart(stocked).argv())
    look = f"{pyc} run -d --name box {image} sleep 60 && {pyc} exec box ls {tmp_path} /etc/os-release; {pyc} rm -f box"
    done = in_a_chroot(stocked, tmp_path, "sh", "-c", look, first="mount --rbind . . && cd $PWD;")
    assert done.code == 0 and "box" in done.lines, done
    assert "No such file" in done.stderr and str(tmp_path) in done.stderr, done
    assert "no user namespace of its own" in done.stderr  # the kernel makes none in a chroot


def test_a_root_on_a_full_disk(stocked: Pyc, image: str, tmp_path: Path) -> None:
    """The upper directory fills: the program sees ENOSPC, and the container is removed all the same."""
    script = """
        mount -t tmpfs -o size=$(($(du -sk $1 | cut -f1) + 4096))k x $0 && cp -a $1/. $0/ && shift 1
        dd if=/dev/zero of=$0/fill bs=64k 2>/dev/null
        "$@"; echo code $?
        rm $0/fill
        "$@"; echo code $?
    """
    target = tmp_path / "full"
    target.mkdir()
    argv = [*Pyc(str(target), stocked.runroot, stocked.scratch).argv("run", "--rm", image, *sh("echo up"))]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, str(target), stocked.root, *argv],
        env=stocked.env(),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "code 125" in done.stdout, done.stdout + done.stderr
    assert "o space left on device" in done.stderr
    assert done.stdout.endswith("up\ncode 0\n"), done.stdout + done.stderr


# --- interruption ---------------------------------------------------------------------------------------------------


def interrupt(stocked: Pyc, image: str, after: float, number: signal.Signals) -> int:
    process = stocked.start("run", "--rm", "--init", image, "sleep", "60", stderr=subprocess.PIPE)
    time.sleep(after)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=3)
    except subprocess.TimeoutExpired:
        process.send_signal(number)  # the first came between two worlds: a user presses again
        _, err = process.communicate(timeout=20)
    assert b"Traceback" not in err or loading(err), err
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment_nothing_is_left(stocked: Pyc, image: str, number: signal.Signals) -> None:
    chance = random.Random(number)
    codes = {interrupt(stocked, image, chance.uniform(0, 0.25), number) for _ in range(100)}
    assert codes <= {128 + number, -number, 130, 1}, codes  # 1 is the interpreter's own, while it loads
    stocked("run", "--rm", image, "true").ok()
    clean(stocked)


def test_control_c_at_any_moment_leaves_the_terminal_sane(stocked: Pyc, image: str) -> None:
    chance = random.Random(7)
    for _ in range(30):
        with stocked.terminal("run", "--rm", "-it", image, "sh", "-c", "sleep 0.05") as terminal:
            settings = terminal.attributes()
            time.sleep(chance.uniform(0, 0.2))
            terminal.send("\x03")
            terminal.wait(20)
            assert terminal.attributes() == settings
    stocked("run", "--rm", image, "true").ok()
    clean(stocked)


def test_killed_at_any_moment_the_next_command_clears_up(stocked: Pyc, image: str) -> None:
    chance = random.Random(3)
    for _ in range(40):
        process = stocked.start("run", "--rm", image, "sleep", "0.05")
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.communicate(timeout=20)
    deadline = time.monotonic() + 5
    while True:
        stocked("run", "--rm", image, "true").ok()
        left = os.listdir(f"{stocked.runroot}/containers")
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    clean(stocked)
