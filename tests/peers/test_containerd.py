"""Debian's containerd, through its shim, with pyc-oci in place of runc."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engines import RUNTIME, Engine, archive, remove_parents, wait_until
from tests.support.host import missing_command

pytestmark = [pytest.mark.root, pytest.mark.peers]

IMAGE = "docker.io/library/busybox:latest"
PYC = ("--runc-binary", RUNTIME)
CONFIG = """
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{0}/c.sock"
[ttrpc]
  address = "{0}/c.sock.ttrpc"
"""


@pytest.fixture(scope="module")
def ctr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := missing_command("containerd", "ctr", "skopeo", "busybox", "ip"):
        pytest.skip(reason)
    where = str(tmp_path_factory.mktemp("cd"))
    with open(f"{where}/config.toml", "w") as file:
        file.write(CONFIG.format(where))
    engine = Engine(["ctr", "-a", f"{where}/c.sock"])
    engine.serve(["containerd", "-c", f"{where}/config.toml"], f"{where}/log", f"{where}/c.sock")
    try:
        wait_until(lambda: engine("version").code == 0)
        engine.ok("image", "import", archive("oci-archive", where))
        yield engine
    finally:
        engine.stop()
        remove_parents("default")


@pytest.fixture
def sleeper(ctr: Engine) -> Iterator[str]:
    ctr.ok("run", "-d", *PYC, "--memory-limit", str(64 << 20), IMAGE, "sleeper", "sleep", "100")
    yield "sleeper"
    ctr("task", "kill", "-s", "9", "sleeper")
    wait_until(lambda: ctr("task", "rm", "sleeper").code == 0 or "not found" in ctr("task", "rm", "sleeper").err)
    ctr.ok("container", "rm", "sleeper")


def test_run_gives_output_and_exit_code(ctr: Engine) -> None:
    done = ctr("run", "--rm", *PYC, IMAGE, "one", "sh", "-c", "echo out; exit 5")
    assert (done.code, done.out) == (5, "out\n")


def test_a_program_that_is_missing_is_named(ctr: Engine) -> None:
    done = ctr("run", "--rm", *PYC, IMAGE, "two", "nope")
    assert done.code == 1
    assert 'exec: "nope": executable file not found in $PATH' in done.err


def test_a_terminal_is_one_inside(ctr: Engine) -> None:
    code, out = ctr.on_terminal("run", "--rm", "-t", *PYC, IMAGE, "three", "sh", "-c", "tty; exit 3")
    assert code == 3
    assert "/dev/pts/0" in out


def test_exec_enters_the_container(ctr: Engine, sleeper: str) -> None:
    assert "sleep 100" in ctr.ok("task", "exec", "--exec-id", "e1", sleeper, "ps")
    assert ctr("task", "exec", "--exec-id", "e2", sleeper, "sh", "-c", "exit 9").code == 9
    assert 'exec: "nope": executable file not found' in ctr("task", "exec", "--exec-id", "e3", sleeper, "nope").err


def test_pause_resume_ps_and_metrics(ctr: Engine, sleeper: str) -> None:
    ctr.ok("task", "pause", sleeper)
    assert "PAUSED" in ctr.ok("task", "ls")
    ctr.ok("task", "resume", sleeper)
    assert "RUNNING" in ctr.ok("task", "ls")
    pid = next(line.split()[1] for line in ctr.ok("task", "ls").splitlines() if sleeper in line)
    assert pid in ctr.ok("task", "ps", sleeper)
    assert "memory" in ctr.ok("task", "metrics", sleeper)


def test_a_checkpoint_is_refused_in_words_or_done_and_nobody_is_harmed(ctr: Engine, sleeper: str) -> None:
    done = ctr("task", "checkpoint", sleeper)
    assert done.code == 0 or "criu" in done.err.lower(), done.err
    if done.code:
        assert "RUNNING" in ctr.ok("task", "ls")


def test_options_of_a_task(ctr: Engine) -> None:
    flags = "--read-only --env A=b --cwd /tmp --no-pivot --cap-drop CAP_CHOWN --seccomp --cpus 0.5"
    script = "echo $A; pwd; touch /x; grep -E 'CapBnd|NoNew|Seccomp:' /proc/self/status"
    done = ctr("run", "--rm", *PYC, *flags.split(), IMAGE, "options", "sh", "-c", script)
    out = done.out.split()
    assert out[:2] == ["b", "/tmp"] and "Read-only file system" in done.err
    assert int(out[3], 16) & 1 == 0 and out[4:] == ["NoNewPrivs:", "1", "Seccomp:", "2"]


def test_kill_stops_it(ctr: Engine, sleeper: str) -> None:
    ctr.ok("task", "kill", "-s", "9", sleeper)
    wait_until(lambda: "STOPPED" in ctr.ok("task", "ls"))
