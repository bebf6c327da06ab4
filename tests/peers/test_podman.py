"""Debian's podman, through conmon, with pyc-oci as its runtime."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

import pytest

from tests.support.engines import RUNTIME, Engine, archive, remove_parents, wait_until
from tests.support.host import missing_command

pytestmark = [pytest.mark.root, pytest.mark.peers]

ALONE = ("--network", "none")


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := missing_command("podman", "conmon", "skopeo", "busybox"):
        pytest.skip(reason)
    where = str(tmp_path_factory.mktemp("podman"))
    with open(f"{where}/containers.conf", "w") as file:
        file.write('[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n')
        file.write('[engine]\nevents_logger = "file"\n')
    base = ["podman", "--root", f"{where}/root", "--runroot", f"{where}/run", "--tmpdir", f"{where}/tmp"]
    engine = Engine(
        [*base, "--cgroup-manager", "cgroupfs", "--runtime", RUNTIME], {"CONTAINERS_CONF": f"{where}/containers.conf"}
    )
    engine.ok("load", "-i", archive("docker-archive", where))
    yield engine
    engine("rm", "--all", "--force", "--time", "0")
    engine("rmi", "--all", "--force")
    engine("umount", "--all", "--force")
    remove_parents("libpod_parent")


@pytest.fixture
def sleeper(podman: Engine) -> Iterator[str]:
    name = "sleeper"
    podman.ok("run", "-d", "--name", name, *ALONE, "--memory", "64m", "--pids-limit", "50", "busybox", "sleep", "100")
    yield name
    podman("rm", "--force", "--time", "0", name)


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_run_gives_output_and_exit_code(podman: Engine) -> None:
    done = podman("run", "--rm", *ALONE, "busybox", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.code, done.out, done.err) == (5, "out\n", "err\n")


def test_run_passes_input(podman: Engine) -> None:
    assert podman("run", "--rm", "-i", *ALONE, "busybox", "cat", stdin=b"words").out == "words"


@pytest.mark.parametrize(("program", "code"), [("nope", 127), ("/no/such", 127), ("/etc", 126)])
def test_a_program_that_can_not_run_has_the_exit_code_that_says_why(podman: Engine, program: str, code: int) -> None:
    assert podman("run", "--rm", *ALONE, "busybox", program).code == code


def test_a_terminal_is_one_inside(podman: Engine) -> None:
    script = "tty; [ -t 0 ] && [ -t 1 ] && [ -c /dev/console ]"
    assert podman.on_terminal("run", "--rm", "-t", *ALONE, "busybox", "sh", "-c", script) == (0, "/dev/pts/0\n")


def test_logs_hold_what_was_written(podman: Engine) -> None:
    podman.ok("run", "--name", "writer", *ALONE, "busybox", "echo", "hello")
    assert podman.ok("logs", "writer") == "hello"
    podman.ok("rm", "writer")


def test_exec_enters_the_container(podman: Engine, sleeper: str) -> None:
    assert podman.ok(
        "exec", "-u", "1000:1000", "-w", "/tmp", "-e", "A=b", sleeper, "sh", "-c", "id -u; pwd; echo $A"
    ) == ("1000\n/tmp\nb")
    assert podman("exec", sleeper, "sh", "-c", "exit 9").code == 9
    assert podman("exec", sleeper, "nope").code == 127
    assert "sleep 100" in podman.ok("exec", sleeper, "ps")
    assert podman.on_terminal("exec", "-t", sleeper, "tty") == (0, "/dev/pts/0\n")


def test_limits_are_in_force_and_can_be_changed(podman: Engine, sleeper: str) -> None:
    name = podman.ok("inspect", "--format", "{{.Id}}", sleeper)
    (directory,) = glob.glob(f"/sys/fs/cgroup/**/*{name}/memory.limit_in_bytes", recursive=True) + glob.glob(
        f"/sys/fs/cgroup/**/*{name}/memory.max", recursive=True
    )
    assert read(directory) == f"{64 << 20}\n"
    podman.ok("update", "--memory", "32m", sleeper)
    assert read(directory) == f"{32 << 20}\n"


def test_pause_and_unpause(podman: Engine, sleeper: str) -> None:
    podman.ok("pause", sleeper)
    assert podman.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "paused"
    podman.ok("unpause", sleeper)
    assert podman.ok("exec", sleeper, "echo", "awake") == "awake"


def test_kill_restart_and_stop(podman: Engine, sleeper: str) -> None:
    podman.ok("kill", sleeper)
    wait_until(lambda: podman.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "exited")
    assert podman.ok("inspect", "--format", "{{.State.ExitCode}}", sleeper) == "137"
    podman.ok("restart", sleeper)
    assert podman.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "running"
    podman.ok("stop", "--time", "0", sleeper)
    assert podman.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "exited"


def test_a_healthcheck_runs_inside(podman: Engine) -> None:
    podman.ok(
        *("run", "-d", "--name", "checked", *ALONE, "--health-cmd", "test -e /bin/sh", "--health-interval", "disable"),
        *("busybox", "sleep", "100"),
    )
    assert podman("healthcheck", "run", "checked").code == 0
    podman.ok("rm", "--force", "--time", "0", "checked")


def test_a_checkpoint_is_restored_or_nobody_is_harmed(podman: Engine, sleeper: str) -> None:
    made = podman("container", "checkpoint", sleeper)
    if made.code:
        assert "pyc-oci: CRIU " in made.err, made.err  # not installed, or it does not know this kernel
    else:
        assert podman.ok("inspect", "--format", "{{.State.Status}}", sleeper) == "exited"
        podman.ok("container", "restore", sleeper)
    assert podman.ok("exec", sleeper, "echo", "here") == "here"


def test_a_hardened_container(podman: Engine, tmp_path: object) -> None:
    script = "id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status; touch /x || touch /t/x && cat /in/file"
    with open(f"{tmp_path}/file", "w") as file:
        file.write("from outside")
    os.chmod(str(tmp_path), 0o755)
    out = podman.ok(
        *("run", "--rm", *ALONE, "--read-only", "--user", "1000", "--cap-drop", "all", "--tmpfs", "/t", "-v"),
        *(f"{tmp_path}:/in:ro", "--security-opt", "no-new-privileges", "busybox", "sh", "-c", script),
    )
    assert out == "1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nfrom outside"


def test_a_container_that_runs_systemd_has_its_hierarchy(podman: Engine) -> None:
    script = "ls -d /run/lock && test -w /sys/fs/cgroup/cgroup.procs -o -w /sys/fs/cgroup/systemd/cgroup.procs"
    assert podman.ok("run", "--rm", *ALONE, "--systemd", "always", "busybox", "sh", "-c", script).startswith(
        "/run/lock"
    )


def test_two_containers_share_namespaces(podman: Engine, sleeper: str) -> None:
    out = podman.ok(
        *("run", "--rm", "--network", f"container:{sleeper}", "--pid", f"container:{sleeper}", "busybox", "ps")
    )
    assert "sleep 100" in out


def test_a_user_namespace_maps_root_away(podman: Engine) -> None:
    maps = ("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536")
    out = podman.ok(
        "run", "--rm", *ALONE, *maps, "busybox", "sh", "-c", "id -u; cat /proc/self/uid_map; echo > /dev/null"
    )
    assert out.split() == ["0", "0", "100000", "65536"]
