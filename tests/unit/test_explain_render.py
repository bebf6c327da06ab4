from __future__ import annotations

import inspect
import json
import re

import pytest

from pycontainer.cgroups import devices
from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.performer import SPAWN_FLAGS, start_step
from pycontainer.core.step import Call, Slot, Struct
from pycontainer.explain.decode import FORMATS, decode
from pycontainer.explain.render import as_json, man, render

ROOT, FS, FD = Slot("root"), Slot("fs"), Slot("fd")

# One call per function of the vocabulary, with the text that it must become.
SAMPLES = {
    calls.openat(k.AT_FDCWD, "/x", k.O_WRONLY, out=FD): 'openat(AT_FDCWD, "/x", O_WRONLY|O_CLOEXEC, 0)',
    calls.openat2(ROOT, "proc", k.O_PATH, out=FD): (
        'openat2(<root>, "proc", {flags=O_CLOEXEC|O_PATH, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24)'
    ),
    calls.mkdirat(ROOT, "proc", 0o755): 'mkdirat(<root>, "proc", 0755)',
    calls.mknodat(ROOT, "null", k.S_IFCHR | 0o666, 1, 3): 'mknodat(<root>, "null", S_IFCHR|0666, makedev(1, 3))',
    calls.symlinkat("pts/ptmx", ROOT, "ptmx"): 'symlinkat("pts/ptmx", <root>, "ptmx")',
    calls.unlinkat(ROOT, "x", k.AT_REMOVEDIR): 'unlinkat(<root>, "x", AT_REMOVEDIR)',
    calls.fchownat(FD, "", 5, -1, k.AT_EMPTY_PATH): 'fchownat(<fd>, "", 5, -1, AT_EMPTY_PATH)',
    calls.fchmodat(ROOT, "x", 0o1777): 'fchmodat(<root>, "x", 01777)',
    calls.write(FD, "a\nb\x1b"): 'write(<fd>, "a\\nb\\x1b", 4)',
    calls.write(FD, b"\xff\x00"): 'write(<fd>, "\\xff\\x00", 2)',
    calls.read(FD, 1, expect=1): "read(<fd>, buf, 1)",
    calls.close(FD): "close(<fd>)",
    calls.dup3(FD, 2): "dup3(<fd>, 2, 0)",
    calls.lseek(FD, 1, expect=0): "lseek(<fd>, 1, 0)",
    calls.duplicate(4, 6, out=FD): "fcntl(4, F_DUPFD_CLOEXEC, 6)",
    calls.close_range(3, 0xFFFFFFFF, k.CLOSE_RANGE_CLOEXEC): "close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC)",
    calls.ioctl(FD, k.TIOCSPTLCK, bytes(4)): "ioctl(<fd>, TIOCSPTLCK, [0])",
    calls.ioctl(FD, k.TIOCSWINSZ, b"\x18\0\x50\0\0\0\0\0"): (
        "ioctl(<fd>, TIOCSWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0})"
    ),
    calls.ioctl(FD, k.TIOCGPTPEER, k.O_RDWR | k.O_NOCTTY): "ioctl(<fd>, TIOCGPTPEER, O_RDWR|O_NOCTTY)",
    calls.ioctl(FD, k.SIOCSIFFLAGS, b"lo".ljust(16, b"\0") + b"\1".ljust(24, b"\0")): (
        'ioctl(<fd>, SIOCSIFFLAGS, {ifr_name="lo", ifr_flags=IFF_UP})'
    ),
    calls.fsopen("proc", out=FS): 'fsopen("proc", FSOPEN_CLOEXEC)',
    calls.fsconfig(FS, k.FSCONFIG_SET_STRING, "size", "64k"): 'fsconfig(<fs>, FSCONFIG_SET_STRING, "size", "64k", 0)',
    calls.fsconfig(FS, k.FSCONFIG_CMD_CREATE): "fsconfig(<fs>, FSCONFIG_CMD_CREATE, NULL, NULL, 0)",
    calls.fsmount(FS, k.MOUNT_ATTR_NODEV, out=FD): "fsmount(<fs>, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV)",
    calls.open_tree(k.AT_FDCWD, "/d", k.OPEN_TREE_CLONE | k.AT_RECURSIVE, out=FD): (
        'open_tree(AT_FDCWD, "/d", OPEN_TREE_CLONE|AT_RECURSIVE|OPEN_TREE_CLOEXEC)'
    ),
    calls.move_mount(FD, ROOT): ('move_mount(<fd>, "", <root>, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)'),
    calls.mount_setattr(FD, 0, set=k.MOUNT_ATTR_RDONLY, clear=k.MOUNT_ATTR__ATIME, propagation=k.MS_PRIVATE): (
        'mount_setattr(<fd>, "", AT_EMPTY_PATH, '
        "{attr_set=MOUNT_ATTR_RDONLY, attr_clr=MOUNT_ATTR__ATIME, propagation=MS_PRIVATE}, 32)"
    ),
    calls.mount_setattr(FD, 0, set=k.MOUNT_ATTR_IDMAP, userns=ROOT): (
        'mount_setattr(<fd>, "", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_IDMAP, userns_fd=<root>}, 32)'
    ),
    calls.mount(None, "/", None, k.MS_REC | k.MS_SLAVE): 'mount(NULL, "/", NULL, MS_REC|MS_SLAVE, NULL)',
    calls.umount2(".", k.MNT_DETACH): 'umount2(".", MNT_DETACH)',
    calls.pivot_root(".", "."): 'pivot_root(".", ".")',
    calls.chdir("/"): 'chdir("/")',
    calls.fchdir(ROOT): "fchdir(<root>)",
    calls.clone3(k.CLONE_NEWNS | k.CLONE_NEWPID, child="init", out=FD): (
        "clone3({flags=CLONE_NEWNS|CLONE_NEWPID, exit_signal=SIGCHLD}, 88)"
    ),
    calls.clone(child="program", out=FD): "clone(SIGCHLD, NULL, NULL, NULL, NULL)",
    calls.clone3(0, child="init", out=FD, cgroup=ROOT): (
        "clone3({flags=CLONE_INTO_CGROUP, exit_signal=SIGCHLD, cgroup=<root>}, 88)"
    ),
    calls.pidfd_open(FD, out=ROOT): "pidfd_open(<fd>, 0)",
    calls.chroot("."): 'chroot(".")',
    calls.clone3(k.CLONE_PARENT, child="init", out=FD): "clone3({flags=CLONE_PARENT, exit_signal=0}, 88)",
    calls.pidfd_getfd(FD, 7, out=ROOT): "pidfd_getfd(<fd>, 7, 0)",
    calls.accept4(FD, out=ROOT): "accept4(<fd>, NULL, NULL, SOCK_CLOEXEC)",
    calls.sendmsg(FD, b"x", ROOT): 'sendmsg(<fd>, {msg_iov=["x"], SCM_RIGHTS=[<root>]}, MSG_NOSIGNAL)',
    calls.personality(8): "personality(8)",
    calls.sched_setattr(b"ab"): 'sched_setattr(0, "ab", 0)',
    calls.sched_setaffinity(b"\x05"): "sched_setaffinity(0, 1, [0, 2])",
    calls.ioprio_set(3 << 13): "ioprio_set(IOPRIO_WHO_PROCESS, 0, 24576)",
    calls.set_mempolicy(2, b"\x01"): "set_mempolicy(2, [0], 9)",
    calls.unshare(k.CLONE_NEWCGROUP): "unshare(CLONE_NEWCGROUP)",
    calls.setns(FD, k.CLONE_NEWNET): "setns(<fd>, CLONE_NEWNET)",
    calls.setsid(): "setsid()",
    calls.sethostname("box"): 'sethostname("box", 3)',
    calls.setdomainname("lan"): 'setdomainname("lan", 3)',
    calls.socket(k.AF_INET, k.SOCK_DGRAM, 0, out=FD): "socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0)",
    calls.rt_sigprocmask(k.SIG_SETMASK, 2**64 - 1): "rt_sigprocmask(SIG_SETMASK, ~[], NULL, 8)",
    calls.rt_sigprocmask(k.SIG_BLOCK, 1 << 12): "rt_sigprocmask(SIG_BLOCK, [PIPE], NULL, 8)",
    calls.execve("/bin/sh", ("sh", "-c", "x"), ("A=b",)): 'execve("/bin/sh", ["sh", "-c", "x"], ["A=b"])',
    calls.umask(0o22): "umask(022)",
    calls.prlimit64(7, 1024, 2**64 - 1): (
        "prlimit64(0, RLIMIT_NOFILE, {rlim_cur=1024, rlim_max=RLIM64_INFINITY}, NULL)"
    ),
    calls.prctl(k.PR_SET_PDEATHSIG, k.SIGKILL): "prctl(PR_SET_PDEATHSIG, SIGKILL)",
    calls.prctl(k.PR_CAPBSET_DROP, 21): "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN)",
    calls.prctl(k.PR_CAPBSET_DROP, 0): "prctl(PR_CAPBSET_DROP, CAP_CHOWN)",
    calls.prctl(k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_RAISE, 10): (
        "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)"
    ),
    calls.prctl(k.PR_SET_NO_NEW_PRIVS, 1): "prctl(PR_SET_NO_NEW_PRIVS, 1)",
    calls.setgroups((0, 10)): "setgroups(2, [0, 10])",
    calls.setgroups(()): "setgroups(0, NULL)",
    calls.setresgid(7): "setresgid(7, 7, 7)",
    calls.setresuid(7): "setresuid(7, 7, 7)",
    calls.setfsuid(7): "setfsuid(7)",
    calls.setfsgid(7): "setfsgid(7)",
    calls.waitid(FD): "waitid(P_PIDFD, <fd>, NULL, WEXITED, NULL)",
    calls.capset(1 << 40, 3, 0): (
        "capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, "
        "{effective=CAP_CHECKPOINT_RESTORE, permitted=CAP_CHOWN|CAP_DAC_OVERRIDE, inheritable=0})"
    ),
    calls.keyctl(k.KEYCTL_JOIN_SESSION_KEYRING, "_ses.x"): 'keyctl(KEYCTL_JOIN_SESSION_KEYRING, "_ses.x")',
    calls.seccomp(k.SECCOMP_FILTER_FLAG_LOG, bytes(16)): (
        "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, {len=2, filter=[2 instructions]})"
    ),
    devices.attach((), ROOT)[0]: (
        "bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insn_cnt=NUMBER, insns=[NUMBER instructions], "
        'license="Apache-2.0", expected_attach_type=BPF_CGROUP_DEVICE}, 72)'
    ),
    devices.attach((), ROOT)[1]: (
        "bpf(BPF_PROG_ATTACH, {target_fd=<root>, attach_bpf_fd=<device program>, attach_type=BPF_CGROUP_DEVICE, "
        "attach_flags=BPF_F_ALLOW_MULTI}, 20)"
    ),
    calls.bind(FD, "attach"): 'bind(<fd>, {sa_family=AF_UNIX, sun_path="attach"}, 9)',
    calls.listen(FD, 4): "listen(<fd>, 4)",
    calls.recvfrom(FD, 1, 0x2, out=FD): "recvfrom(<fd>, buf, 1, 0x2, NULL, NULL)",
    calls.ppoll(FD, ROOT): "ppoll([{fd=<fd>, events=POLLIN}, {fd=<root>, events=POLLIN}], 2, NULL, NULL, 0)",
    calls.execveat(FD, "x", ("x",), ("A=b",)): 'execveat(<fd>, "x", ["x"], ["A=b"], 0)',
    calls.setsockopt(FD, 1, 2, 1): "setsockopt(<fd>, SOL_SOCKET, 2, [1], 4)",
    calls.supervise(FD, FD, tty=True, stdio=(None, ROOT, None), client=None, exit_file=None, counters=None): (
        "supervise({pid=<fd>, pidfd=<fd>, tty=1, in=-1, out=<root>, err=-1, client=-1, exit_file=-1, counters=-1, "
        "listener=-1, log=-1, log_directory=-1, log_files=0, log_bytes=0, once=0, interval_ms=0, early_ms=0, "
        'stop_signal=15, stop_ms=-1, id=""})'
    ),
    calls.reap(FD): "reap(<fd>)",
}


