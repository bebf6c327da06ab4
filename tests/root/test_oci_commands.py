"""The command line of runc: what engines call, in the order they do, and what they read from it."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import signal
import socket
import subprocess
from collections.abc import Sequence

import pytest

from tests.support.engines import RUNTIME, Done, wait_until
from tests.support.host import cgroup_version
from tests.support.oci import Oci

pytestmark = pytest.mark.root


def test_run_is_the_program_with_its_streams_and_exit_code(oci: Oci) -> None:
    done = oci.run(oci.spec("sh", "-c", "cat; echo err >&2; exit 7"), stdin=b"in")
    assert (done.code, done.out, done.err) == (7, "in", "err\n")
    assert oci("list", "--quiet").out == ""


def test_a_signal_is_an_exit_code(oci: Oci) -> None:
    assert oci.run(oci.spec("sh", "-c", "ulimit -c 0; kill -9 $$; sleep 9")).code in (137, 0)
    spec = oci.spec("sleep", "100")
    oci.create(spec)
    oci("start", "test")
    assert oci.status() == "running"
    assert oci("kill", "test", "SIGKILL").code == 0
    wait_until(lambda: oci.status() == "stopped")


@pytest.mark.parametrize("what", ["there", "below a mount", "covered", "a script of nobody's"])
def test_run_finds_the_program_where_the_container_has_it(oci: Oci, what: str) -> None:
    spec = oci.spec("tool", "-c", "exit 3")
    spec["process"]["env"] = ["PATH=/bin:/tools"]
    os.makedirs(f"{oci.where}/tools")
    os.symlink("/bin/busybox", f"{oci.where}/tools/sh")
    bound = {"destination": "/tools", "type": "bind", "source": f"{oci.where}/tools", "options": ["bind"]}
    if what == "there":
        os.symlink("busybox", f"{oci.rootfs}/bin/ash")
        spec["process"]["args"][0] = "ash"
    elif what == "below a mount":
        spec["process"]["args"][0] = "/tools/sh"
        spec["mounts"].append(bound)
    elif what == "covered":
        spec["process"]["args"][0] = "sh"
        spec["process"]["env"] = ["PATH=/bin"]
        spec["mounts"].append({**bound, "destination": "/bin"})
    else:
        with open(os.open(f"{oci.rootfs}/bin/tool", os.O_WRONLY | os.O_CREAT, 0o755), "w") as file:
            file.write("#!/nobody/has/this\n")
    done = oci.run(spec)
    words = {
        "covered": (1, 'exec: "sh": executable file not found in $PATH'),
        "a script of nobody's": (1, "exec tool: no such file or directory: the interpreter that it names"),
    }
    code, said = words.get(what, (3, ""))
    assert (done.code, said in done.err) == (code, True), done.err
    assert oci("list", "--quiet").out == ""


def test_the_life_of_a_container_as_engines_lead_it(oci: Oci) -> None:
    pid = oci.create(oci.spec("sh", "-c", "echo began; exec sleep 100"))
    assert oci.status() == "created"
    assert oci.said() == ""
    assert "pyc-monitor" in open_text(f"/proc/{pid}/cmdline")
    assert oci("start", "test").code == 0
    wait_until(lambda: oci.said() == "began\n")
    assert oci.status() == "running"
    assert json.loads(oci("ps", "--format", "json", "test").out) == [pid]
    assert "sleep 100" in oci("ps", "test").out
    again = oci("start", "test")
    assert (again.code, "already running" in again.err) == (1, True)
    refused = oci("delete", "test")
    assert (refused.code, "not stopped" in refused.err) == (1, True)
    assert oci("kill", "test", "9").code == 0
    wait_until(lambda: oci.status() == "stopped")
    assert "container not running" in oci("kill", "test", "9").err
    assert oci("delete", "test").code == 0
    assert "does not exist" in oci("state", "test").err


def open_text(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_a_created_container_can_be_deleted_without_ever_running(oci: Oci) -> None:
    pid = oci.create(oci.spec("touch", "/tmp/ran"))
    assert oci("delete", "test").code == 0
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in open_text(f"/proc/{pid}/stat"))
    assert not os.path.exists(f"{oci.rootfs}/tmp/ran")


def test_a_cgroup_that_is_another_container_s_is_refused_and_nobody_in_it_harmed(oci: Oci) -> None:
    spec = oci.spec("sleep", "100")
    spec["linux"]["cgroupsPath"] = f"/pyc/same{os.getpid()}"
    oci.create(spec)
    assert oci("start", "test").code == 0
    for command in ("create", "run"):
        refused = oci(command, "--bundle", oci.bundle(spec, "two"), "two")
        assert (refused.code, refused.err.count("\n")) == (1, 1) and "linux.cgroupsPath: " in refused.err
        assert "is in use" in refused.err
    assert oci.status() == "running" and "does not exist" in oci("state", "two").err
    assert oci("delete", "--force", "test").code == 0
    top = "/sys/fs/cgroup" if cgroup_version() == 2 else "/sys/fs/cgroup/memory"
    os.makedirs(f"{top}/pyc/same{os.getpid()}")  # an empty one, that an engine has made beforehand, is in order
    assert oci("run", "--bundle", oci.bundle(oci.spec("true") | {"linux": spec["linux"]}, "two"), "two").code == 0


def test_every_descriptor_of_a_program_and_of_one_that_enters_is_accounted_for(oci: Oci) -> None:
    pid = oci.create(oci.spec("sleep", "100"))
    assert oci("start", "test").code == 0
    wait_until(lambda: "sleep" in open_text(f"/proc/{pid}/cmdline"))
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
    assert oci("exec", "test", "ls", "/proc/self/fd").out.split() == ["0", "1", "2", "3"]  # the last is ls's own
    assert "pyc" not in " ".join(line for line in open_text("/proc/net/unix").splitlines() if "@" in line)


def test_delete_force_of_nothing_is_no_error(oci: Oci) -> None:
    assert oci("delete", "--force", "nobody").code == 0
    assert oci("delete", "nobody").code == 1


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("/bin/nope", "no such file or directory"),
        ("/tmp", "permission denied"),
        ("/" + "x" * 300, f'exec: "/{"x" * 300}": stat /{"x" * 300}: file name too long'),
    ],
)
def test_a_program_that_can_not_run_fails_create_in_the_words_that_engines_know(
    oci: Oci, program: str, words: str
) -> None:
    done = oci.run(oci.spec(program))
    assert done.code == 1
    assert words in done.err
    assert oci("list", "--quiet").out == ""


def test_errors_are_in_the_log_that_an_engine_reads(oci: Oci) -> None:
    log = f"{oci.where}/log.json"
    done = oci("--log", log, "--log-format", "json", "start", "nobody")
    line = json.loads(open_text(log))
    assert (done.code, line["level"]) == (1, "error")
    assert line["msg"] in done.err
    assert line["time"].endswith("Z")


def test_exec_enters_with_a_process_file_or_with_options(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    oci("start", "test")
    assert oci("exec", "test", "sh", "-c", "exit 9").code == 9
    assert oci(
        "exec", "--user", "5:6", "--cwd", "/tmp", "--env", "A=b", "test", "sh", "-c", "id -u; pwd; echo $A"
    ).out == ("5\n/tmp\nb\n")
    missing = oci("exec", "test", "nope")
    assert (missing.code, "executable file not found" in missing.err) == (255, True)
    process = oci.spec("sh", "-c", "ps | grep -c sleep")["process"]
    with open(f"{oci.where}/process.json", "w") as file:
        json.dump(process, file)
    assert oci("exec", "--process", f"{oci.where}/process.json", "test").out.strip() >= "1"
    detached = [
        "exec",
        "--detach",
        "--pid-file",
        f"{oci.where}/pid",
        "test",
        "sleep",
        "50",
    ]  # it keeps its streams open
    subprocess.run([RUNTIME, "--root", oci.root, *detached], stdin=subprocess.DEVNULL, check=True, timeout=20)
    assert int(open_text(f"{oci.where}/pid")) in json.loads(oci("ps", "-f", "json", "test").out)


def test_an_exec_is_behind_the_same_wall(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    oci("start", "test")
    shown = "grep -E 'Cap|NoNew' /proc/{}/status; readlink /proc/{}/ns/*; cat /proc/{}/cgroup"
    first = oci("exec", "test", "sh", "-c", shown.replace("{}", "1")).out
    second = oci("exec", "test", "sh", "-c", shown.replace("{}", "self")).out
    assert first == second


def test_pause_and_resume(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    oci("start", "test")
    assert oci("pause", "test").code == 0
    assert oci.status() == "paused"
    assert "paused" in oci("exec", "test", "true").err
    assert oci("resume", "test").code == 0
    assert oci.status() == "running"
    assert oci("pause", "test").code == 0
    assert oci("delete", "--force", "test").code == 0


def test_update_and_events(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    oci("start", "test")
    assert oci("update", "--memory", "64m", "test").code == 0
    stats = json.loads(oci("events", "--stats", "test").out)
    assert stats["data"]["memory"]["usage"]["limit"] == 64 << 20
    assert oci("update", "--resources", "-", "test", stdin=b'{"memory": {"limit": 33554432}}').code == 0
    stats = json.loads(oci("events", "--stats", "test").out)
    assert stats["data"]["memory"]["usage"]["limit"] == 32 << 20
    assert stats["data"]["pids"]["current"] == 1
    refused = oci("update", "-r", "-", "test", stdin=b'{"memory": {"limit": 4096, "checkBeforeUpdate": true}}')
    assert "checkBeforeUpdate" in refused.err
    refused = oci("update", "-r", "-", "test", stdin=b'{"pids": {"limit": "many"}}')
    assert (refused.code, refused.err) == (1, f"pyc-oci: linux.resources.pids.limit: want a whole number, {STRING}\n")


STRING = "not a string ('many')"


def test_an_update_reaches_controllers_that_had_nothing_to_limit_and_who_enters_later(oci: Oci) -> None:
    spec, name = oci.spec("sleep", "100"), f"updated{os.getpid()}"
    spec["linux"]["cgroupsPath"] = f"/pyc/{name}"
    oci.create(spec)
    assert oci("start", "test").code == 0
    asked = b'{"cpu": {"cpus": "0"}, "pids": {"limit": 7}}'
    assert oci("update", "--resources", "-", "test", stdin=asked).code == 0
    entered = oci("exec", "test", "grep", "Cpus_allowed_list", "/proc/self/status", "/proc/1/status")
    assert [line.split()[-1] for line in entered.out.splitlines()] == ["0", "0"], entered.err
    top = "/sys/fs/cgroup" if cgroup_version() == 2 else "/sys/fs/cgroup/pids"
    assert open_text(f"{top}/pyc/{name}/pids.max") == "7\n"
    assert oci("update", "--pids-limit", "-1", "test").code == 0
    assert open_text(f"{top}/pyc/{name}/pids.max") == "max\n"
    assert oci("delete", "--force", "test").code == 0
    assert glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True) == []


def test_the_terminal_goes_through_the_console_socket(oci: Oci) -> None:
    spec = oci.spec("sh", "-c", "test -t 0 && test -c /dev/console && echo tty; sleep 100")
    spec["process"]["terminal"] = True
    spec["process"]["consoleSize"] = {"height": 7, "width": 77}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{oci.where}/console")
        listening.listen()
        oci.create(spec, "--console-socket", f"{oci.where}/console")
        client, _ = listening.accept()
        with client:
            _, fds, _, _ = socket.recv_fds(client, 64, 1)
    assert os.get_terminal_size(fds[0]) == (77, 7)
    oci("start", "test")
    assert os.read(fds[0], 3) + os.read(fds[0], 2) == b"tty\r\n"
    os.close(fds[0])


def test_descriptors_are_kept_when_asked_and_closed_when_not(oci: Oci) -> None:
    reader, writer = os.pipe()
    spec = oci.spec("sh", "-c", "echo through >&3; ls /proc/self/fd")
    bundle = oci.bundle(spec)
    argv = [RUNTIME, "--root", oci.root, "run", "--bundle", bundle]
    done = subprocess.run(
        ["bash", "-c", f'exec 3>&{writer} {writer}>&-; exec "$@"', "bash", *argv, "--preserve-fds", "1", "test"],
        pass_fds=[writer],
        capture_output=True,
        text=True,
    )
    os.close(writer)
    assert os.read(reader, 64) == b"through\n", done.stderr
    assert done.stdout.split() == ["0", "1", "2", "3", "4"]  # 4 is the directory that ls reads
    os.close(reader)
    assert oci.run(oci.spec("ls", "/proc/self/fd")).out.split() == ["0", "1", "2", "3"]


def handing_over(oci: Oci, given: Sequence[int], *words: str) -> Done:
    """``pyc-oci WORDS`` of a caller whose descriptors from 3 on are ``given``."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200) for fd in given]

    def shuffle() -> None:
        for number, fd in enumerate(moved, 3):
            os.dup2(fd, number)

    argv = [RUNTIME, "--root", oci.root, *words]
    done = subprocess.run(
        argv, close_fds=False, preexec_fn=shuffle, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
    )
    for fd in moved:
        os.close(fd)
    return Done(done.returncode, done.stdout, done.stderr)


