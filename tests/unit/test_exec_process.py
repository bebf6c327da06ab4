"""What exec starts, and the order in which it gets there: both are data, so neither needs root or a container."""

from __future__ import annotations

from typing import Any

import pytest

from pycontainer.core.step import INIT, MONITOR
from pycontainer.errors import UsageError
from pycontainer.oci.exec_process import environment, exec_process
from pycontainer.oci.user import User
from pycontainer.plan.enter import Entry, enter

FIRST: Any = {
    "terminal": True,
    "user": {"uid": 0, "gid": 0},
    "args": ["first"],
    "env": ["PATH=/bin", "HOME=/root", "A=1"],
    "cwd": "/srv",
    "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]},
    "noNewPrivileges": True,
    "consoleSize": {"height": 1, "width": 1},
}


def test_what_is_not_asked_for_stays() -> None:
    made = exec_process(FIRST, command=("x", "y"))
    assert made["args"] == ["x", "y"] and made["terminal"] is False and "consoleSize" not in made
    assert {**made, "args": 0, "terminal": 0} == {
        **{name: value for name, value in FIRST.items() if name != "consoleSize"}, "args": 0, "terminal": 0,
    }  # fmt: skip


def test_another_user_has_another_home_and_no_powers() -> None:
    bob = User(7, 8, (8, 9), "/home/bob", "bob")
    made = exec_process(FIRST, command=("x",), user=bob)
    assert made["user"] == {"uid": 7, "gid": 8, "additionalGids": [8, 9]}
    assert "HOME=/home/bob" in made["env"]
    assert made["capabilities"] == {
        "bounding": ["CAP_CHOWN"], "effective": [], "permitted": [], "inheritable": [], "ambient": [],
    }  # fmt: skip
    assert "HOME=/root" in exec_process(FIRST, command=("x",), user=bob, sets_home=True)["env"]


def test_variables() -> None:
    assert environment(["A=1", "B=2"], ["B=3", "A", "C=x=y"], tty=True, home="") == ["B=3", "TERM=xterm", "C=x=y"]
    assert environment(["TERM=vt100"], [], tty=True, home="/h") == ["TERM=vt100", "HOME=/h"]
    for wrong in ("=x", "A\n=1", "A=\0"):
        with pytest.raises(UsageError):
            environment([], [wrong], tty=False, home="")


@pytest.mark.parametrize("asked", [{"command": ()}, {"command": ("",)}, {"command": ("a\0",)}, {"workdir": "x"}])
def test_what_makes_no_sense(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        exec_process(FIRST, **{"command": ("x",), **asked})


def test_nothing_that_leads_out_is_held_before_anything_of_the_container_is_touched() -> None:
    spec: Any = {"process": {**FIRST, "terminal": False}, "linux": {}}
    steps = enter(spec, Entry("id", ("mount", "pid", "network"), watched=True))
    titles = [step.title for step in steps]
    monitor = [call.name for step in steps if step.role == MONITOR for call in step.calls]
    inside = [(step.title, call.name) for step in steps if step.role == INIT for call in step.calls]
    assert monitor[:7] == ["prctl", "setns", "fchdir", "chroot", "chdir", "clone3", "setns"]  # in, a child, out
    assert inside[0][0] != "Take the root directory"
    assert titles.index("Hold nothing that leads out") < titles.index("Take the root directory")
    assert [name for _, name in inside].index("capset") < [name for _, name in inside].index("execve")
    assert not [name for _, name in inside if name == "setns"]


def test_out_of_a_user_namespace_nobody_comes_back() -> None:
    spec: Any = {"process": {**FIRST, "terminal": False}, "linux": {}}
    steps = enter(spec, Entry("id", ("user", "mount", "pid"), watched=True))
    by = {
        where: [call.name for step in steps if step.role == where for call in step.calls] for where in (MONITOR, INIT)
    }
    assert by[MONITOR].count("setns") == 1 and by[INIT].count("setns") == 1