def vocabulary() -> set[str]:
    """The system calls that the functions of calls.py make; two of them may make one."""
    return set(re.findall(r'\bCall\(\s*"(\w+)"', inspect.getsource(calls)))


def test_every_call_of_the_vocabulary_has_a_format() -> None:
    assert vocabulary() <= FORMATS.keys()


def test_every_call_of_the_vocabulary_has_a_sample() -> None:
    assert vocabulary() == {call.name for call in SAMPLES}


@pytest.mark.parametrize(("call", "text"), SAMPLES.items(), ids=[call.name for call in SAMPLES])
def test_a_call_is_rendered_as_c(call: Call, text: str) -> None:
    assert re.sub(r"insn_cnt=\d+, insns=\[\d+", "insn_cnt=NUMBER, insns=[NUMBER", render(call)) == text


@pytest.mark.parametrize("call", SAMPLES, ids=[call.name for call in SAMPLES])
def test_no_call_prints_raw_bytes_and_all_are_json(call: Call) -> None:
    assert "b'" not in render(call) and render(call).isprintable()
    assert json.loads(json.dumps(as_json(decode(call)))) is not None


def test_a_slot_shows_its_number_once_it_is_known() -> None:
    assert render(calls.close(FD), {FD: 7}) == "close(7<fd>)"
    assert as_json(decode(calls.close(FD), {FD: 7})) == {"fd": {"slot": "fd", "number": 7}}
    assert as_json(decode(calls.close(FD))) == {"fd": {"slot": "fd"}}


