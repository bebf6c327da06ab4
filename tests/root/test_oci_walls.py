"""What a container of `pyc-oci` does not get to, whatever its config.json or its neighbours ask for."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.engines import RUNTIME, wait_until
from tests.support.oci import Oci

pytestmark = pytest.mark.root


def descriptors(pid: int) -> dict[int, str]:
    return {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}


@pytest.mark.parametrize("gains_nothing", [True, False])
@pytest.mark.parametrize("kept", [0, 2])
def test_a_container_that_waits_for_its_start_holds_two_sockets_and_what_it_was_given(
    oci: Oci, gains_nothing: bool, kept: int
) -> None:
    spec = oci.spec("sh", "-c", "ls /proc/self/fd; cat <&3")
    spec["process"]["noNewPrivileges"] = gains_nothing
    with open(f"{oci.where}/given", "w+") as given:
        given.write("from the caller")
        given.seek(0)
        numbers = range(3, 3 + kept)
        saved = {number: os.dup(number) for number in numbers if os.path.exists(f"/proc/self/fd/{number}")}
        for number in numbers:
            os.dup2(given.fileno(), number)
        options = ("--preserve-fds", str(kept)) if kept else ()
        pid = oci.create(spec, *options, pass_fds=tuple(numbers))
        for number in numbers:
            os.dup2(saved[number], number) if number in saved else os.close(number)
    out = f"{oci.where}/test/out"
    wanted = ["/dev/null", out, out, *[f"{oci.where}/given"] * kept, "socket", "socket"]
    # the last one goes when it has said that it is created
    wait_until(lambda: sorted(path.partition(":")[0] for path in descriptors(pid).values()) == sorted(wanted))
    assert oci("start", "test").code == 0


def test_hooks_get_their_three_streams_and_no_descriptor_else(oci: Oci) -> None:
    look = "for fd in /proc/$$/fd/*; do readlink $fd | grep passwd; done; echo $0"

    def hook(kind: str, log: str) -> dict[str, object]:
        return {"path": "/bin/sh", "args": ["sh", "-c", f"({look}) >> {log}", kind], "env": ["PATH=/bin:/usr/bin"]}

    spec, log = oci.spec("sleep", "100"), f"{oci.where}/log"
    outside = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    spec["hooks"] = {kind: [hook(kind, log)] for kind in outside}
    spec["hooks"]["startContainer"] = [hook("startContainer", "/tmp/log")]
    given = os.open("/etc/passwd", os.O_RDONLY)
    oci.create(spec, pass_fds=(given,))
    assert oci("start", "test", pass_fds=(given,)).code == 0
    assert oci("delete", "--force", "test", pass_fds=(given,)).code == 0
    os.close(given)
    with open(log) as told, open(f"{oci.rootfs}/tmp/log") as inside:
        assert (told.read().split(), inside.read()) == (list(outside), "startContainer\n")


def test_who_shares_its_pid_namespace_does_not_get_out_through_one_that_is_created(oci: Oci) -> None:
    """CVE-2016-9962 and CVE-2024-21626 once more: a pod's containers may see each other's processes."""
    first = oci.create(oci.spec("sleep", "100"), name="first")
    assert oci("start", "first").code == 0
    spec = oci.spec("true")
    others = [namespace for namespace in spec["linux"]["namespaces"] if namespace["type"] != "pid"]
    spec["linux"]["namespaces"] = [*others, {"type": "pid", "path": f"/proc/{first}/ns/pid"}]
    oci.create(spec, name="second")
    script = """
    for way in fd/* cwd root; do
      for up in . .. ../.. ../../.. ../../../.. ../../../../.. ../../../../../..; do
        [ -e /proc/2/$way/$up/etc/passwd ] && echo "$way/$up leads out"; done; done
    cat /proc/2/environ /proc/2/maps; ls /proc/2/fd | wc -l
    """
    done = oci("exec", "first", "sh", "-c", script)
    assert done.out.strip().isdecimal(), done.out  # it sees the process, and how many descriptors it has: no more
    assert done.err.count("Permission denied") == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("kernel.core_pattern", "core", "it belongs to the whole machine"),
        ("kernel/core_pattern", "core", "it belongs to the whole machine"),
        ("vm.swappiness", "60", "it belongs to the whole machine"),
        ("kernel.shm_rmid_forced", "0+kernel.core_pattern=x", "characters that no sysctl takes"),
        ("net/../kernel/core_pattern", "core", "not the name of a sysctl"),
        ("net.ipv4.ip_forward", "1", "shares the host's network namespace"),
    ],
)
def test_a_sysctl_of_the_host_is_refused(oci: Oci, name: str, value: str, words: str) -> None:
    """CVE-2022-0811: and `kernel.core_pattern` is a program that the kernel runs on the host."""
    spec = oci.spec("true")
    spec["linux"]["sysctl"] = {name: value}
    if name.startswith("net.ipv4"):
        others = [namespace for namespace in spec["linux"]["namespaces"] if namespace["type"] != "network"]
        spec["linux"]["namespaces"] = [*others, {"type": "network", "path": "/proc/self/ns/net"}]
    done = oci.run(spec)
    assert (done.code, done.err.count("linux.sysctl ")) == (1, 1) and words in done.err


def test_a_sysctl_with_a_dot_in_its_name_is_written_where_it_belongs(oci: Oci) -> None:
    spec = oci.spec("sh", "-c", "cat /proc/sys/net/ipv4/conf/lo/forwarding /proc/sys/net/ipv4/ip_default_ttl")
    spec["linux"]["sysctl"] = {"net.ipv4.conf.lo.forwarding": "1", "net/ipv4/ip_default_ttl": "65"}
    assert oci.output(spec) == "1\n65\n"


@pytest.mark.parametrize("gains_nothing", [True, False])
def test_a_filter_may_forbid_what_handing_over_descriptors_takes(oci: Oci, gains_nothing: bool) -> None:
    spec = oci.spec("cat", "/proc/self/fd/3")
    spec["process"]["noNewPrivileges"] = gains_nothing
    rule = {"names": ["dup3", "fcntl", "close_range"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    bundle = oci.bundle(spec)
    argv = [RUNTIME, "--root", oci.root, "run", "--bundle", bundle, "--preserve-fds", "1", "test"]
    done = subprocess.run(["bash", "-c", 'exec 3</etc/hostname "$@"', "bash", *argv], capture_output=True, timeout=20)
    with open("/etc/hostname", "rb") as file:
        assert (done.returncode, done.stdout) == (0, file.read()), done.stderr
