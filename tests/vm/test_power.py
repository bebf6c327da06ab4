"""What only a machine of our own can show: it is rebooted, its users log out, and its plug is pulled."""

from __future__ import annotations

import time

import pytest

from images.registry import Registry
from tests.vm.machine import REGISTRY, Machine

BUSYBOX = f"{REGISTRY}/library/busybox"
LAYERS = f"{REGISTRY}/library/layers"
PYTHON = "/opt/pycontainer/bin/python"
ROOT = "/var/lib/pycontainer"


@pytest.fixture(scope="module")
def served(vm: Machine, registry: Registry) -> Machine:
    """The VM that knows this host's registry, which has what the tests pull."""
    registry.publish("layers")
    settings = f'[[registry]]\\nlocation = "{REGISTRY}"\\ninsecure = true\\n'
    vm(f"mkdir -p /etc/containers; printf '{settings}' > /etc/containers/registries.conf", check=True)
    return vm


@pytest.fixture
def stocked(served: Machine) -> Machine:
    """The VM with busybox pulled, on its disk, and no container."""
    served(f"pyc rm -f $(pyc ps -aq) 2>/dev/null; pyc pull -q {BUSYBOX} && sync", check=True)
    return served


def background(vm: Machine, name: str, *words: str) -> None:
    """Run a container in the foreground of a session that goes on when ours has ended, and wait until it runs."""
    vm(f"systemd-run -q --unit {name} -p KillMode=mixed pyc run --name {name} {BUSYBOX} {' '.join(words)}", check=True)
    vm(f'until [ -n "$(pyc ps -q -f name={name})" ]; do sleep 0.2; done', check=True)


def states(vm: Machine) -> dict[str, str]:
    """Each container's status, as `pyc ps -a` shows it."""
    listed = vm("pyc ps -a --format '{{.Names}}\t{{.Status}}'", check=True)
    return dict(line.split("\t", 1) for line in listed.lines)


def nothing_is_stale(vm: Machine) -> None:
    """After a boot, before anything was started: no trace of what ran, and all that is stored is whole."""
    left = vm("ls -d /sys/fs/cgroup/pyc /run/pycontainer/containers/* 2>/dev/null; grep overlay /proc/self/mountinfo")
    assert left.stdout == ""
    check = vm(f"cd /opt/tests && {PYTHON} -m tests.vm.intact {ROOT}")
    assert check.code == 0, check.stdout + check.stderr


def still_works(vm: Machine) -> None:
    ran = vm(f"pyc run --rm {BUSYBOX} echo works")
    assert (ran.code, ran.stdout) == (0, "works\n"), ran.stderr


def test_a_reboot_ends_what_ran_and_keeps_what_was_stored(stocked: Machine) -> None:
    background(stocked, "talks", "sh", "-c", "'trap \"exit 3\" TERM; while :; do sleep 1; done'")
    stocked(f"pyc run --name done {BUSYBOX} sh -c 'echo kept > /file; exit 7'")
    stocked.reboot()
    nothing_is_stale(stocked)
    found = states(stocked)
    assert found["done"].startswith("Exited (7)")
    assert found["talks"].startswith("Exited (3)")
    assert stocked("pyc cp done:/file - | tar -xO", check=True).stdout == "kept\n"
    still_works(stocked)
    stocked("pyc rm talks done", check=True)


def test_what_has_a_policy_starts_at_boot(stocked: Machine) -> None:
    for name, policy in (("always", "always"), ("stopped", "unless-stopped"), ("plain", "no")):
        said = stocked(f"pyc run -d --name {name} --restart {policy} {BUSYBOX} sleep 100000", check=True).stderr
        assert ("pyc system boot --install" in said) == (policy != "no"), said
    stocked("pyc stop -t 1 stopped && pyc system boot --install", check=True)
    stocked.reboot()
    running = "pyc ps -q -f name=always -f status=running"
    stocked(f'for i in $(seq 300); do [ -z "$({running})" ] || break; sleep 1; done')
    found = states(stocked)
    assert found["always"].startswith("Up")
    assert found["stopped"].startswith("Exited") and found["plain"].startswith("Exited")
    assert stocked("systemctl --failed --plain --no-legend").stdout == ""
    assert stocked(f"pyc create --restart always --name late {BUSYBOX} true", check=True).stderr == ""
    stocked("pyc system boot --uninstall; pyc rm -f always stopped plain late", check=True)