def test_bits_without_a_name_stay_numbers() -> None:
    assert render(calls.umount2("/x", k.MNT_DETACH | 0x8000)) == 'umount2("/x", MNT_DETACH|0x8000)'


def test_text_is_cut_short_and_json_is_complete() -> None:
    call = calls.execve("/bin/x", tuple("abcdefghijkl"), ("LONG=" + "y" * 5000,))
    assert "... 4 more" in render(call) and len(render(call)) < 300
    values = as_json(decode(call))
    assert isinstance(values, dict)
    assert values["argv"] == list("abcdefghijkl") and len(values["envp"][0]) == 5005


def test_a_seccomp_program_is_complete_in_json() -> None:
    program = bytes.fromhex("2000000004000000") + bytes.fromhex("0600000000 00ff7f".replace(" ", ""))
    values = as_json(decode(calls.seccomp(0, program)))
    assert isinstance(values, dict)
    assert values["args"] == {"len": 2, "filter": [[0x20, 0, 0, 4], [6, 0, 0, 0x7FFF0000]]}


def test_a_container_id_is_shortened_in_text_only() -> None:
    path = "/x/" + "0123456789abcdef" * 4 + "/y"
    assert render(calls.chdir(path)) == 'chdir("/x/0123456789ab.../y")'
    assert decode(calls.chdir(path)) == {"path": path}


