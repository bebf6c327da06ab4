"""The order and content of a container's plan, as data: no root, no kernel."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from pycontainer.cgroups import Group
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, PROGRAM, Call, Plan, Slot, Struct
from pycontainer.errors import UsageError
from pycontainer.oci import fates
from pycontainer.plan import mounts, program, slots
from pycontainer.plan.container import Setting, container
from pycontainer.plan.seccomp import Filter
from pycontainer.rootfs.overlay import Directory, Overlay

KINDS = {"/proc/kcore": "file", "/proc/acpi": "directory", "/sys/firmware": "directory", "/src": "directory"}

TOP = Path(fates.__file__).parents[1]


def spec(**process: Any) -> Any:
    return {
        "root": {"path": "rootfs"},
        "process": {
            "args": ["sh"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True,
            "capabilities": {"bounding": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]},
            **process,
        },
        "hostname": "demo",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("mount", "pid", "network", "ipc", "uts", "cgroup")],
            "maskedPaths": ["/proc/kcore", "/proc/acpi", "/proc/absent"],
            "readonlyPaths": ["/proc/sys"],
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"},
        },
    }


def plan_of(document: Any, **setting: Any) -> Plan:
    values: dict[str, Any] = {
        "container": "abc",
        "rootfs": Overlay("/var/lib/x/layers", ("b/fs", "a/fs"), "../containers/abc/upper", "../containers/abc/work"),
        "mount_point": "/var/lib/x/containers/abc",
        "group": Group(()),
        "kernel": (6, 18),
        "kind_of": lambda path: KINDS.get(path, ""),
        "filter": Filter(bytes(16), 0),
        "given": frozenset({slots.STDOUT, slots.FROM_STDOUT}),
    }
    return container(document, Setting(**{**values, **setting}))


def names(plan: Plan, where: str = INIT) -> list[str]:
    return [call.name for step in plan if step.role == where for call in step.calls]


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan]


def before(plan: Plan, *expected: str) -> None:
    at = [titles(plan).index(title) for title in expected]
    assert at == sorted(at), dict(zip(expected, at, strict=True))


def calls_named(plan: Plan, name: str) -> list[Call]:
    return [call for step in plan for call in step.calls if call.name == name]


def test_the_order_that_all_runtimes_agree_on() -> None:
    before(
        plan_of(spec()),
        "Make the container's first process",
        "Tie init to the monitor",
        "Stop mounts from spreading to the host",
        "Stack the layers",
        "Attach the new root",
        "Mount /proc",
        "Make the devices",
        "Set kernel parameters",
        "Start a session",
        "Change the root",
        "Mask what tells or does too much",
        "Protect what may be read but not written",
        "Name it",
        "Bound what can ever be gained",
        "Become the user",
        "Give up root's powers",
        "Close every other descriptor at execve",
        "Gain nothing by execve",
        "Filter system calls",
        "Become the program",
        "Know that the program runs",
        "Watch over it",
    )


def test_every_step_says_why_and_where_to_read_on() -> None:
    for step in plan_of(spec(terminal=True, oomScoreAdj=5, rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}])):
        assert step.title[0].isupper()
        assert len(step.why) > 20
        assert "(" in step.man


FIELD = re.compile(r"(?:hostname|hooks|mounts|(?:process|linux|root)\.\w+)[\w.\[\]]*")


def test_a_step_is_asked_for_by_a_field_that_there_is() -> None:
    there = fates.table()
    sources = [path for folder in ("plan", "cgroups", "oci") for path in (TOP / folder).glob("*.py")]
    made = [node for path in sources for node in ast.walk(ast.parse(path.read_text())) if _is_step(node)]
    asked = {value.value for node in made for value in ast.walk(node) if isinstance(value, ast.Constant)}
    fields = {value for value in asked if isinstance(value, str) and FIELD.fullmatch(value)}
    assert len(fields) > 20
    assert [field for field in fields if not any(name.startswith(field) for name in there)] == []


def _is_step(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Step"


def test_without_no_new_privs_the_filter_comes_before_the_power_to_install_it_goes() -> None:
    before(plan_of(spec(noNewPrivileges=False)), "Filter system calls", "Become the user")
    assert "Gain nothing by execve" not in titles(plan_of(spec(noNewPrivileges=False)))


def test_nothing_is_mounted_by_init_before_propagation_is_off() -> None:
    made = [name for name in names(plan_of(spec())) if name in ("mount", "move_mount", "fsmount", "open_tree")]
    assert made[0] == "mount"


def test_what_the_image_contains_is_only_opened_with_the_new_root_as_root() -> None:
    document = spec(cwd="/work/dir")
    document["mounts"].append({"destination": "/a/b/c", "type": "bind", "source": "/src", "options": ["rbind", "ro"]})
    plan = plan_of(document)
    assert calls_named(plan, "openat2") and calls_named(plan, "mkdirat")
    for call in calls_named(plan, "openat2"):
        how = call.args[2]
        assert isinstance(how, bytes)
        assert int.from_bytes(how[16:24], "little") & (k.RESOLVE_IN_ROOT | k.RESOLVE_BENEATH)
    for call in calls_named(plan, "mkdirat"):
        assert "/" not in str(call.args[1])


def test_proc_sys_and_dev_must_be_plain_directories() -> None:
    opened = {call.args[1]: call.args[2] for call in calls_named(plan_of(spec()), "openat2")}
    for name in ("proc", "dev"):
        how = opened[name]
        assert isinstance(how, bytes)
        assert int.from_bytes(how[16:24], "little") & k.RESOLVE_NO_SYMLINKS


def test_the_root_is_made_read_only_after_the_last_mount_point() -> None:
    document = spec(cwd="/missing")
    document["root"]["readonly"] = True
    before(plan_of(document), "Go to the working directory", "Make the root read-only", "Become the program")


def test_a_hundred_and_twenty_layers_need_a_list_or_fit_into_a_page() -> None:
    lowers = tuple(f"{number:024x}/fs" for number in range(120))
    own = "../containers/" + "a" * 64
    rootfs = Overlay("/var/lib/pycontainer/layers", lowers, f"{own}/upper", f"{own}/work")
    new = plan_of(spec(), rootfs=rootfs)
    assert len([call for call in calls_named(new, "fsconfig") if call.args[2] == "lowerdir+"]) == 120
    old = plan_of(spec(), rootfs=rootfs, kernel=(6, 1))
    (overlay,) = [call for call in calls_named(old, "mount") if call.args[2] == "overlay"]
    assert len(str(overlay.args[4])) < 4096


def test_layers_on_one_mount_are_mapped_by_one_mount() -> None:
    document = spec()
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"]["uidMappings"] = document["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 7, "size": 9}]
    rootfs = Overlay("/x/layers", ("b/fs", "../skeleton"), "../containers/abc/upper", "../containers/abc/work")
    for top, mounts_taken in (("/x", 1), ("", 3)):
        plan = plan_of(document, rootfs=rootfs._replace(top=top))
        (stacked,) = [step for step in plan if step.title == "Stack the layers"]
        assert len([call for call in stacked.calls if call.name == "open_tree"]) == mounts_taken
        given = [call.args[2] for call in stacked.calls if call.name == "fsconfig" and isinstance(call.args[4], Slot)]
        assert [key for key in given if key in ("lowerdir+", "upperdir", "workdir")] == [
            *["lowerdir+"] * 2,
            "upperdir",
            "workdir",
        ]
        opened = [call.out for call in stacked.calls if call.out]
        closed = [call.args[0] for step in plan if step.role == INIT for call in step.calls if call.name == "close"]
        shut = [call.args[0] for call in stacked.calls if call.name == "close"]
        assert set(opened) - {slots.ROOT} <= {*closed, *shut}, "init keeps a way to the layers"
        if top:
            paths = [call.args[1] for call in stacked.calls if call.name == "openat"]
            assert paths == ["layers/b/fs", "skeleton", "containers/abc/upper", "containers/abc/work"]


def test_a_directory_can_be_the_root() -> None:
    plan = plan_of(spec(), rootfs=Directory("/bundle/rootfs"))
    assert "Take the root directory" in titles(plan)


def test_namespaces_are_made_in_one_clone_but_the_cgroup_namespace_inside_the_cgroup() -> None:
    (call,) = calls_named(plan_of(spec()), "clone3")
    (arguments, _size) = call.args
    assert isinstance(arguments, bytes)
    flags = int.from_bytes(arguments[:8], "little")
    assert flags == k.CLONE_NEWNS | k.CLONE_NEWPID | k.CLONE_NEWNET | k.CLONE_NEWIPC | k.CLONE_NEWUTS
    before(plan_of(spec()), "Hide where the cgroup is", "Stop mounts from spreading to the host")


def test_a_namespace_with_a_path_is_joined() -> None:
    document = spec()
    document["linux"]["namespaces"][2] = {"type": "network", "path": "/run/netns/x"}
    plan = plan_of(document)
    assert calls_named(plan, "setns")[0].args[1] == k.CLONE_NEWNET
    assert "Bring up loopback" not in titles(plan)


def test_a_mask_that_the_host_lacks_is_left_out() -> None:
    step = next(step for step in plan_of(spec()) if step.title.startswith("Mask"))
    opened = [call.args[1] for call in step.calls if call.name == "openat2"]
    assert opened == ["proc/kcore", "proc/acpi"]


def test_the_program_is_searched_in_the_containers_own_path() -> None:
    assert [call.args[0] for call in calls_named(plan_of(spec()), "execve")] == ["/usr/bin/sh", "/bin/sh"]
    assert program.candidates("./x", ("PATH=/bin",)) == ("./x",)
    assert program.candidates("x", ("PATH=:/bin",)) == ("./x", "/bin/x")
    assert [bool(call.tolerate) for call in calls_named(plan_of(spec()), "execve")] == [True, False]


def test_under_init_a_child_becomes_the_program() -> None:
    plan = plan_of(spec(), init=True)
    assert "execve" not in names(plan)
    assert "execve" in names(plan, PROGRAM)
    assert names(plan)[-1] == "reap"


def test_a_terminal_is_opened_by_the_monitor_and_its_filesystem_attached_by_init() -> None:
    plan = plan_of(spec(terminal=True, consoleSize={"height": 24, "width": 80}), given=frozenset())
    before(plan, "Open a terminal", "Make the container's first process", "Mount /dev/pts", "Start a session")
    assert next(call for call in calls_named(plan, "fsopen") if call.args[0] == "devpts") in next(
        step.calls for step in plan if step.title == "Open a terminal"
    )
    supervise = calls_named(plan, "supervise")[0].args[0]
    assert isinstance(supervise, Struct)
    assert [slot for _, slot in supervise.slots].count(slots.MASTER) == 2


def test_stdio_that_nobody_attached_is_the_containers_own_dev_null() -> None:
    step = next(step for step in plan_of(spec()) if step.title == "Start a session")
    targets = [call.args for call in step.calls if call.name == "dup3"]
    assert targets[1][0] == slots.STDOUT
    assert targets[0][0] == targets[2][0] != slots.STDOUT


def test_the_monitor_lets_go_of_the_containers_ends() -> None:
    step = next(step for step in plan_of(spec()) if step.title.startswith("Let go"))
    assert [call.args[0] for call in step.calls] == [slots.STDOUT]
    assert step.role == MONITOR


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["ro", "rw"], (0, k.MOUNT_ATTR_RDONLY)),
        (["nosuid", "noexec"], (k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NOEXEC, 0)),
        (["strictatime"], (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR__ATIME)),
    ],
)
def test_mount_options_are_sorted(options: list[str], expected: tuple[int, int]) -> None:
    sorted_ = mounts.attributes(options)
    assert (sorted_.set, sorted_.clear) == expected


def test_mount_options_that_are_the_filesystems_own_are_kept() -> None:
    a = mounts.attributes(["rbind", "rro", "rprivate", "size=1m", "nosuid"])
    assert (a.bind, a.recursive, a.set_below, a.data) == (True, True, k.MOUNT_ATTR_RDONLY, ("size=1m",))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (spec(args=[]), "no command"),
        (spec(cwd="relative"), "absolute"),
        (spec(rlimits=[{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}]), "RLIMIT_FOO"),
    ],
)
def test_what_can_not_be_is_refused(document: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(document)


def test_a_mount_point_with_dot_dot_is_refused() -> None:
    document = spec()
    document["mounts"].append({"destination": "/a/../b", "type": "tmpfs", "options": []})
    with pytest.raises(UsageError, match=r"'\.\.'"):
        plan_of(document)
