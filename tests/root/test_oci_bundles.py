"""What runc makes of a bundle beyond the letter of the runtime-spec, and engines and images rely on."""

from __future__ import annotations

import json
import os
import signal
import stat
from typing import Any

import pytest

from tests.support.engines import RUNTIME
from tests.support.oci import Oci

pytestmark = pytest.mark.root


def write(oci: Oci, path: str, text: str) -> None:
    os.makedirs(os.path.dirname(f"{oci.rootfs}{path}"), exist_ok=True)
    with open(f"{oci.rootfs}{path}", "w") as file:
        file.write(text)


def test_home_is_the_account_s_unless_somebody_says(oci: Oci) -> None:
    write(oci, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:7:7::/home/ada:/bin/sh\nodd:x:8:8::rel\x1b:\n")
    spec = oci.spec("sh", "-c", "echo $HOME")
    homes = []
    for uid in (0, 7, 8, 9):
        spec["process"]["user"] = {"uid": uid, "gid": uid}
        homes.append(oci.output(spec).strip())
    assert homes == ["/root", "/home/ada", "/", "/"]
    spec["process"]["env"].append("HOME=/said")
    assert oci.output(spec) == "/said\n"
    os.remove(f"{oci.rootfs}/etc/passwd")
    os.mkfifo(f"{oci.rootfs}/etc/passwd")  # who waits for a writer waits for ever
    assert oci.output(oci.spec("sh", "-c", "echo $HOME")) == "/\n"


def test_home_is_looked_up_in_what_is_mounted_and_again_for_who_enters(oci: Oci) -> None:
    write(oci, "/etc/passwd", "root:x:0:0::/covered:\n")
    with open(f"{oci.where}/accounts", "w") as file:
        file.write("root:x:0:0::/mounted:\nada:x:7:7::/home/ada:\n")
    spec = oci.spec("sh", "-c", "echo $HOME; exec sleep 100")
    spec["mounts"].append(
        {"destination": "/etc/passwd", "type": "bind", "source": f"{oci.where}/accounts", "options": ["bind", "ro"]}
    )
    oci.create(spec)
    assert oci("start", "test").code == 0
    assert oci("exec", "test", "sh", "-c", "echo $HOME").out == "/mounted\n"
    assert oci("exec", "--user", "7", "test", "sh", "-c", "echo $HOME").out == "/home/ada\n"
    assert oci.said() == "/mounted\n"


def test_the_last_of_two_variables_wins_and_what_is_none_is_refused(oci: Oci) -> None:
    spec = oci.spec("env")
    spec["process"]["env"] += ["A=1", "B=", "A=2", "HOME=/"]
    assert oci.output(spec).split()[-3:] == ["A=2", "B=", "HOME=/"]
    for entry in ("", "A", "=x"):
        spec["process"]["env"] = [entry]
        refused = oci.run(spec)
        assert (refused.code, f"process.env[0]: {entry!r} is not NAME=value" in refused.err) == (1, True)


@pytest.mark.parametrize(
    "where", ["../run/resolve/stub.conf", "/run/resolve/stub.conf", "../../../run/resolve/./stub.conf"]
)
def test_a_mount_point_behind_a_link_to_nothing_is_made_where_it_leads(oci: Oci, where: str) -> None:
    os.makedirs(f"{oci.rootfs}/etc")
    os.symlink(where, f"{oci.rootfs}/etc/resolv.conf")
    os.symlink("var/data", f"{oci.rootfs}/data")
    spec = oci.spec("sh", "-c", "cat /etc/resolv.conf /run/resolve/stub.conf; ls /var/data/below")
    with open(f"{oci.where}/file", "w") as file:
        file.write("nameserver\n")
    bound = {"type": "bind", "options": ["rbind"]}
    spec["mounts"] += [
        {**bound, "destination": "/etc/resolv.conf", "source": f"{oci.where}/file"},
        {**bound, "destination": "/data/below", "source": f"{oci.rootfs}/etc"},
    ]
    assert oci.output(spec) == "nameserver\nnameserver\nresolv.conf\n"
    assert os.path.islink(f"{oci.rootfs}/etc/resolv.conf") and not os.path.exists("/run/resolve")


def test_links_are_followed_through_what_is_mounted_before_and_a_loop_is_an_error(oci: Oci) -> None:
    os.makedirs(f"{oci.where}/volume")
    os.symlink("/inner", f"{oci.where}/volume/link")
    os.symlink("b", f"{oci.rootfs}/a")
    os.symlink("a", f"{oci.rootfs}/b")
    bound = {"type": "bind", "options": ["bind"], "source": f"{oci.where}/volume"}
    spec = oci.spec("ls", "/inner")
    spec["mounts"] += [{**bound, "destination": "/v"}, {**bound, "destination": "/v/link"}]
    assert oci.output(spec) == "link\n"
    spec["mounts"].append({**bound, "destination": "/a/x"})
    refused = oci.run(spec)
    assert (refused.code, "too many levels of symbolic links" in refused.err) == (1, True)


def test_an_empty_filesystem_has_the_mode_of_what_it_covers_and_the_propagation_that_is_asked(oci: Oci) -> None:
    os.mkdir(f"{oci.rootfs}/private", 0o700)
    spec = oci.spec("sh", "-c", "stat -c %a /private /new /said; grep ' /private ' /proc/self/mountinfo")
    for at, options in (("/private", ["shared", "silent", "norelatime"]), ("/new", []), ("/said", ["mode=711"])):
        spec["mounts"].append({"destination": at, "type": "tmpfs", "source": "tmpfs", "options": options})
    *modes, line = oci.output(spec).splitlines()
    assert (modes, "shared:" in line) == (["700", "1777", "711"], True)


def test_an_empty_filesystem_begins_with_what_it_covers_if_that_is_asked(oci: Oci) -> None:
    write(oci, "/run/lock/deep/file", "content\n")
    os.chown(f"{oci.rootfs}/run/lock/deep/file", 7, 8)
    os.symlink("lock", f"{oci.rootfs}/run/link")
    os.chmod(f"{oci.rootfs}/run", 0o750)
    look = "cd /run; cat link/deep/file; stat -c '%a %u' . lock/deep/file; echo more > lock/deep/file; ls /none /ro"
    spec = oci.spec("sh", "-c", f"grep -c ' /run ' /proc/self/mountinfo; {look}")
    for at, options in (("/run", ["tmpcopyup"]), ("/none", ["tmpcopyup", "mode=700"]), ("/ro", ["ro", "tmpcopyup"])):
        spec["mounts"].append({"destination": at, "type": "tmpfs", "source": "tmpfs", "options": options})
    for more in ({}, {"hooks": {"poststop": [{"path": "/bin/true"}]}}):
        said = oci.output({**spec, **more}).split("\n")
        assert said[:4] == ["1", "content", "750 0", "644 7"] and said[4:] == ["/none:", "", "/ro:", ""]
    with open(f"{oci.rootfs}/run/lock/deep/file") as file:
        assert file.read() == "content\n"
    spec["mounts"][-3]["options"] = ["tmpcopyup", "size=4k"]
    write(oci, "/run/large", "x" * 100_000)
    refused = oci.run(spec)
    assert (refused.code, "No space left on device" in refused.err) == (1, True), refused.err
    assert oci("list", "--quiet").out == ""


@pytest.mark.parametrize("at", ["/proc", "/proc/sys", "/proc/self/attr", "/proc/version", "/link/net", "/up/../link"])
def test_nothing_of_the_kernel_s_proc_is_covered(oci: Oci, at: str) -> None:
    os.symlink("/proc", f"{oci.rootfs}/link")
    spec = oci.spec("true")
    source = f"{oci.rootfs}/bin/busybox" if at == "/proc/version" else f"{oci.rootfs}/tmp"
    spec["mounts"].append({"destination": at, "type": "bind", "source": source, "options": ["bind"]})
    refused = oci.run(spec)
    assert (refused.code, "/proc must be the kernel's own" in refused.err) == (1, True), refused.err
    spec["mounts"][-1] |= {"destination": "/proc/uptime", "source": f"{oci.rootfs}/bin/busybox"}
    spec["mounts"].append({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]})
    assert oci.run(spec).code == 0
    spec["mounts"][-1]["destination"] = "/"
    assert "nothing can be mounted on the root" in oci.run(spec).err


