"""Containers in scopes that systemd makes, and containers that services start (systemd.scope(5))."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.cli import Pyc, sh
from tests.support.engines import RUNTIME
from tests.support.host import PATIENCE, needs_cgroup
from tests.support.oci import Oci

pytestmark = [
    pytest.mark.root,
    needs_cgroup(2),
    pytest.mark.skipif(not os.path.isdir("/run/systemd/system"), reason="needs systemd"),
]
MANAGED = ("--cgroup-manager", "systemd")


def units(pattern: str = "pyc-*") -> list[str]:
    listed = subprocess.run(
        ["systemctl", "list-units", "--all", "--plain", "--no-legend", pattern],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split()[0] for line in listed.stdout.splitlines()]


def shown(unit: str, name: str) -> str:
    words = ["systemctl", "show", "--value", "-p", name, unit]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def box(stocked: Pyc, image: str) -> Iterator[str]:
    """The unit of a container that runs."""
    identity = stocked(*MANAGED, "run", "-d", "--name", "box", "-m", "64m", image, "sleep", "1000").ok().stdout.strip()
    yield f"pyc-{identity}.scope"
    stocked("rm", "-f", "box")
    assert eventually(lambda: not units())


def test_a_container_runs_in_a_scope_of_its_own(stocked: Pyc, box: str) -> None:
    assert units() == [box]
    assert shown(box, "Delegate") == "yes" and shown(box, "Slice") == "system.slice"
    pid = stocked("inspect", "--format", "{{.State.Pid}}", "box").ok().stdout.strip()
    with open(f"/proc/{pid}/cgroup") as file:
        assert file.read() == f"0::/system.slice/{box}/container\n"


def test_limits_are_kept_when_systemd_looks_at_its_units_again(box: str) -> None:
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "set-property", "--runtime", "system.slice", "CPUWeight=100"], check=True)
    with open(f"/sys/fs/cgroup/system.slice/{box}/container/memory.max") as file:
        assert file.read() == f"{64 << 20}\n"


def test_it_can_be_entered_paused_and_stopped(stocked: Pyc, box: str) -> None:
    assert stocked("exec", "box", "cat", "/proc/self/cgroup").ok().stdout == "0::/\n"
    stocked("pause", "box").ok()
    stocked("unpause", "box").ok()
    stocked("stop", "-t", "0", "box").ok()
    assert eventually(lambda: not units())
    stocked("start", "box").ok()
    assert units() == [box]


@pytest.mark.parametrize(
    "script, code", [("true", 0), ("exit 3", 3), ("kill -9 $$", 137), ("exec tail /dev/zero", 137)]
)
def test_no_unit_is_left_however_it_ends(stocked: Pyc, image: str, script: str, code: int) -> None:
    assert stocked(*MANAGED, "run", "--rm", "--init", "-m", "32m", image, *sh(script)).code == code
    assert eventually(lambda: not units())


def test_no_unit_is_left_when_a_start_fails(stocked: Pyc, image: str) -> None:
    assert stocked(*MANAGED, "run", "--rm", image, "no-such-program").code == 127
    assert eventually(lambda: not units())


def test_no_unit_is_left_when_the_monitor_is_killed(stocked: Pyc, box: str) -> None:
    with open(f"/sys/fs/cgroup/system.slice/{box}/monitor/cgroup.procs") as file:
        os.kill(int(file.read()), 9)
    assert eventually(lambda: not units())
    assert stocked("ps", "-a", "--format", "{{.Names}}").ok().stdout == "box\n"


def test_a_slice_as_parent_is_enough(stocked: Pyc, image: str) -> None:
    made = stocked("run", "-d", "--name", "box", "--cgroup-parent", "pyctest-one.slice", image, "sleep", "100").ok()
    assert shown(f"pyc-{made.stdout.strip()}.scope", "Slice") == "pyctest-one.slice"
    stocked("rm", "-f", "box").ok()
    subprocess.run(["systemctl", "stop", "pyctest.slice"], check=True)
    assert eventually(lambda: not units("pyc*"))


@pytest.mark.parametrize("parent", ["a--b.slice", "-x.slice", "a/b.slice"])
def test_what_is_no_slice_is_one_clean_error(stocked: Pyc, image: str, parent: str) -> None:
    refused = stocked("run", "--rm", "--cgroup-parent", parent, image, "true")
    assert refused.code == 125 and len(refused.stderr.splitlines()) <= 2 and "slice" in refused.stderr


def test_without_a_bus_it_is_one_clean_error(stocked: Pyc, image: str) -> None:
    refused = stocked(
        *MANAGED, "run", "--rm", image, "true", env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/bus"}
    )
    assert refused.code == 125 and refused.stderr.startswith("pyc: can't ask systemd for pyc-"), refused.stderr
    assert not stocked("ps", "-aq").stdout


def test_what_a_service_has_started_goes_on_without_it(stocked: Pyc, image: str) -> None:
    name = f"pyctest-{os.getpid()}"
    environment = [f"--setenv={key}={value}" for key, value in stocked.env().items()]
    words = stocked.argv("run", "-d", "--name", "box", image, "sleep", "1000")
    subprocess.run(["systemd-run", "--quiet", "--wait", "--unit", name, *environment, *words], check=True, timeout=120)
    try:
        time.sleep(1)
        assert stocked("ps", "--format", "{{.Names}}").ok().stdout == "box\n"
    finally:
        stocked("rm", "-f", "box").ok()


def test_another_engine_gets_its_scope(oci: Oci) -> None:
    spec = oci.spec("sleep", "1000")
    spec["linux"]["cgroupsPath"] = "system.slice:pyctest:one"
    spec["linux"]["resources"] = {"pids": {"limit": 30}}
    bundle = oci.bundle(spec, "test")
    try:
        argv = [RUNTIME, "--root", oci.root, "--systemd-cgroup", "create", "--bundle", bundle]
        subprocess.run([*argv, "--pid-file", f"{bundle}/pid", "test"], stdin=subprocess.DEVNULL, check=True, timeout=60)
        with open(f"{bundle}/pid") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cgroup") as file:
            assert file.read() == "0::/system.slice/pyctest-one.scope/container\n"
        with open("/sys/fs/cgroup/system.slice/pyctest-one.scope/container/pids.max") as file:
            assert file.read() == "30\n"
        oci("--systemd-cgroup", "start", "test")
        assert oci.status() == "running"
    finally:
        oci("--systemd-cgroup", "delete", "--force", "test")
    assert eventually(lambda: not units("pyctest*"))
    refused = oci("create", "--bundle", bundle, "other")
    assert refused.code == 1 and "--systemd-cgroup" in refused.err