def test_several_descriptors_are_kept_each_at_its_number(oci: Oci) -> None:
    pipes = [os.pipe() for _ in range(3)]
    bundle = oci.bundle(oci.spec("sh", "-c", "for n in 3 4 5; do echo $n >&$n; done; ls /proc/self/fd"))
    done = handing_over(oci, [pipe[1] for pipe in pipes], "run", "--bundle", bundle, "--preserve-fds", "3", "test")
    assert done.out.split() == ["0", "1", "2", "3", "4", "5", "6"], done.err  # the last is the directory that ls reads
    for number, (reader, writer) in enumerate(pipes, 3):
        os.close(writer)
        assert os.read(reader, 64) == b"%d\n" % number
        os.close(reader)


def test_as_many_as_a_service_manager_hands_over_are_kept(oci: Oci) -> None:
    given = os.open("/etc/passwd", os.O_RDONLY)
    bundle = oci.bundle(oci.spec("ls", "/proc/self/fd"))
    try:
        done = handing_over(oci, [given] * 100, "run", "--bundle", bundle, "--preserve-fds", "100", "test")
        refused = handing_over(oci, [given], "run", "--bundle", bundle, "--preserve-fds", "1000", "test")
    finally:
        os.close(given)
    assert len(done.out.split()) == 104, done.err
    assert (refused.code, refused.err) == (1, "pyc-oci: --preserve-fds 1000: at most 128\n")


