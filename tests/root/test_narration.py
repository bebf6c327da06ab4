"""Narration coverage 100 %, inventions 0: strace is the referee over what ``pyc run --explain=json`` says it did."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from typing import Any

import pytest

from tests.support import narration, strace
from tests.support.cli import Pyc
from tests.support.host import cgroup_version, missing_command

pytestmark = pytest.mark.root

BARS = "--rm -v {scratch}:/data:ro --tmpfs /cache:size=1m --memory 64m --pids-limit 50 --user 1000:1000"
RUNS = {
    "bind, tmpfs, limits and a user": BARS,
    "nothing asked for": "--rm",
    "an init": "--rm --init --hostname box --domainname lan --read-only",
    "a terminal": "--rm -t --sysctl net.ipv4.ip_forward=1 --group-add 27 --cap-drop ALL --workdir /new/place",
    "hardly any wall": "--rm --privileged --network host --pid host --uts host --cgroupns host",
    "weak promises": "--rm --security-opt no-new-privileges=false --cap-add SYS_PTRACE --cpus 0.5 --shm-size 1m",
    "a device": "--rm --device /dev/null:/dev/nothing:r --ulimit nofile=100:200 --oom-score-adj 100",
}
# A narration without one of these would agree with a trace that misses it too.
KINDS = """
clone execveat mkdirat openat write close clone3 pidfd_open prctl umask read unshare mount chdir fsopen fsconfig fsmount
move_mount openat2 mknodat symlinkat setsid dup3 fchdir pivot_root umount2 open_tree mount_setattr sethostname socket
ioctl prlimit64 keyctl setgroups setresgid setresuid capset close_range seccomp execve
"""


def explained(pyc: Pyc, directory: str, *arguments: str) -> tuple[list[dict[str, Any]], dict[int, list[strace.Seen]]]:
    """Run ``pyc run --explain=json:FILE ARGUMENTS`` under strace."""
    if reason := missing_command("strace"):
        pytest.skip(reason)
    told = os.path.join(directory, "told.json")
    argv = pyc.argv("run", f"--explain=json:{told}", *arguments)
    done, seen = strace.trace(argv, directory, names=narration.NAMES, env=pyc.env())
    assert done.returncode == 0, done.stderr.decode()
    return narration.read(told), seen


def root_of(seen: dict[int, list[strace.Seen]]) -> int:
    """The process that strace started."""
    return next(pid for pid, calls in seen.items() if calls and calls[0].name == "execve")


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_what_is_told_is_what_strace_saw(stocked: Pyc, image: str, tmp_path: Any, options: str) -> None:
    arguments = (*options.format(scratch=stocked.scratch).split(), image, "true")
    stocked("run", *arguments).ok()  # so that the filter is compiled: libseccomp asks the kernel what it can do
    told, seen = explained(stocked, str(tmp_path), *arguments)
    verdict = narration.compare(seen, told, root_of(seen))
    assert not verdict.difference, verdict.difference
    assert (verdict.missing, verdict.invented) == ([], [])
    assert verdict.matched > 150


def test_the_bars_of_coverage_are_about_every_kind_of_call(stocked: Pyc, image: str, tmp_path: Any) -> None:
    told, _ = explained(stocked, str(tmp_path), *BARS.format(scratch=stocked.scratch).split(), image, "true")
    missing = set(KINDS.split()) - {line["call"] for line in told}
    assert missing <= ({"clone"} if cgroup_version() == 2 else set())  # there, clone3 starts the performer too


def told_by(pyc: Pyc, image: str, directory: str, *options: str) -> list[dict[str, Any]]:
    pyc("run", "--rm", f"--explain=json:{directory}/told.json", *options, image, "true").ok()
    return narration.read(f"{directory}/told.json")


def test_every_step_has_a_reason_and_a_manual_page(stocked: Pyc, image: str, tmp_path: Any) -> None:
    for line in told_by(stocked, image, str(tmp_path), "-v", f"{stocked.scratch}:/data", "--memory", "64m"):
        assert len(line["why"]) > 20 and re.fullmatch(r"[\w-]+\(\d\w*\)", line["read"]), line["title"]
        assert re.fullmatch(r"\w+\(2\)|core/\w+\.c", line["man"])


def test_most_steps_have_a_proof_and_most_proofs_show_a_change(stocked: Pyc, image: str, tmp_path: Any) -> None:
    told = told_by(stocked, image, str(tmp_path), "--memory", "64m", "--user", "1000")
    steps = {line["step"] for line in told}
    proofs = [line["proof"] for line in told if "proof" in line]
    changed = [proof for proof in proofs if proof["before"] != proof["after"]]
    assert len(proofs) > 0.55 * len(steps)
    assert len(changed) > 0.7 * len(proofs)


def test_times_are_measured(stocked: Pyc, image: str, tmp_path: Any) -> None:
    told = told_by(stocked, image, str(tmp_path))
    assert sum(line["ns"] for line in told if line["call"] != "supervise") > 100_000


def test_the_narration_is_finished_before_the_program_speaks(stocked: Pyc, image: str) -> None:
    argv = stocked.argv("run", "--rm", "--explain", image, "echo", "from the program")
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=stocked.env(), timeout=60)
    text = done.stdout.decode()
    assert text.index("Become the program") < text.index("What follows is its own.") < text.index("from the program\n")
    assert text.rstrip().endswith("from the program")


def test_an_explained_run_has_the_program_s_exit_code(stocked: Pyc, image: str) -> None:
    assert stocked("run", "--rm", "--explain", image, "sh", "-c", "exit 7").code == 7


def test_a_failed_step_is_told_with_its_error(stocked: Pyc, image: str, tmp_path: Any) -> None:
    result = stocked("run", "--rm", f"--explain=json:{tmp_path}/told.json", image, "no-such-program")
    assert result.code == 127
    last = [line for line in narration.read(f"{tmp_path}/told.json") if line["call"] == "execve"][-1]
    assert (last["error"], last["tolerated"], last["title"]) == ("ENOENT", False, "Become the program")


def test_a_dry_run_needs_no_root_and_leaves_nothing(stocked: Pyc, image: str) -> None:
    argv = stocked.argv("run", "--dry-run", "--memory", "64m", "--network", "bridge", image, "true")
    before = os.listdir(stocked.root)
    done = subprocess.run(argv, capture_output=True, env=stocked.env(), timeout=60, user=65534, group=65534)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    assert 'pivot_root(".", ".")' in text and "Start the performer   [pyc]" in text
    assert "Plug it into the bridge   [monitor]" in text
    assert os.listdir(stocked.root) == before


def test_stepping_waits_for_enter_and_q_undoes(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "--rm", "--step", image, "true") as terminal:
        terminal.expect("q: stop and undo > ")
        while "[init " not in terminal.screen:
            terminal.send("\n")
            terminal.expect("q: stop and undo > ")
        pid = int(re.findall(r"\[init (\d+)\]", terminal.screen)[-1])
        assert os.path.exists(f"/proc/{pid}")
        terminal.send("q\n")
        assert terminal.wait() == 130
    deadline = time.monotonic() + 5  # the kernel kills init when the monitor dies
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert os.listdir(f"{stocked.root}/containers") == []


def test_stepping_to_the_end_runs_the_program(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "--rm", "--step", image, "echo", "done") as terminal:
        terminal.expect("q: stop and undo > ")
        terminal.send("\n")
        terminal.expect("q: stop and undo > ")
        terminal.send("c\n")
        terminal.expect("^done")
        assert terminal.wait() == 0


def test_the_suggested_commands_work(stocked: Pyc, image: str) -> None:
    with stocked.terminal("run", "--rm", "--step", image, "true") as terminal:
        while True:
            text = terminal.expect(r"(?s).*?(q: stop and undo > |What follows is its own)")
            if "What follows" in text:
                break
            for command in re.findall(r"^ {8}((?:ls|cat|grep|findmnt|readlink|ps|wc) .*)$", text, re.MULTILINE):
                done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=10)
                missing = b"No such file" in done.stderr and "/sys/fs/cgroup/" in command  # the step makes it
                assert done.returncode in (0, 1) or missing, (command, done.stderr)
            terminal.send("\n")
        assert terminal.wait() == 0


def test_a_pull_is_narrated_in_words_and_in_json(pyc: Pyc, registry: Any, tmp_path: Any) -> None:
    name = registry.publish("busybox")
    told = pyc("pull", "--explain", name).ok().stderr
    assert "Verify the blobs" in told and "Name the image" in told and "sha256:" in told
    pyc("rmi", name).ok()
    pyc("run", "--rm", f"--explain=json:{tmp_path}/told.json", name, "true").ok()
    with open(f"{tmp_path}/told.json") as file:
        kinds = [json.loads(line).get("pull") for line in file]
    assert kinds[0] == "request" and {"manifest", "config", "verified", "unpacked", "image"} <= set(kinds)
