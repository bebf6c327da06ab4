"""Where a scope's cgroup is, and what the plan does in it."""

from __future__ import annotations

import pytest

from pycontainer.cgroups import Cgroups, scope
from pycontainer.cgroups.group import SCOPE
from pycontainer.cgroups.hierarchy import Hierarchies, Hierarchy
from pycontainer.cgroups.limit import Look
from pycontainer.core.step import Step
from pycontainer.errors import UsageError


@pytest.mark.parametrize(
    "slice, name, path",
    [
        ("system.slice", "pyc-1", "/system.slice/pyc-1.scope/container"),
        ("a-b-c.slice", "x", "/a.slice/a-b.slice/a-b-c.slice/x.scope/container"),
        ("-.slice", "x", "/x.scope/container"),
    ],
)
def test_a_slice_is_below_those_that_its_name_begins_with(slice: str, name: str, path: str) -> None:
    assert scope.path(slice, name) == path
    assert scope.of_path(path) == scope.Scope(f"{name}.scope", slice)


@pytest.mark.parametrize(
    "slice", ["a", "a--b.slice", "-a.slice", ".slice", "a/b.slice", "../x.slice", "ä.slice", "a b.slice"]
)
def test_what_is_no_slice_is_refused(slice: str) -> None:
    with pytest.raises(UsageError):
        scope.path(slice, "x")


def test_engines_write_three_words() -> None:
    assert scope.of_spec("machine.slice:libpod:1", "x") == "/machine.slice/libpod-1.scope/container"
    assert scope.of_spec("::1", "x") == "/system.slice/1.scope/container"
    assert scope.of_spec("", "x") == "/system.slice/pyc-x.scope/container"
    assert not scope.is_for_systemd("/a:b:c") and not scope.is_for_systemd("/pyc/x")


def test_a_user_s_own_systemd_has_its_units_below_its_service() -> None:
    top = "/user.slice/user-1000.slice/user@1000.service"
    for words, rest, slice in ((":libpod:1", "/user.slice", "user.slice"), ("-.slice:libpod:1", "", "-.slice")):
        path = scope.of_spec(words, "x", top)
        assert path == f"{top}{rest}/libpod-1.scope/container"
        assert (scope.of_path(path), scope.top_of(path)) == (scope.Scope("libpod-1.scope", slice, True), top)
    assert scope.top_of("/system.slice/pyc-x.scope/container") == ""


def test_a_path_of_another_kind_is_in_no_scope() -> None:
    assert scope.of_path("/pyc/1") is None and scope.of_path("/user.slice/x.scope") is None


def test_the_monitor_waits_for_its_scope_and_makes_room_before_the_containers_cgroup() -> None:
    v2 = Hierarchy(2, "/sys/fs/cgroup", "/", True, ("memory", "pids"))
    group = Cgroups(Hierarchies({}, v2), Look()).group("/system.slice/pyc-1.scope/container", {"pids": {"limit": 5}})
    assert group.scope == scope.Scope("pyc-1.scope", "system.slice")
    wait, room, make, *_ = group.create()
    assert wait.calls[0].args[0] == SCOPE
    top = "/sys/fs/cgroup/system.slice/pyc-1.scope"
    assert _paths(room) == [f"{top}/monitor", f"{top}/monitor/cgroup.procs"]
    assert _paths(make) == [f"{top}/cgroup.subtree_control", f"{top}/container"]  # above, systemd hands down


def _paths(step: Step) -> list[object]:
    return [call.args[1] for call in step.calls if call.name in ("openat", "mkdirat")]
