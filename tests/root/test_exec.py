"""``pyc exec``: one more process in a container that runs, as docker's exec has it."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from pycontainer import cgroups
from tests.root.test_life import monitor_of
from tests.support import narration, strace
from tests.support.cli import Pyc, Result, sh
from tests.support.host import PATIENCE, missing_command
from tests.support.terminal import CTRL_C, CTRL_P, CTRL_Q

pytestmark = pytest.mark.root


class Box:
    """A container that sleeps, and ``pyc exec`` into it."""

    def __init__(self, pyc: Pyc, image: str, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> None:
        self.pyc, self.id = pyc, pyc("run", "-d", *options, image, *command).ok().stdout.strip()
        self.name = self.inspect("{{.Name}}").removeprefix("/")

    def __call__(self, *words: str, options: str = "", stdin: str | bytes = b"") -> Result:
        return self.pyc("exec", *options.split(), self.id, *words, stdin=stdin)

    def inspect(self, template: str) -> str:
        return self.pyc("inspect", "-f", template, self.id).ok().stdout.strip()

    def runs(self, words: str) -> bool:
        """Whether a process with these words in its command line is in the container."""
        return bool(self(*sh(f"ps | grep -v grep | grep '{words}'")).stdout)

    def watchers(self) -> list[int]:
        """The monitors of processes that were put in here, by the name they have in ps(1)."""
        found, name = [], f"pyc-monitor\0{self.name} exec\0"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as file:
                if file.read() == name:
                    found.append(int(pid))
        return found

    @property
    def pid(self) -> int:
        return int(self.inspect("{{.State.Pid}}"))


@pytest.fixture
def box(stocked: Pyc, image: str) -> Iterator[Box]:
    made = Box(stocked, image, "-e", "MINE=1")
    yield made
    stocked("rm", "-f", made.id)


def eventually(holds: object, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


# --- what it runs, and how that ends ------------------------------------------------------------------------------


def test_output_and_exit_code_are_the_command_s(box: Box) -> None:
    done = box(*sh("echo out; echo err >&2; exit 7"))
    assert (done.stdout, done.stderr, done.code) == ("out\n", "err\n", 7)
    assert box(*sh("kill -9 $$")).code == 137
    assert box(*sh("kill -TERM $$")).code == 143


def test_the_docker_words_for_what_can_not_be_executed(box: Box) -> None:
    missing = box("no-such-program")
    assert missing.code == 127 and 'exec: "no-such-program": executable file not found in $PATH' in missing.stderr
    absolute = box("/no/such/program")
    assert absolute.code == 127 and "no such file or directory" in absolute.stderr
    plain = box("/etc/passwd")
    assert plain.code == 126 and "permission denied" in plain.stderr and "not marked executable" in plain.stderr
    assert box("/etc").code == 126


def test_a_script_of_the_container_s_own_is_diagnosed(box: Box) -> None:
    box(*sh("printf '#!/no/bash\\n' > /run.sh; chmod +x /run.sh")).ok()
    done = box("/run.sh")
    assert done.code == 127 and "its interpreter /no/bash does not" in done.stderr


def test_stdin_is_read_only_when_asked_for(box: Box) -> None:
    assert box("cat", options="-i", stdin="hello").stdout == "hello"
    assert box("cat", stdin="hello").stdout == ""
    big = os.urandom(3 << 20)
    assert box("wc", "-c", options="-i", stdin=big).stdout.strip() == str(3 << 20)


def test_all_output_arrives(box: Box) -> None:
    assert len(box("head", "-c", "5000000", "/dev/zero").stdout) == 5_000_000


# --- who and where it is ------------------------------------------------------------------------------------------


def test_what_is_not_asked_for_is_the_container_s(stocked: Pyc, image: str) -> None:
    box = Box(stocked, image, *"-u 1000:1000 -w /var -e A=1 --group-add 27 --cap-drop ALL".split())
    done = box(*sh("id; pwd; echo $A; echo $HOME; grep -E 'Cap|NoNewPrivs|Seccomp:|open files' /proc/self/status"))
    first = stocked("exec", box.id, *sh("grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/1/status"))
    assert done.lines[:3] == ["uid=1000 gid=1000 groups=27,1000", "/var", "1"]
    assert done.lines[4:] == first.lines


def test_user_directory_and_environment_can_be_others(box: Box) -> None:
    box(*sh("echo bob:x:1234:1235::/home/bob:/bin/sh >> /etc/passwd; echo crew:x:77:bob >> /etc/group")).ok()
    done = box(*sh("id -u; id -g; id -G; pwd; echo $HOME $MINE $NEW"), options="-u bob -w /tmp -e NEW=2")
    assert done.lines == ["1234", "1235", "1235 77", "/tmp", "/home/bob 1 2"]


@pytest.mark.parametrize(
    ("user", "ids"),
    [("1", "1 1"), ("1:2", "1 2"), ("0", "0 0"), ("7777", "7777 0"), ("daemon", "1 1"), ("daemon:0", "1 0")],
)
def test_users(box: Box, user: str, ids: str) -> None:
    box(*sh("grep -q ^daemon /etc/passwd || echo daemon:x:1:1::/:/bin/sh >> /etc/passwd")).ok()
    assert box(*sh("echo $(id -u) $(id -g)"), options=f"-u {user}").stdout.strip() == ids


@pytest.mark.parametrize("user", [":5", "nobody-here", "4294967296", "-1", "a:b:c"])
def test_users_that_there_are_not(box: Box, user: str) -> None:
    assert box("id", options=f"-u={user}").code in (125, 126)


def test_variables_of_a_file_and_variables_taken_away(box: Box, tmp_path: object) -> None:
    with open(f"{tmp_path}/vars", "w") as file:
        file.write("# comment\nFILED=x y\nMINE=2\n")
    done = box(*sh("echo $FILED/$MINE/$GONE"), options=f"--env-file {tmp_path}/vars -e MINE=3")
    assert done.stdout == "x y/3/\n"
    assert box(*sh("echo [$MINE]"), options="-e MINE").stdout == "[]\n"


def test_a_directory_that_is_not_there(box: Box) -> None:
    done = box("pwd", options="-w /no/where")
    assert done.code == 127 and "working directory /no/where" in done.stderr
    assert "no such file" in box("ls", "/no").stderr.lower()  # and it was not made
    assert box("pwd", options="-w relative").code == 125


def test_privileged_gives_all_capabilities(box: Box) -> None:
    with open("/proc/self/status") as file:
        mine = re.search(r"CapBnd:\s*(\w+)", file.read())
    done = box(*sh("grep CapEff /proc/self/status"), options="--privileged")
    assert mine and done.stdout.split()[1] == mine[1]
    assert box(*sh("grep CapEff /proc/self/status")).stdout.split()[1] != mine[1]


# --- terminals ----------------------------------------------------------------------------------------------------


def test_a_terminal_of_the_container_s_own_devpts(box: Box) -> None:
    with box.pyc.terminal("exec", "-it", box.id, "sh", rows=33, columns=77) as terminal:
        terminal.send("tty; stty size\n")
        terminal.expect("/dev/pts/0")
        terminal.expect("33 77")
        terminal.resize(20, 40)
        time.sleep(0.2)
        terminal.send("stty size; echo $TERM; ls -l /dev/pts/\n")
        terminal.expect("20 40")
        terminal.expect("xterm")
        terminal.send("exit 3\n")
        assert terminal.wait() == 3


@pytest.mark.parametrize("user", ["0", "1000:7"])
def test_the_terminal_is_the_user_s_own(box: Box, user: str) -> None:
    """To open it once more by its name one must own it, or be root of a user namespace that knows its owner."""
    shown = box(*sh('echo opened > $(tty); stat -c %u "$(tty)"'), options=f"-t -u {user}")
    assert shown.ok().stdout.split() == ["opened", user.partition(":")[0]]


def test_ctrl_c_reaches_the_program_in_the_terminal(box: Box) -> None:
    with box.pyc.terminal("exec", "-it", box.id, "sh", "-c", "trap 'echo got it; exit 9' INT; echo up; sleep 100 & wait"
    ) as terminal:  # fmt: skip
        terminal.expect("up")
        terminal.send(CTRL_C)
        terminal.expect("got it")
        assert terminal.wait() == 9


def test_the_detach_keys_leave_it_running(box: Box) -> None:
    with box.pyc.terminal("exec", "-it", box.id, "sh", "-c", "echo up; sleep 777") as terminal:
        terminal.expect("up")
        terminal.send(CTRL_P + CTRL_Q)
        assert terminal.wait() == 0
    assert box.runs("sleep 777")


# --- signals, and clients that go away ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_are_passed_on(box: Box, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    client = box.pyc.start(
        "exec", box.id, *sh(f"trap 'echo {name}; exit 5' {name}; echo up; while :; do sleep 0.05; done")
    )
    assert client.stdout and client.stdout.readline() == b"up\n"
    client.send_signal(number)
    out, _ = client.communicate(timeout=10)
    assert (out, client.returncode) == (f"{name}\n".encode(), 5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_it_goes_on_without_its_client(box: Box, number: signal.Signals) -> None:
    client = box.pyc.start("exec", box.id, *sh("echo up; sleep 0.5; echo still here; echo done > /done"))
    assert client.stdout and client.stdout.readline() == b"up\n"
    client.send_signal(number)
    client.communicate(timeout=10)
    assert eventually(lambda: box("cat", "/done").stdout == "done\n")
    assert eventually(lambda: not box.watchers())


def test_detached_it_prints_nothing_and_runs_on(box: Box) -> None:
    done = box(*sh("echo lost; sleep 0.3; echo x > /later"), options="-d")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert eventually(lambda: box("cat", "/later").stdout == "x\n")
    assert box("no-such-program", options="-d").code == 127
    assert eventually(lambda: not box.watchers())


def test_it_ends_with_its_container(box: Box) -> None:
    client = box.pyc.start("exec", box.id, *sh("echo up; sleep 1000"))
    assert client.stdout and client.stdout.readline() == b"up\n"
    box.pyc("kill", box.id).ok()
    client.communicate(timeout=10)
    assert client.returncode == 137
    assert eventually(lambda: not box.watchers())


def test_a_killed_watcher_takes_the_process_along(box: Box) -> None:
    client = box.pyc.start("exec", box.id, *sh("echo up; sleep 888"))
    assert client.stdout and client.stdout.readline() == b"up\n"
    (watcher,) = box.watchers()
    os.kill(watcher, signal.SIGKILL)
    client.communicate(timeout=10)
    assert client.returncode == 137
    assert eventually(lambda: not box.runs("sleep 888"))


# --- containers that can't be entered -------------------------------------------------------------------------------


def test_the_docker_words_for_containers_that_do_not_run(box: Box) -> None:
    assert "no such container: absent" in box.pyc("exec", "absent", "true").stderr
    box.pyc("pause", box.id).ok()
    paused = box("true")
    assert paused.code == 1 and "is paused, unpause the container before exec" in paused.stderr
    box.pyc("unpause", box.id).ok()
    box.pyc("kill", box.id).ok()
    stopped = box("true")
    assert stopped.code == 1 and "is not running" in stopped.stderr
    assert stopped.stderr.count("\n") == 2 and "Traceback" not in stopped.stderr


def test_flags_that_make_no_sense(box: Box) -> None:
    for words in ((), (box.id,), ("--nope", box.id, "true"), ("-e", "", box.id, "true"), ("-w", "x", box.id, "true")):
        done = box.pyc("exec", *words)
        assert done.code == 125 and "Traceback" not in done.stderr, words


def cgroups_of(box: Box) -> list[str]:
    return glob.glob(f"/sys/fs/cgroup/pyc/{box.id}") + glob.glob(f"/sys/fs/cgroup/*/pyc/{box.id}")


def test_entering_while_it_is_killed_is_clean(stocked: Pyc, image: str) -> None:
    """Whatever the moment: it was entered, or "is not running", and nothing is left of either."""
    for delay in range(0, 40, 4):
        box = Box(stocked, image, "--rm")
        client = stocked.start("exec", box.id, "true")
        time.sleep(delay / 1000)
        killer = stocked.start("kill", box.id)
        _, said = client.communicate(timeout=20)
        killer.communicate(timeout=20)
        assert client.returncode in (0, 137) or re.search(rb"is not running|no such container", said), said
        assert eventually(lambda made=box: not cgroups_of(made))


def test_an_end_that_is_not_recorded_yet_is_told_as_one(stocked: Pyc, box: Box) -> None:
    """The monitor has removed the cgroup, and not come to its record."""
    pid, monitor = box.pid, monitor_of(box.pid)
    with subprocess.Popen(
        stocked.argv("exec", box.id, "true"), env=stocked.env(PYC_FP="exec.planned:pause"), stderr=subprocess.PIPE
    ) as client:
        os.waitid(os.P_PID, client.pid, os.WSTOPPED | os.WNOWAIT)
        os.kill(monitor, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: not [path for path in cgroups_of(box) if not is_removed(path)])
            os.kill(client.pid, signal.SIGCONT)
            _, said = client.communicate(timeout=20)
        finally:
            os.kill(monitor, signal.SIGCONT)
    assert client.returncode == 1 and b"is not running" in said, said


def is_removed(cgroup: str) -> bool:
    with contextlib.suppress(OSError):  # the kernel has not done with who was in there
        os.rmdir(cgroup)
    return not os.path.exists(cgroup)


# --- what it costs the others ---------------------------------------------------------------------------------------


def test_only_its_streams_are_open_in_it(box: Box) -> None:
    assert box(*sh("ls /proc/$$/fd; true")).stdout.split() == ["0", "1", "2"]
    with box.pyc.terminal("exec", "-t", box.id, *sh("ls /proc/$$/fd; true")) as terminal:
        terminal.expect(r"^0 +1 +2$")


def test_descriptors_that_are_to_be_kept(box: Box) -> None:
    reader, writer = os.pipe()
    shell = ["bash", "-c", f'exec 3>&{writer} {writer}>&-; exec "$@"', "bash"]
    argv = box.pyc.argv("exec", "--preserve-fds", "1", box.id, *sh("echo through >&3"))
    subprocess.run([*shell, *argv], pass_fds=[writer], env=box.pyc.env(), check=True, timeout=20)
    os.close(writer)
    assert os.read(reader, 100) == b"through\n"
    os.close(reader)


def test_descriptors_that_the_caller_does_not_have_are_not_replaced_by_ours(box: Box) -> None:
    done = box("ls", "/proc/self/fd", options="--preserve-fds 2")
    assert done.code == 125 and "descriptor 3 is not open" in done.stderr


def rss(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"^Rss:\s+(\d+)", file.read(), re.M)[1])  # type: ignore[index]


def test_many_leave_no_trace(box: Box) -> None:
    with open(f"/proc/{box.pid}/stat") as file:
        monitor = int(file.read().rpartition(") ")[2].split()[1])
    state = [f"{box.pyc.root}/containers/{box.id}", f"{box.pyc.runroot}/containers/{box.id}"]
    before = rss(monitor), len(os.listdir(f"/proc/{monitor}/fd")), [sorted(os.listdir(path)) for path in state]
    for _ in range(40):
        box("true").ok()
    box("no-such-program")
    after = rss(monitor), len(os.listdir(f"/proc/{monitor}/fd")), [sorted(os.listdir(path)) for path in state]
    assert after == before
    assert eventually(lambda: not box.watchers())


# --- what it says of itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "-u 1000 -e A=1 -w /tmp", "-t", "--privileged"])
def test_what_is_told_is_what_strace_saw(box: Box, tmp_path: object, options: str) -> None:
    if reason := missing_command("strace"):
        pytest.skip(reason)
    told = f"{tmp_path}/told.json"
    argv = box.pyc.argv("exec", f"--explain=json:{told}", *options.split(), box.id, "true")
    done, seen = strace.trace(argv, str(tmp_path), names=narration.NAMES, env=box.pyc.env())
    assert done.returncode == 0, done.stderr.decode()
    first = next(pid for pid, calls in seen.items() if calls and calls[0].name == "execve")
    verdict = narration.compare(seen, narration.read(told), first)
    assert not verdict.difference, verdict.difference
    assert verdict.matched > 50


def test_it_explains_itself(box: Box) -> None:
    done = box("true", options="--explain")
    assert "Make a process in the container" in done.stderr
    plan = box("true", options="--dry-run")
    assert plan.code == 0 and "setns(<container>" in plan.stdout and not plan.stderr


def test_events_tell_of_it(box: Box) -> None:
    box("sh", "-c", "exit 4")
    with open(f"{box.pyc.runroot}/events") as file:
        lines = [json.loads(line.partition(" ")[2]) for line in file if box.id in line]
    actions = [line["Action"] for line in lines if line["Action"].startswith("exec")]
    assert actions == ["exec_create: sh -c exit 4", "exec_start: sh -c exit 4", "exec_die"]
    assert lines[-1]["exitCode"] == "4"


def test_a_client_that_does_not_read_keeps_no_container_alive(box: Box) -> None:
    """The first process of a PID namespace ends when all others have been waited for, whoever their parents are."""
    client = box.pyc.start("exec", box.id, "yes")
    time.sleep(0.5)
    began = time.monotonic()
    box.pyc("kill", box.id).ok()
    assert eventually(lambda: box.inspect("{{.State.Status}}") == "exited")
    assert time.monotonic() - began < 5 * PATIENCE
    client.communicate(timeout=20)
    assert client.returncode == 137


ONLY_V2 = """
for m in /sys/fs/cgroup/*/; do [ "$(stat -fc %T $m)" = cgroup2fs ] || umount $m 2>/dev/null; done
exec "$@"
"""


def test_it_is_born_in_a_cgroup_of_v2(stocked: Pyc, image: str) -> None:
    """On a host that has both, with v1 out of sight; a host with v2 alone is the same without that."""
    if cgroups.detect().hierarchies.v2 is None:
        pytest.skip("needs a mounted cgroup v2")
    apart = ["unshare", "-m", "--propagation", "private", "sh", "-c", ONLY_V2, "sh"]

    def only_v2(*words: str) -> str:
        argv = [*apart, *stocked.argv(*words)]
        return subprocess.run(argv, env=stocked.env(), capture_output=True, text=True, check=True, timeout=60).stdout

    name = only_v2("run", "-d", image, "sleep", "1000").strip()
    try:
        assert "0::/\n" in only_v2("exec", name, "cat", "/proc/self/cgroup")
        assert "CLONE_INTO_CGROUP" in only_v2("exec", "--dry-run", name, "true")
        only_v2("exec", "-d", name, *sh("while :; do :; done"))
        assert len(only_v2("top", name).splitlines()) == 3
        assert float(only_v2("stats", "--no-stream", "--format", "{{.CPUPerc}}", name).strip().rstrip("%")) > 10
    finally:
        only_v2("rm", "-f", name)
