"""`pyc-oci` for an ordinary user, and for root of a user namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.engines import RUNTIME, wait_until
from tests.support.host import missing_command
from tests.support.oci import Oci

pytestmark = pytest.mark.root

USER = 65534  # nobody: with no ids beside its own
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


def given_away(directory: str) -> None:
    for place, _, files in os.walk(directory):
        for path in (place, *(f"{place}/{name}" for name in files)):
            os.chown(path, USER, USER, follow_symlinks=False)


@pytest.fixture
def oci() -> Iterator[Oci]:
    where = tempfile.mkdtemp(prefix="pyctest", dir="/tmp")  # pytest's own directories are root's alone
    user = Oci(where, AS_USER)
    given_away(where)
    yield user
    user.clean()
    shutil.rmtree(where)


def spec_of(oci: Oci, *args: str) -> dict[str, Any]:
    spec = oci.spec(*args)
    with_users(spec, USER)
    for mount in spec["mounts"]:
        if mount["destination"] == "/dev/pts":
            mount["options"].remove("gid=5")
    del spec["linux"]["resources"]
    return spec


def with_users(spec: dict[str, Any], host: int) -> None:
    spec["linux"]["namespaces"] = [*spec["linux"]["namespaces"], {"type": "user"}]
    for kind in ("uidMappings", "gidMappings"):
        spec["linux"][kind] = [{"containerID": 0, "hostID": host, "size": 1}]


@pytest.mark.parametrize("runtime", [RUNTIME, pytest.param("runc", marks=pytest.mark.peers)])
def test_the_example_for_a_user_runs(oci: Oci, runtime: str) -> None:
    if runtime == "runc" and (reason := missing_command("runc")):
        pytest.skip(reason)
    os.makedirs(f"{oci.where}/b")
    os.rename(oci.rootfs, f"{oci.where}/b/rootfs")
    given_away(oci.where)
    done = subprocess.run([*AS_USER, runtime, "spec", "--rootless", "--bundle", f"{oci.where}/b"], capture_output=True)
    assert done.returncode == 0, done.stderr
    with open(f"{oci.where}/b/config.json") as file:
        text = file.read()
    with open(f"{oci.where}/b/config.json", "w") as file:
        file.write(text.replace('"terminal": true', '"terminal": false'))
    done = oci("run", "--bundle", f"{oci.where}/b", "test", stdin=b"id -u; echo > /dev/null && hostname")
    assert (done.code, done.err, done.out.split()[0]) == (0, "", "0")


def test_a_container_without_a_cgroup_is_entered_listed_and_ended_and_says_what_it_lacks(oci: Oci) -> None:
    pid = oci.create(spec_of(oci, "sleep", "100"))
    assert oci("start", "test").code == 0
    assert oci("exec", "test", "sh", "-c", "id -u; ls /proc/self/fd").out.split() == ["0", "0", "1", "2", "3"]
    assert str(pid) in oci("ps", "test").out and "nobody" in oci("list").out
    for words in (("pause", "test"), ("update", "--memory", "64m", "test")):
        refused = oci(*words)
        assert (refused.code, refused.err.count("\n")) == (1, 1) and "no cgroup" in refused.err
    assert oci("kill", "--all", "test", "KILL").code == 0
    wait_until(lambda: oci.status() == "stopped")
    assert oci("delete", "test").code == 0


def test_it_has_a_terminal_of_its_own(oci: Oci) -> None:
    spec = spec_of(oci, "sh", "-c", "test -t 0 && test -c /dev/console && echo tty")
    spec["process"]["terminal"] = True
    bundle = oci.bundle(spec)
    done = subprocess.run(
        [
            "script",
            "-qec",
            " ".join([*AS_USER, RUNTIME, "--root", oci.root, "run", "--bundle", bundle, "t"]),
            "/dev/null",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout.strip("\0^@\r\n")) == (0, "tty"), done


def change(spec: dict[str, Any], field: str, value: Any) -> None:
    *above, last = field.split(".")
    for key in above:
        spec = spec.setdefault(key, {})
    spec[last] = value


MORE = [{"containerID": 0, "hostID": USER, "size": 2}]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("linux.resources", {"memory": {"limit": 64 << 20}}, "linux.resources.memory.limit: no cgroup for it"),
        ("linux.resources", {"pids": {"limit": 20}}, "linux.resources.pids.limit: no cgroup for it"),
        ("linux.cgroupsPath", "/pyctest", "linux.cgroupsPath: "),
        ("linux.gidMappings", MORE, "linux.gidMappings: "),
        ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}], "needs a user namespace of its own"),
        ("process.user", {"uid": 5, "gid": 0}, "process.user.uid: 5 is none of the ids"),
        ("process.user", {"uid": 0, "gid": 0, "additionalGids": [0]}, "process.user.additionalGids: without root"),
        ("process.args", ["nope"], 'exec: "nope": executable file not found in $PATH'),
    ],
)
def test_what_takes_root_is_refused_by_its_field(oci: Oci, field: str, value: Any, said: str) -> None:
    spec = spec_of(oci, "true")
    change(spec, field, value)
    if field == "linux.namespaces":
        del spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]
    done = oci.run(spec)
    assert done.code == 1 and said in done.err and done.err.count("pyc-oci: ") == 1, done
    assert oci("list", "--quiet").out == ""


def test_hooks_are_called_as_the_user(oci: Oci) -> None:
    spec, log = spec_of(oci, "true"), f"{oci.where}/log"
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    spec["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} $(id -u) >> {log}"]}] for kind in kinds
    }
    spec["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "id -u > /tmp/inside"]}]
    oci.output(spec)
    said = [word for kind in kinds for word in (kind, "0" if kind == "createContainer" else str(USER))]
    with open(log) as told, open(f"{oci.rootfs}/tmp/inside") as inside:
        assert (told.read().split(), inside.read()) == (said, "0\n")


@pytest.mark.parametrize("of_its_own", [True, False])
def test_root_of_a_user_namespace_runs_one_too(oci: Oci, of_its_own: bool) -> None:
    spec = oci.spec("sh", "-c", "id -u; echo > /dev/null && cat /proc/self/setgroups")
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != "/sys"]
    next(mount for mount in spec["mounts"] if mount["destination"] == "/dev/pts")["options"].remove("gid=5")
    del spec["linux"]["resources"]
    if of_its_own:
        with_users(spec, 0)
    oci.above = (*AS_USER, "unshare", "--user", "--map-root-user", "--mount")
    assert oci.output(spec) == "0\ndeny\n"


# Only cgroup v2, and in it a branch that is the user's: what systemd gives to whoever logs in
DELEGATED = f"""
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 99
top=/sys/fs/cgroup/$0
mkdir -p $top/shell && echo +hugetlb > /sys/fs/cgroup/cgroup.subtree_control || exit 98
chown {USER} $top $top/cgroup.* $top/shell $top/shell/cgroup.* && echo $$ > $top/shell/cgroup.procs || exit 97
{" ".join(AS_USER)} "$@"; code=$?
echo $$ > /sys/fs/cgroup/cgroup.procs
rmdir $top/shell $top || exit 96
exit $code
"""


def test_a_delegated_cgroup_holds_and_limits(oci: Oci) -> None:
    spec = spec_of(oci, "sleep", "100")
    spec["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}]}
    spec["linux"]["namespaces"] = [ns for ns in spec["linux"]["namespaces"] if ns["type"] != "cgroup"]
    bundle, name = oci.bundle(spec), f"pyctest{time.monotonic_ns()}"
    pyc_oci = f"{RUNTIME} --root {oci.root}"
    script = f"""
    {pyc_oci} run --detach --bundle {bundle} test < /dev/null > {oci.where}/out 2>&1 || cat {oci.where}/out
    {pyc_oci} exec test grep 0:: /proc/self/cgroup; cat /sys/fs/cgroup/{name}/pyc-test/hugetlb.2MB.max
    {pyc_oci} pause test && {pyc_oci} state test | grep status && {pyc_oci} resume test
    {pyc_oci} delete --force test
    """
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", DELEGATED, name, "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.split() == [f"0::/{name}/pyc-test", str(2 << 20), '"status":', '"paused",']


# A systemd of the user's own, as who logs in has one: in a process namespace, which takes all of it along at the end
SYSTEMD = f"""
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 99
mount -t tmpfs none /run -o mode=755 && mkdir -p /run/systemd/system /run/user/$0
top=/sys/fs/cgroup/$0; mkdir -p $top/session "$top/user@$0.service" && chown -R {USER} $top /run/user/$0 || exit 98
echo $$ > $top/session/cgroup.procs
export XDG_RUNTIME_DIR=/run/user/$0 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$0/bus HOME=/run/user/$0
{" ".join(AS_USER)} dbus-daemon --session --address=$DBUS_SESSION_BUS_ADDRESS --nofork --nopidfile > /dev/null 2>&1 &
bus=$!
until [ -S /run/user/$0/bus ]; do sleep 0.05; done
sh -c 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$top/user@$0.service" \
    {" ".join(AS_USER)} /lib/systemd/systemd --user > /dev/null 2>&1 &
