"""Debian's dockerd, through containerd's shim, with pyc-oci added as a runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import RUNTIME, Engine, archive, remove_parents, wait_until
from tests.support.host import missing_command

pytestmark = [pytest.mark.root, pytest.mark.peers]

ALONE = ("--network", "none")


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := missing_command("dockerd", "docker", "containerd", "skopeo", "busybox", "ip"):
        pytest.skip(reason)
    where = str(tmp_path_factory.mktemp("dk"))
    engine = Engine(["docker", "-H", f"unix://{where}/d.sock"], {"DOCKER_CONFIG": f"{where}/client"})
    command = ["dockerd", "--data-root", f"{where}/data", "--exec-root", f"{where}/exec", "--pidfile", f"{where}/pid"]
    command += ["-H", f"unix://{where}/d.sock", "--storage-driver", "overlay2"]
    command += ["--default-ulimit", "nofile=1024:4096"]
    command += ["--add-runtime", f"pyc={RUNTIME}", "--default-runtime", "pyc"]
    engine.serve(command, f"{where}/log", f"{where}/d.sock")
    try:
        wait_until(lambda: engine("version").code == 0)
        engine.ok("load", "-i", archive("docker-archive", where))
        yield engine
        if left := engine.ok("ps", "-aq").split():
            engine("rm", "--force", *left)
    finally:
        engine.stop()
        remove_parents("docker")


@pytest.fixture
def sleeper(docker: Engine) -> Iterator[str]:
    docker.ok(
        *("run", "-d", "--name", "sleeper", *ALONE, "--memory", "64m", "--memory-swap", "128m"),
        *("busybox", "sh", "-c", "echo hello; exec sleep 100"),
    )
    yield "sleeper"
    docker("rm", "--force", "sleeper")


def test_run_gives_output_and_exit_code(docker: Engine) -> None:
    done = docker("run", "--rm", *ALONE, "busybox", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.code, done.out, done.err) == (5, "out\n", "err\n")


@pytest.mark.parametrize(("program", "code"), [("nope", 127), ("/no/such", 127), ("/etc", 126)])
def test_a_program_that_can_not_run_has_the_exit_code_that_says_why(docker: Engine, program: str, code: int) -> None:
    assert docker("run", "--rm", *ALONE, "busybox", program).code == code


def test_a_terminal_is_one_inside(docker: Engine) -> None:
    script = "tty; [ -t 0 ] && [ -t 1 ] && [ -c /dev/console ]"
    assert docker.on_terminal("run", "--rm", "-t", *ALONE, "busybox", "sh", "-c", script) == (0, "/dev/pts/0\n")


def test_exec_and_logs(docker: Engine, sleeper: str) -> None:
    wait_until(lambda: docker.ok("logs", sleeper) == "hello")
    out = docker.ok("exec", "-u", "1000:1000", "-w", "/tmp", "-e", "A=b", sleeper, "sh", "-c", "id -u; pwd; echo $A")
    assert out == "1000\n/tmp\nb"
    assert docker("exec", sleeper, "sh", "-c", "exit 9").code == 9
    assert "executable file not found in $PATH" in docker("exec", sleeper, "nope").out
    assert docker.on_terminal("exec", "-t", sleeper, "tty") == (0, "/dev/pts/0\n")


def test_pause_update_top_and_stats(docker: Engine, sleeper: str) -> None:
    docker.ok("pause", sleeper)
    assert docker.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "paused"
    docker.ok("unpause", sleeper)
    docker.ok("update", "--memory", "32m", "--memory-swap", "64m", sleeper)
    assert "32MiB" in docker.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", sleeper)
    assert "sleep 100" in docker.ok("top", sleeper)


def test_an_update_binds_to_cpus_and_frees_what_was_limited(docker: Engine, sleeper: str) -> None:
    docker.ok("update", "--cpuset-cpus", "0", "--pids-limit", "33", "--cpu-shares", "512", sleeper)
    script = "grep Cpus_allowed_list /proc/self/status; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max"
    assert docker("exec", sleeper, "sh", "-c", script).out.split()[1] == "0"
    docker.ok("update", "--pids-limit", "-1", sleeper)


def test_exec_as_docker_does_it(docker: Engine, sleeper: str) -> None:
    assert "pyc-oci" not in docker("exec", "--privileged", sleeper, "true").err  # what we warn of is for the log
    full, plain = (
        int(docker.ok("exec", *words, sleeper, "grep", "CapEff", "/proc/self/status").split()[1], 16)
        for words in (("--privileged",), ())
    )
    assert full & plain == plain != full
    docker.ok("exec", "-d", sleeper, "touch", "/tmp/detached")
    wait_until(lambda: docker("exec", sleeper, "ls", "/tmp/detached").code == 0)
    assert docker("exec", "-i", sleeper, "cat", stdin=b"words").out == "words"
    assert docker("exec", "-w", "/nope", sleeper, "true").code == 126


def test_copies_and_differences(docker: Engine, sleeper: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from outside")
    docker.ok("cp", f"{tmp_path}/in", f"{sleeper}:/tmp/in")
    assert docker.ok("exec", sleeper, "cat", "/tmp/in") == "from outside"
    docker.ok("cp", f"{sleeper}:/tmp/in", f"{tmp_path}/out")
    assert (tmp_path / "out").read_text() == "from outside"
    assert "A /tmp/in" in docker.ok("diff", sleeper)


def test_flags_that_reach_the_runtime(docker: Engine) -> None:
    flags = "--init --read-only --tmpfs /t:size=1m --ulimit nofile=50:60 --sysctl net.ipv4.ip_forward=1 --shm-size 2m"
    more = "--device /dev/zero:/dev/other:r --oom-score-adj 500 --cap-drop ALL --cap-add CHOWN --cgroupns private"
    script = """
    ps | head -2 | tail -1; touch /x 2>/dev/null || echo read-only; touch /t/x && ulimit -n
    cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj; df -k /dev/shm | tail -1; head -c1 /dev/other | wc -c
    grep CapEff /proc/self/status
    """
    out = docker.ok("run", "--rm", *ALONE, *flags.split(), *more.split(), "busybox", "sh", "-c", script).splitlines()
    assert "docker-init" in out[0] and out[1:5] == ["read-only", "50", "1", "500"]
    assert out[5].split()[1] == "2048" and out[6:] == ["1", "CapEff:\t0000000000000001"]


def test_no_checkpoint_without_what_it_takes_and_nobody_is_harmed(docker: Engine, sleeper: str) -> None:
    refused = docker("checkpoint", "create", sleeper, "one")  # without the daemon's experimental features it says so
    assert refused.code == 1 and refused.err.strip()
    assert docker.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "running"


def test_kill_and_restart(docker: Engine, sleeper: str) -> None:
    docker.ok("kill", sleeper)
    wait_until(lambda: docker.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "exited")
    assert docker.ok("inspect", "--format", "{{.State.ExitCode}}", sleeper) == "137"
    docker.ok("restart", sleeper)
    assert docker.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "running"


def test_a_healthcheck_runs_inside(docker: Engine) -> None:
    health = ("--health-cmd", "test -e /only-inside", "--health-interval", "200ms")
    program = ("sh", "-c", "touch /only-inside; sleep 100")
    docker.ok("run", "-d", "--name", "checked", *ALONE, *health, "busybox", *program)
    wait_until(lambda: docker.ok("inspect", "--format", "{{.State.Health.Status}}", "checked") == "healthy")
    docker.ok("rm", "--force", "checked")


def test_dockers_network_reaches_the_container(docker: Engine) -> None:
    out = docker.ok("run", "--rm", "busybox", "sh", "-c", "cat /proc/net/dev; grep -c nameserver /etc/resolv.conf")
    assert "eth0" in out


def test_the_container_sees_its_own_cgroup_and_no_other(docker: Engine, sleeper: str) -> None:
    script = "ls /sys/fs/cgroup /sys/fs/cgroup/memory | grep -E '^(docker|pyc|libpod)' || echo none"
    assert docker.ok("run", "--rm", *ALONE, "busybox", "sh", "-c", script).split()[-1] == "none"