def test_what_a_service_manager_hands_over_is_told_to_whom_it_is_meant_for(
    oci: Oci, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = os.open("/etc/passwd", os.O_RDONLY)
    bundle = oci.bundle(oci.spec("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cd /proc/self/fd; echo *"))
    for count, whose, expected in (
        ("1", None, "1 1\n0 1 2 3 4\n"),
        ("1", "1", "1 1\n0 1 2 3 4\n"),
        ("1", "77777", "\n0 1 2 3\n"),
        ("one", None, "\n0 1 2 3\n"),
        ("-1", None, "\n0 1 2 3\n"),
    ):
        monkeypatch.setenv("LISTEN_FDS", count)
        monkeypatch.delenv("LISTEN_PID", raising=False)
        if whose:
            monkeypatch.setenv("LISTEN_PID", whose)
        done = handing_over(oci, [given], "run", "--bundle", bundle, "test")
        assert done.out == expected, (count, whose, done)
    os.close(given)


def test_no_descriptor_of_ours_is_taken_for_one_of_the_caller_s(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"), name="sleeper")
    assert oci("start", "sleeper").code == 0
    bundle = oci.bundle(oci.spec("ls", "-l", "/proc/self/fd"))
    given = os.open("/etc/passwd", os.O_RDONLY)
    for words in (("run", "--bundle", bundle), ("exec",)):
        for count in range(2, 16):
            last = ("test",) if words[0] == "run" else ("sleeper", "true")
            done = handing_over(oci, [given], *words, "--preserve-fds", str(count), *last)
            assert done.code and done.err == f"pyc-oci: --preserve-fds {count}: descriptor 4 is not open\n", done
    os.close(given)


@pytest.mark.parametrize("gains_nothing", [True, False])
def test_what_fails_at_the_last_moment_is_told_to_us_and_not_into_a_kept_descriptor(
    oci: Oci, gains_nothing: bool
) -> None:
    with open(f"{oci.rootfs}/bin/script", "w") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(f"{oci.rootfs}/bin/script", 0o755)
    spec, sleeper = oci.spec("script"), oci.spec("sleep", "100")
    for each in (spec, sleeper):
        each["process"]["noNewPrivileges"] = gains_nothing
    oci.create(sleeper, name="sleeper")
    assert oci("start", "sleeper").code == 0
    ours, theirs = socket.socketpair()
    with ours, theirs:
        run = ("run", "--bundle", oci.bundle(spec), "--preserve-fds", "3", "test")
        entered = ("exec", "--preserve-fds", "3", "sleeper", "/bin/script")
        for words, code in ((run, 1), (entered, 255)):  # as runc's
            done = handing_over(oci, [theirs.fileno()] * 3, *words)
            assert done.code == code and done.err.startswith("pyc-oci: exec") and "no such file" in done.err, done
        theirs.close()
        assert ours.recv(64) == b""


def test_too_few_descriptors_are_an_error_of_their_limit(oci: Oci) -> None:
    spec = oci.spec("true")
    spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}]
    assert "process.rlimits: RLIMIT_NOFILE is too low" in oci.run(spec).err


