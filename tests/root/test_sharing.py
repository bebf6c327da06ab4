"""``--pid container:X`` and ``--ipc container:X``: two containers, one namespace."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainer.engine import users
from pycontainer.engine.options import Roots
from pycontainer.oci.build import USERS
from tests.support.cli import Pyc, sh

pytestmark = pytest.mark.root


@pytest.fixture
def donor(stocked: Pyc, image: str) -> Iterator[str]:
    stocked("run", "-d", "--name", "donor", "--ipc", "shareable", image, "sleep", "1000").ok()
    yield "donor"
    stocked("rm", "-f", "donor")


def namespace(stocked: Pyc, name: str, kind: str) -> str:
    return stocked("exec", name, "readlink", f"/proc/self/ns/{kind}").ok().stdout.strip()


def test_processes_are_seen_and_signalled(stocked: Pyc, image: str, donor: str) -> None:
    join = ("run", "--rm", "--pid", f"container:{donor}", image)
    assert re.search(r" 1 .* sleep 1000$", stocked(*join, "ps").ok().stdout, re.M)
    assert namespace(stocked, donor, "pid") in stocked(*join, "readlink", "/proc/self/ns/pid").ok().stdout
    stocked("exec", "-d", donor, "sleep", "998").ok()
    killed = "pkill -f 'sleep 99[8]' && while pgrep -f 'sleep 99[8]' > /dev/null; do :; done; echo over"
    assert stocked(*join, *sh(killed)).ok().stdout == "over\n"


def test_it_ends_with_its_own_process_and_takes_only_its_own_along(stocked: Pyc, image: str, donor: str) -> None:
    stocked("run", "-d", "--name", "guest", "--pid", f"container:{donor}", image, *sh("sleep 997 & sleep 0.3")).ok()
    assert stocked("wait", "guest").stdout == "0\n"
    deadline = time.monotonic() + 5
    while "sleep 997" in stocked("exec", donor, "ps").ok().stdout:
        assert time.monotonic() < deadline, "what the guest started lives on"
        time.sleep(0.05)


def test_its_health_is_checked_and_what_follows_its_end_runs_on_the_host(stocked: Pyc, image: str, donor: str) -> None:
    healthy = ("--health-cmd", "ps | grep -q 'sleep 1000'", "--health-interval", "100ms")
    stocked("run", "-d", "--rm", "--name", "guest", "--pid", f"container:{donor}", *healthy, image, "sleep", "2").ok()
    deadline = time.monotonic() + 5
    while stocked("inspect", "-f", "{{.State.Health.Status}}", "guest").stdout != "healthy\n":
        assert time.monotonic() < deadline
    stocked("stop", "-t", "0", "guest").ok()
    while stocked("inspect", "guest").code == 0:
        assert time.monotonic() < deadline, "--rm did not happen"


def test_shared_memory_and_message_queues_are_one(stocked: Pyc, image: str, donor: str) -> None:
    join = ("run", "--rm", "--ipc", f"container:{donor}", image)
    stocked("exec", donor, *sh("echo theirs > /dev/shm/theirs")).ok()
    assert stocked(*join, *sh("cat /dev/shm/theirs; echo ours > /dev/shm/ours")).ok().stdout == "theirs\n"
    assert stocked("exec", donor, "cat", "/dev/shm/ours").ok().stdout == "ours\n"
    assert namespace(stocked, donor, "ipc") in stocked(*join, "readlink", "/proc/self/ns/ipc").ok().stdout
    mounted = stocked(*join, "grep", " /dev/shm ", "/proc/self/mountinfo").ok().stdout
    assert "nosuid,nodev,noexec" in mounted and mounted.count("\n") == 1


def test_a_link_in_the_donor_s_place_for_shared_memory_leads_nowhere(stocked: Pyc, image: str, donor: str) -> None:
    """The donor is hostile: its /dev/shm is a link to where the host has something."""
    stocked("run", "-d", "--name", "evil", "--privileged", "--ipc", "shareable", image, "sleep", "100").ok()
    stocked(
        "exec", "evil", *sh("umount /dev/shm && rmdir /dev/shm && ln -s /etc /dev/shm && echo mine > /etc/mine")
    ).ok()
    done = stocked("run", "--rm", "--ipc", "container:evil", image, *sh("cat /dev/shm/mine; ls /dev/shm"))
    assert "shadow-" not in done.stdout and "debian_version" not in done.stdout
    assert done.code == 125 or done.stdout.startswith("mine\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pid", "container:nobody"), "no such container: nobody"),
        (("--ipc", "container:nobody"), "no such container: nobody"),
        (("--pid", "container:"), "invalid argument"),
        (("--pid", "container:../x"), "invalid argument"),
        (("--uts", "container:donor"), "must be host"),
        (("--userns", "private", "--pid", "container:hosts"), "exclude each other"),
        (("--ipc", "container:donor", "--sysctl", "kernel.shmmax=1"), "not allowed"),
        (("--ipc", "container:private"), "--ipc shareable"),
        (("--pid", "container:ended"), "it is exited"),
    ],
)
def test_what_can_not_be_shared_is_one_line(
    stocked: Pyc, image: str, donor: str, options: tuple[str, ...], said: str
) -> None:
    stocked("run", "-d", "--name", "private", image, "sleep", "100").ok()
    stocked("run", "--name", "ended", image, "true").ok()
    stocked("run", "-d", "--name", "hosts", "--userns", "host", image, "sleep", "100").ok()
    done = stocked("run", "--rm", *options, image, "true")
    assert done.code == 125 and said in done.stderr and "Traceback" not in done.stderr


def test_a_restarted_guest_joins_whoever_the_donor_is_then(stocked: Pyc, image: str, donor: str) -> None:
    stocked("run", "-d", "--name", "guest", "--pid", f"container:{donor}", image, "sleep", "100").ok()
    stocked("stop", "-t", "0", donor).ok()
    assert "is exited" in stocked("start", "guest").stderr
    stocked("start", donor, timeout=20).ok()
    stocked("start", "guest").ok()
    assert namespace(stocked, "guest", "pid") == namespace(stocked, donor, "pid")
    stocked("rm", "-f", "guest").ok()
    assert os.path.exists(f"/proc/{stocked('inspect', '-f', '{{.State.Pid}}', donor).stdout.strip()}")


# --- the user namespace that goes with it ----------------------------------------------------------------------------

MAP = "/proc/self/uid_map"


def first_id(stocked: Pyc, name: str) -> int:
    pid = stocked("inspect", "-f", "{{.State.Pid}}", name).ok().stdout.strip()
    return int(Path(f"/proc/{pid}/uid_map").read_text().split()[1])


@pytest.mark.parametrize("kind", ["pid", "ipc", "network"])
def test_who_shares_is_in_the_same_user_namespace_and_what_it_has_of_its_own_belongs_to_it(
    stocked: Pyc, image: str, donor: str, kind: str
) -> None:
    join = ("run", "--rm", f"--{kind}", f"container:{donor}", image)
    seen = stocked(*join, *sh(f"cat {MAP}; readlink /proc/self/ns/user; mount | grep -c ' /sys '; ping -c 1 127.0.0.1"))
    inside, base, size, namespace_, mounts = seen.ok().stdout.split()[:5]
    assert (int(inside), int(base), int(size), int(mounts)) == (0, first_id(stocked, donor), 65536, 1)
    assert namespace_ == namespace(stocked, donor, "user")
    assert "0% packet loss" in seen.stdout
    written = "touch /x; chown 1000 /x; stat -c %u /x; ls -l /proc/1/exe > /dev/null; ip addr add 10.9.9.9/32 dev lo"
    done = stocked("run", "--rm", "--cap-add", "NET_ADMIN", f"--{kind}", f"container:{donor}", image, *sh(written))
    assert (done.ok().stdout, done.stderr) == ("1000\n", "")


def test_inspect_and_exec_know_whose_ids_a_guest_has(stocked: Pyc, image: str, donor: str) -> None:
    stocked("run", "-d", "--name", "guest", "--network", f"container:{donor}", image, "sleep", "100").ok()
    config = json.loads(stocked("inspect", "guest").stdout)[0]["HostConfig"]
    assert config["UsernsMode"] == "private"
    assert config["IDMappings"]["UidMap"] == [f"0:{first_id(stocked, donor)}:65536"]
    assert stocked("exec", "guest", "readlink", "/proc/self/ns/user").ok().stdout.strip() == namespace(
        stocked, donor, "user"
    )
    stocked("rm", "-f", "guest").ok()


def test_a_guest_of_a_container_in_the_host_s_user_namespace_is_in_that_too(stocked: Pyc, image: str) -> None:
    stocked("run", "-d", "--name", "hosts", "--userns", "host", image, "sleep", "100").ok()
    done = stocked("run", "--name", "guest", "--network", "container:hosts", image, "cat", MAP).ok()
    assert done.stdout.split() == ["0", "0", str(2**32 - 1)]
    config = json.loads(stocked("inspect", "guest").stdout)[0]["HostConfig"]
    assert (config["UsernsMode"], config["UsernsReason"]) == ("host", "--network container:hosts")
    stocked("rm", "-f", "guest", "hosts").ok()


def test_a_range_is_kept_from_others_while_a_guest_of_its_owner_lives(stocked: Pyc, image: str, donor: str) -> None:
    stocked("run", "-d", "--name", "guest", "--network", f"container:{donor}", image, "sleep", "100").ok()
    base = first_id(stocked, donor)
    claim = Path(stocked.runroot, "users", str((base - users.FIRST) // USERS))
    stocked("rm", "-f", donor).ok()
    assert claim.is_symlink() and first_id(stocked, "guest") == base
    roots = Roots(stocked.root, stocked.runroot)
    assert not users._drop_stale(roots, str(claim)), "somebody else could have had the guest's ids"
    stocked("rm", "-f", "guest").ok()
    assert not claim.is_symlink() and os.listdir(f"{stocked.runroot}/users") == []


def test_a_donor_that_starts_again_has_the_ids_of_its_guest_again(stocked: Pyc, image: str, donor: str) -> None:
    stocked("run", "-d", "--name", "guest", "--network", f"container:{donor}", image, "sleep", "100").ok()
    base = first_id(stocked, donor)
    stocked("restart", "-t", "0", donor).ok()
    assert first_id(stocked, donor) == first_id(stocked, "guest") == base
    stocked("rm", "-f", "guest").ok()
    stocked("rm", "-f", donor).ok()
    assert os.listdir(f"{stocked.runroot}/users") == []


def test_a_killed_guest_s_note_keeps_the_range_from_nobody(stocked: Pyc, image: str, donor: str) -> None:
    base = first_id(stocked, donor)
    claim = Path(stocked.runroot, "users", str((base - users.FIRST) // USERS))
    Path(f"{claim}.shared").mkdir()
    Path(f"{claim}.shared", "f" * 64).symlink_to("f" * 64)  # killed between two calls; its live state is gone
    stocked("rm", "-f", donor).ok()
    roots = Roots(stocked.root, stocked.runroot)
    users.give_back_stale(roots)
    assert not claim.is_symlink() and not Path(f"{claim}.shared").exists()