def test_what_is_masked_may_be_the_image_s_alone(oci: Oci) -> None:
    write(oci, "/only/here/secret", "known")
    write(oci, "/only/file", "known")
    os.symlink("/only/here", f"{oci.rootfs}/linked")
    spec = oci.spec("sh", "-c", "ls /only/here; cat /only/file; touch /only/here/x; ls /only")
    for masked in (["/only/here", "/only/file", "/nowhere", "/only/file/none"], ["/only/file", "/linked"]):
        spec["linux"]["maskedPaths"] = masked
        done = oci.run(spec)
        assert (done.code, done.out) == (0, "file\nhere\n") and "Read-only file system" in done.err
    spec["linux"]["maskedPaths"] = ["/"]
    assert "linux.maskedPaths" in oci.run(spec).err


@pytest.mark.parametrize("rules", [None, [], [{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "w"}]])
def test_a_device_that_no_rule_allows_can_not_be_opened(oci: Oci, rules: Any) -> None:
    opened = "(: <$n) 2>/dev/null && echo $n; (: >$n) 2>/dev/null && echo $n w"
    script = f"ln -s busybox /bin/mknod; cd /tmp; for n in 3 11; do mknod $n c 1 $n; {opened}; done; :"
    spec = oci.spec("sh", "-c", script)
    spec["process"]["capabilities"] = {kind: ["CAP_MKNOD"] for kind in ("bounding", "effective", "permitted")}
    spec["linux"]["resources"] = {"devices": rules}
    assert oci.output(spec).split("\n")[:-1] == ["3", "3 w", *(["11 w"] if rules else [])]


