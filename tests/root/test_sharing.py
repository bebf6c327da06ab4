"""``--pid container:X`` and ``--ipc container:X``: two containers, one namespace."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest

import pycontainer
from pycontainer import Roots
from pycontainer.engine import capture
from tests.support.cli import Pyc, sh
from tests.support.host import PATIENCE

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
    options = ("--rm", "--pid", f"container:{donor}", "--health-cmd", "ps | grep -q 'sleep 1000'")
    lasts = ("sleep", str(2 * PATIENCE))
    stocked("run", "-d", "--name", "guest", *options, "--health-interval", "100ms", image, *lasts).ok()
    deadline = time.monotonic() + 5 * PATIENCE
    while stocked("inspect", "-f", "{{.State.Health.Status}}", "guest").stdout != "healthy\n":
        assert time.monotonic() < deadline
    stocked("stop", "-t", "0", "guest").ok()
    while stocked("inspect", "guest").code == 0:
        assert time.monotonic() < deadline, "--rm did not happen"


def test_who_stops_all_that_comes_keeps_no_start_waiting(
    stocked: Pyc, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the host's ids it may signal the newcomer before that has begun: a person can give up, a program too."""
    stocked("run", "-d", "--name", "donor", "--userns", "host", image, *sh("while :; do kill -STOP -1; done")).ok()
    assert any(  # not each time: on a busy machine it is not quick enough
        _is_stopped_and_ends_when_asked(stocked, image) for _ in range(5)
    )
    monkeypatch.setattr(capture, "GRACE", 0.5)
    roots = Roots(stocked.root, stocked.runroot)
    options = {"network": "none", "userns": "host", "pid": "container:donor", "roots": roots, "timeout": 0.1}
    assert all(pycontainer.run(image, "sleep 1000", **options).timed_out for _ in range(2))
    stocked("rm", "-f", "donor").ok()
    assert stocked("ps", "-aq").stdout == ""


def _is_stopped_and_ends_when_asked(stocked: Pyc, image: str) -> bool:
    """Whether a ``run`` was stopped before its program began: then SIGTERM ends it, and nothing is left."""
    options = ("--rm", "--name", "guest", "--userns", "host", "--pid", "container:donor")
    with stocked.start("run", *options, image, "sleep", "1000") as asked:
        time.sleep(PATIENCE)
        began = "sleep" in stocked("ps", "--filter", "name=guest", "--filter", "status=running").ok().stdout
        if began:
            stocked("kill", "guest").ok()
        else:
            asked.terminate()
        assert asked.wait(5 * PATIENCE) == (137 if began else 143)
    assert stocked("inspect", "guest").code == 1
    return not began


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
        (("--userns", "private", "--pid", "container:donor"), "exclude each other"),
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