def test_what_starts_the_performer_is_rendered_too() -> None:
    clone, execveat = start_step("demo").calls
    assert clone.args == (SPAWN_FLAGS | k.SIGCHLD,)
    assert render(clone) == "clone(CLONE_VM|CLONE_PIDFD|CLONE_VFORK|SIGCHLD)"
    assert render(execveat) == 'execveat(<performer>, "", ["pyc-monitor", "demo"], [], AT_EMPTY_PATH)'
    flags = "CLONE_VM|CLONE_PIDFD|CLONE_VFORK|CLONE_INTO_CGROUP"
    born = start_step("demo", cgroup=7).calls[0]
    assert render(born) == f"clone3({{flags={flags}, exit_signal=SIGCHLD, cgroup=7}}, 88)"


def test_a_structure_nobody_knows_is_counted_and_not_dumped() -> None:
    assert render(calls.ioctl(FD, 0x1234, Struct(bytes(12)))) == "ioctl(<fd>, 4660, <12 bytes>)"


def test_each_call_names_its_manual_page() -> None:
    assert man(calls.pivot_root(".", ".")) == "pivot_root(2)"
    assert man(calls.clone3(0, child="init", out=FD)) == "clone(2)"
    assert man(calls.reap(FD)) == "core/init.c"


def test_no_string_can_command_the_terminal() -> None:
    assert render(calls.chdir("\x1b[2J\u202e\u2028\udcff\x9b")) == 'chdir("\\x1b[2J\\u202e\\u2028\\xff\\x9b")'