def test_one_that_waits_for_its_start_can_be_paused_and_resumed(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    assert oci("pause", "test").code == 0
    assert oci.status() == "paused"
    refused = oci("start", "test")
    assert (refused.code, "already paused" in refused.err) == (1, True)
    assert oci("resume", "test").code == 0
    assert oci.status() == "created"
    assert oci("start", "test").code == 0
    assert oci("pause", "test").code == 0
    assert oci("delete", "--force", "test").code == 0


def test_one_that_is_being_created_says_so_and_stays_unless_it_is_forced(oci: Oci) -> None:
    words = [f"{RUNTIME} --root {oci.root} {command} test" for command in ("state", "start", "delete", "kill")]
    spec = oci.spec("echo", "ran")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"({'; '.join(words)}) > said 2>&1; :"], "env": ["PATH=/bin"]}
    spec["hooks"] = {"createRuntime": [hook]}
    assert oci.output(spec) == "ran\n"
    with open(f"{oci.where}/bundle/said") as file:
        said = file.read()
    assert '"status": "creating"' in said and "already creating" in said and "that is not stopped: creating" in said
    assert "container not running" in said
    os.makedirs(f"{oci.root}/cut", 0o700)  # by a create that was killed
    assert '"status": "stopped"' in oci("state", "cut").out and oci("delete", "cut").code == 0
    spec["hooks"]["createRuntime"][0]["args"][2] = f"{RUNTIME} --root {oci.root} delete --force test"
    refused = oci.run(spec)
    assert (refused.code, oci("list", "--quiet").out) == (1, ""), refused


def test_hooks_are_called_in_the_bundle(oci: Oci) -> None:
    spec = oci.spec("true")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "pwd >> called"]}
    spec["hooks"] = {kind: [hook] for kind in ("prestart", "createRuntime", "poststart", "poststop")}
    assert oci.run(spec).code == 0
    with open(f"{oci.where}/bundle/called") as file:
        assert file.read() == f"{oci.where}/bundle\n" * 4