until {" ".join(AS_USER)} systemctl --user show -p ControlGroup 2> /dev/null | grep -q user@; do sleep 0.1; done
{" ".join(AS_USER)} "$@"; code=$?
{" ".join(AS_USER)} systemctl --user exit
kill $bus; wait
echo $$ > /sys/fs/cgroup/cgroup.procs
find $top -depth -type d -exec rmdir {{}} + || exit 97
exit $code
"""


@pytest.mark.slow
def test_a_user_s_own_systemd_makes_its_scope(oci: Oci) -> None:
    if reason := missing_command("dbus-daemon", "systemctl"):
        pytest.skip(reason)
    spec = spec_of(oci, "sleep", "100")
    spec["linux"]["cgroupsPath"] = "user.slice:pyctest:one"
    spec["linux"]["namespaces"] = [ns for ns in spec["linux"]["namespaces"] if ns["type"] != "cgroup"]
    bundle, name = oci.bundle(spec), f"pyctest{time.monotonic_ns()}"
    pyc_oci = f"{RUNTIME} --systemd-cgroup --root {oci.root}"
    script = f"""
    {pyc_oci} run --detach --bundle {bundle} test < /dev/null > {oci.where}/out 2>&1 || cat {oci.where}/out
    {pyc_oci} exec test grep 0:: /proc/self/cgroup
    {pyc_oci} pause test && {pyc_oci} state test | grep status
    systemctl --user show --value -p ActiveState pyctest-one.scope
    {pyc_oci} delete --force test
    for try in $(seq 100); do
      [ "$(systemctl --user show --value -p ActiveState pyctest-one.scope)" = active ] || break; sleep 0.05; done
    systemctl --user show --value -p LoadState pyctest-one.scope
    """
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    done = subprocess.run(
        [*argv, "sh", "-c", SYSTEMD, name, "sh", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    place = f"/{name}/user@{name}.service/user.slice/pyctest-one.scope/container"
    assert done.stdout.split() == [f"0::{place}", '"status":', '"paused",', "active", "not-found"]