def test_nothing_of_ours_stays_with_a_detached_container(oci: Oci) -> None:
    """A caller that is a subreaper, as conmon and the shims are, becomes the parent."""
    bundle = oci.bundle(oci.spec("sleep", "100"))
    script = (
        "import ctypes, os, subprocess, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        "subprocess.run(sys.argv[1:], check=True, stdin=subprocess.DEVNULL)\n"
        f"pid = int(open({bundle!r} + '/pid').read())\n"
        "print(open(f'/proc/{pid}/stat').read().split()[3] == str(os.getpid()))\n"
        "os.kill(pid, 9); print(os.waitpid(pid, 0)[1])"
    )
    argv = [RUNTIME, "--root", oci.root, "run", "--detach", "--bundle", bundle, "--pid-file", f"{bundle}/pid", "test"]
    done = subprocess.run(["python3", "-c", script, *argv], capture_output=True, text=True)
    assert done.stdout.split() == ["True", str(int(signal.SIGKILL))], done.stderr


def test_spec_features_list_and_version(oci: Oci, tmp_path: object) -> None:
    assert oci("spec", "--bundle", str(tmp_path)).code == 0
    assert json.loads(open_text(f"{tmp_path}/config.json"))["process"]["args"] == ["sh"]
    assert "exists" in oci("spec", "--bundle", str(tmp_path)).err
    features = json.loads(oci("features").out)
    assert features["ociVersionMax"] == "1.3.0"
    assert set(features["hooks"]) == {
        *("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"),
    }
    assert oci("--version").out.startswith("pyc-oci version")
    oci.create(oci.spec("sleep", "1"))
    (row,) = json.loads(oci("list", "--format", "json").out)
    assert (row["id"], row["status"]) == ("test", "created")
    assert oci("list").out.splitlines()[1].startswith("test")


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("create",),
        ("create", "--nonsense", "x"),
        ("kill", "x", "SIGNONSENSE"),
        ("state", "../x"),
        ("run", "x"),
        ("exec", "nobody", "true"),
        ("--log-format", "xml", "list"),
        ("--rootless", "perhaps", "list"),
    ],
)
def test_mistakes_are_one_line(oci: Oci, words: tuple[str, ...]) -> None:
    done = oci(*words, cwd=oci.where)
    assert done.code == (255 if words[0] == "exec" else 1)  # as runc's
    assert "Traceback" not in done.err
    assert done.err.startswith("pyc-oci: ")


def test_one_name_is_one_container(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    again = oci("create", "--bundle", f"{oci.where}/test", "test")
    assert "exists" in again.err
    assert oci.status() == "created"