def test_a_filter_for_another_architecture_is_for_the_host_s_too(oci: Oci) -> None:
    spec = oci.spec("mkdir", "/tmp/x")
    spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_RISCV64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 16}],
    }
    done = oci.run(spec)
    assert (done.code, "busy" in done.err) == (1, True), done.err


def test_a_process_file_says_what_is_other_than_in_the_container(oci: Oci) -> None:
    spec = oci.spec("sleep", "100")
    spec["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 4096, "hard": 8192}]
    oci.create(spec)
    assert oci("start", "test").code == 0
    look = ["sh", "-c", "grep CapEff /proc/self/status; ulimit -c; ulimit -H -c; id -u"]
    for said, expected in (
        ({}, ["CapEff:", "0000000020000420", "8", "16", "0"]),
        ({"capabilities": {}, "rlimits": [], "user": {"uid": 5}}, ["CapEff:", "0000000000000000", "8", "16", "5"]),
    ):
        with open(f"{oci.where}/process", "w") as file:
            json.dump({"args": look, "cwd": "/", "env": ["PATH=/bin"], **said}, file)
        done = oci("exec", "--process", f"{oci.where}/process", "test")
        assert (done.code, done.out.split()) == (0, expected), done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["kill", "test", "0"], 0, ""),
        (["list", "--format", "xml"], 1, "--format xml: want table or json"),
        (["ps", "--format", "xml", "test"], 1, "--format xml: want table or json"),
        (["events", "--interval", "0s", "test"], 1, "--interval 0s: must be greater than 0"),
        (["events", "--interval", "soon", "test"], 1, "--interval soon: not a duration"),
        (["exec", "--user", "99999999999", "test", "true"], 255, "--user 99999999999: must be from 0 to 4294967294"),
        (["exec", "--user", "5:", "test", "true"], 255, "--user : not a whole number"),
        (["exec", "-g", "7,8", "test", "true"], 255, "--additional-gids 7,8: not a whole number"),
        (["exec", "--detach", "test", "nope"], 255, 'exec: "nope": executable file not found in $PATH'),
        (["exec", "--tty", "--detach", "test", "true"], 255, "--console-socket"),
        (["exec", "--no-new-privs=True", "--cwd", "", "test", "true"], 0, ""),
        (["exec", "--cgroup", "/", "test", "true"], 0, ""),
        (["exec", "--cgroup", "below", "test", "true"], 255, "--cgroup below"),
        (["exec", "-e", "A", "test", "true"], 255, "is not NAME=value"),
        (["exec", "-e", "A=1", "-e", "A=2", "test", "sh", "-c", "exit $A"], 2, ""),
        (["update", "--memory", "64MiB", "--memory-reservation", "0.5g", "test"], 0, ""),
        (["update", "--memory", "much", "test"], 1, "--memory much: not a size"),
    ],
)
def test_the_words_of_commands_are_runc_s(oci: Oci, words: list[str], code: int, said: str) -> None:
    oci.create(oci.spec("sleep", "100"))
    assert oci("start", "test").code == 0
    done = oci(*words)
    assert (done.code, said in done.err) == (code, True), done
    assert done.err.count("\n") == bool(said) + ("hint: " in done.err)


def test_the_list_has_annotations(oci: Oci) -> None:
    spec = oci.spec("sleep", "100")
    spec["annotations"] = {"a": "b"}
    oci.create(spec)
    assert json.loads(oci("list", "--format", "json").out)[0]["annotations"] == {"a": "b"}


def test_a_directory_that_is_not_written_plainly_is_no_trouble(oci: Oci) -> None:
    spec = oci.spec("sh", "-c", "pwd")
    spec["process"]["cwd"] = "/tmp/../bin//"
    assert oci.output(spec) == "/bin\n"
    assert stat.S_ISDIR(os.stat(f"{oci.rootfs}/bin").st_mode)


def test_a_filter_that_refuses_even_the_end_ends_it(oci: Oci) -> None:
    spec = oci.spec("true")
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO"}
    assert oci.run(spec).code == 128 + signal.SIGILL
    assert oci("list", "--quiet").out == ""