def test_containers_survive_the_logout_of_who_started_them(stocked: Machine) -> None:
    """Even where logind kills what a user leaves behind."""
    setting = "/etc/systemd/logind.conf.d/kill.conf"
    stocked(f"mkdir -p $(dirname {setting}); printf '[Login]\\nKillUserProcesses=yes\\n' > {setting}", check=True)
    stocked("systemctl restart systemd-logind", check=True)
    left = stocked(
        f"(setsid sleep 1000 </dev/null >/dev/null 2>&1 &); sudo pyc run -d --name survivor {BUSYBOX} sleep 100000",
        user="vagrant",
    )
    assert left.code == 0, left.stderr
    killed = stocked("for i in $(seq 60); do pgrep -u vagrant sleep >/dev/null || exit 0; sleep 1; done; exit 1")
    assert killed.code == 0, "logind did not kill anything"
    assert states(stocked)["survivor"].startswith("Up")
    stocked(f"rm {setting}; systemctl restart systemd-logind; pyc rm -f survivor", check=True)


def test_a_power_cut_while_containers_run_leaves_the_truth(stocked: Machine) -> None:
    background(stocked, "writes", "sh", "-c", "'while :; do echo x >> /file; done'")
    stocked(f"pyc run --name done {BUSYBOX} sh -c 'exit 7'; sync")
    stocked(f"pyc run --name late {BUSYBOX} sh -c 'exit 8'")  # perhaps not on disk yet
    stocked.cut_power()
    stocked.power_on()
    nothing_is_stale(stocked)
    found = states(stocked)
    assert found["done"].startswith("Exited (7)")
    assert found["writes"].startswith("Exited (255)")
    assert found.get("late", "Exited (8)").startswith(("Exited (8)", "Exited (255)", "Created"))
    still_works(stocked)
    assert stocked("pyc rm -f $(pyc ps -aq)").ok().stderr == ""
    assert states(stocked) == {}


@pytest.mark.parametrize("seconds", [1, 4, 9])
def test_a_power_cut_during_a_pull_leaves_no_half_image(stocked: Machine, seconds: float) -> None:
    stocked(f"pyc rmi {LAYERS} 2>/dev/null; sync")
    pulling = stocked.start(f"pyc pull {LAYERS} && echo whole && sleep 100")
    time.sleep(seconds)
    stocked.cut_power()
    pulling.wait(60)
    stocked.power_on()
    nothing_is_stale(stocked)
    still_works(stocked)
    assert stocked(f"pyc pull -q {LAYERS} && pyc run --rm {LAYERS} true").ok()
    nothing_is_stale_in_the_store(stocked)


def nothing_is_stale_in_the_store(vm: Machine) -> None:
    assert vm(f"ls {ROOT}/tmp", check=True).stdout == ""
    trash = vm(f"ls {ROOT}/trash", check=True).lines
    assert len(trash) <= 1, trash  # the last container's empty directories are the next start's to delete


@pytest.mark.parametrize("command", ["run", "rm"])
def test_a_power_cut_in_a_storm_of_runs_and_removals_harms_nothing(stocked: Machine, command: str) -> None:
    run = f"pyc run --name c$i {BUSYBOX} sh -c 'echo x > /file'"
    storm = {"run": run, "rm": f"{run}; pyc rm c$i"}[command]
    storming = stocked.start(f"i=0; while i=$((i+1)); do {storm}; done")
    time.sleep(7)
    stocked.cut_power()
    storming.wait(60)
    stocked.power_on()
    nothing_is_stale(stocked)
    still_works(stocked)
    states(stocked)
    assert stocked("pyc ps -aq | xargs -r pyc rm -f").ok()
    assert states(stocked) == {}
    assert stocked(f"ls {ROOT}/containers {ROOT}/names", check=True).stdout.split() == [
        f"{ROOT}/containers:",
        f"{ROOT}/names:",
    ]
