"""From the runtime-spec's rules to BPF, and profile files in docker's format."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci import security
from pycontainer.oci.profiles import file, seccomp_profile
from pycontainer.oci.profiles.builtin import default_profile
from pycontainer.plan import seccomp, seccomp_compiler
from pycontainer.plan.seccomp_compiler import compile_profile
from tests.support import bpf
from tests.support.bpf import ALLOW, KILL_PROCESS, KILL_THREAD, LOG, TRACE, TRAP, X86_64, errno

READ, WRITE, GETPID, LSEEK = 0, 1, 39, 8
EPERM, ENOSYS = errno(1), errno(38)

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the tables are for x86_64")


def rule(action: str, *names: str, **more: object) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_" + action, **more}


def compiled(*rules: dict[str, Any], default: str = "ERRNO", **more: object) -> bytes:
    profile: Any = {"defaultAction": "SCMP_ACT_" + default, "syscalls": list(rules), **more}
    return compile_profile(profile)


@pytest.mark.parametrize(
    ("action", "data", "answer"),
    [
        ("ALLOW", None, ALLOW),
        ("LOG", None, LOG),
        ("TRAP", None, TRAP),
        ("KILL", None, KILL_THREAD),
        ("KILL_THREAD", None, KILL_THREAD),
        ("KILL_PROCESS", None, KILL_PROCESS),
        ("ERRNO", None, EPERM),
        ("ERRNO", 0, errno(0)),
        ("ERRNO", 95, errno(95)),
        ("TRACE", None, TRACE | 1),
        ("TRACE", 7, TRACE | 7),
    ],
)
def test_every_action_for_a_rule_and_as_the_default(action: str, data: int | None, answer: int) -> None:
    number = {} if data is None else {"errnoRet": data}
    assert bpf.run(compiled(rule(action, "read", **number), default="ALLOW"), X86_64, READ) == answer
    default = {} if data is None else {"defaultErrnoRet": data}
    program = compiled(rule("ALLOW", "read"), rule("ALLOW", "file_setattr"), default=action, **default)
    assert bpf.run(program, X86_64, WRITE) == answer
    assert bpf.run(program, X86_64, READ) == ALLOW


BIG = 1 << 40


@pytest.mark.parametrize(
    ("op", "value", "two", "hits", "misses"),
    [
        ("EQ", 5, 0, [5], [4, 6, BIG | 5]),
        ("NE", 5, 0, [4, 6, BIG | 5], [5]),
        ("LT", 5, 0, [0, 4], [5, 6, BIG]),
        ("LE", 5, 0, [4, 5], [6, BIG]),
        ("GT", 5, 0, [6, BIG], [5, 4, 0]),
        ("GE", 5, 0, [5, 6, BIG], [4]),
        ("MASKED_EQ", 0xF0, 0x30, [0x30, 0x3F, BIG | 0x35], [0x40, 0, 0x130 ^ 0x20]),
        ("EQ", BIG | 5, 0, [BIG | 5], [5, BIG]),
        ("GT", BIG, 0, [BIG + 1], [BIG, 5]),
    ],
)
def test_every_operator_compares_64_bits(op: str, value: int, two: int, hits: list[int], misses: list[int]) -> None:
    arg = {"index": 1, "value": value, "valueTwo": two, "op": "SCMP_CMP_" + op}
    program = compiled(rule("ALLOW", "lseek", args=[arg]))
    assert [bpf.run(program, X86_64, LSEEK, 99, hit) for hit in hits] == [ALLOW] * len(hits)
    assert [bpf.run(program, X86_64, LSEEK, 99, miss) for miss in misses] == [EPERM] * len(misses)


def arg(index: int, value: int) -> dict[str, object]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def test_conditions_hold_together_unless_two_are_on_one_argument() -> None:
    both = compiled(rule("ALLOW", "lseek", args=[arg(0, 1), arg(2, 3)]))
    assert [bpf.run(both, X86_64, LSEEK, *args) for args in ((1, 0, 3), (1, 0, 4), (2, 0, 3))] == [ALLOW, EPERM, EPERM]
    either = compiled(rule("ALLOW", "lseek", args=[arg(0, 1), arg(0, 2)]))
    assert [bpf.run(either, X86_64, LSEEK, a) for a in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]


def test_a_call_newer_than_the_profile_is_unknown_to_it_and_not_forbidden() -> None:
    program = compiled(rule("ALLOW", "read", "openat2"))  # openat2 is 437
    assert bpf.run(program, X86_64, 437) == ALLOW
    assert bpf.run(program, X86_64, 436) == EPERM
    assert bpf.run(program, X86_64, 438) == bpf.run(program, X86_64, 2000) == ENOSYS
    assert bpf.run(program, X86_64, bpf.X32 | 5) == bpf.run(program, bpf.I386, 5) == KILL_PROCESS
    # ... for each architecture by itself, and not where everything is allowed anyway
    both = compiled(rule("ALLOW", "read", "openat2"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    assert [bpf.run(both, bpf.I386, n) for n in (3, 4, 437, 438)] == [ALLOW, EPERM, ALLOW, ENOSYS]
    assert bpf.run(compiled(rule("KILL", "read"), default="ALLOW"), X86_64, 2000) == ALLOW


def test_names_nobody_knows_are_left_out() -> None:
    program = compiled(rule("ALLOW", "no_such_call", "read", "setns", "socketcall"))
    assert bpf.run(program, X86_64, READ) == ALLOW


def test_a_call_that_libseccomp_may_not_know_goes_in_by_number() -> None:
    program = compiled(rule("ALLOW", "read", "removexattrat"))
    assert [bpf.run(program, X86_64, n) for n in (465, 466, 467)] == [EPERM, ALLOW, ENOSYS]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "unknown action 'SCMP_ACT_MAYBE'"),
        ({}, "unknown action None"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}, "70000 is not an error number"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}, "not an error number"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_VAX"]}, "unknown architecture"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NO"]}, "unknown flag"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("KILL", "read", args=[arg(6, 1)])]}, "arguments 0 to 5"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("KILL", "read", args=[arg(0, -1)])]}, "makes no sense"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("KILL", "read", args=[{"op": "EQ"}])]},
            "makes no sense",
        ),
    ],
)
def test_a_profile_that_makes_no_sense_is_one_line(profile: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        seccomp.load(profile, str(tmp_path))
    assert "\n" not in caught.value.message
    assert os.listdir(tmp_path) == []


def test_user_notification_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="SCMP_ACT_NOTIFY"):
        compiled(rule("NOTIFY", "mount"), default="ALLOW")


# --- the cache ----------------------------------------------------------------------------------


def test_the_second_time_is_read_from_a_file_and_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = str(tmp_path / "cache/seccomp")
    profile = default_profile(security.DEFAULT_CAPABILITIES)
    first = seccomp.load(profile, cache)
    (name,) = os.listdir(cache)
    assert len(first.program) == os.stat(f"{cache}/{name}").st_size and os.stat(cache).st_mode & 0o777 == 0o700

    def unwanted(profile: object) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(seccomp_compiler, "compile_profile", unwanted)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        assert seccomp.load(profile, cache) == first
        times.append(time.perf_counter() - start)
    print(f"hit {min(times) * 1e6:.0f} us, {len(first.program) // 8} instructions")
    assert min(times) < 0.001
    with pytest.raises(AssertionError, match="compiled again"):
        seccomp.load(default_profile((*security.DEFAULT_CAPABILITIES, "CAP_BPF")), cache)


@pytest.mark.parametrize("damage", [b"", b"\0" * 800, b"x" * 801, b"\x06\0\0\0\0\0\xff\x7f" * 5000])
def test_a_damaged_file_is_compiled_again(tmp_path: Path, damage: bytes) -> None:
    profile = default_profile(security.DEFAULT_CAPABILITIES)
    good = seccomp.load(profile, str(tmp_path))
    (name,) = os.listdir(tmp_path)
    (tmp_path / name).write_bytes(damage)
    assert seccomp.load(profile, str(tmp_path)) == good
    assert (tmp_path / name).read_bytes() == good.program and os.listdir(tmp_path) == [name]


def test_a_link_in_the_cache_is_not_followed(tmp_path: Path) -> None:
    profile = default_profile(security.DEFAULT_CAPABILITIES)
    good = seccomp.load(profile, str(tmp_path / "a"))
    (name,) = os.listdir(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "elsewhere").write_bytes(good.program[:-8] + b"\x06\0\0\0\0\0\xff\x7f")
    (tmp_path / "b" / name).symlink_to(tmp_path / "elsewhere")
    assert seccomp.load(profile, str(tmp_path / "b")) == good


def test_many_threads_fill_one_cache(tmp_path: Path) -> None:
    profile = default_profile(security.DEFAULT_CAPABILITIES)
    results: list[seccomp.Filter] = []
    threads = [threading.Thread(target=lambda: results.append(seccomp.load(profile, str(tmp_path)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 1 and len(results) == 8 and len(os.listdir(tmp_path)) == 1


def test_a_cache_that_can_not_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    profile = default_profile(security.DEFAULT_CAPABILITIES)
    assert seccomp.load(profile, str(tmp_path / "file" / "x")).program


def test_the_flags_of_the_profile_are_those_of_the_call(tmp_path: Path) -> None:
    profile: Any = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    }
    assert seccomp.load(profile, str(tmp_path)).flags == 6


# --- profile files --------------------------------------------------------------------------------

PROFILE = {
    "comment": "a profile as docker takes it",
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None},
    ],
    "syscalls": [
        rule("ALLOW", "read", comment="always"),
        {"name": "write", "action": "SCMP_ACT_ALLOW"},
        rule("ALLOW", "mount", includes={"caps": ["CAP_SYS_ADMIN"]}),
        rule("ALLOW", "umount2", includes={"caps": ["CAP_SYS_ADMIN", "CAP_KILL"]}),
        rule("ALLOW", "clone", excludes={"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}),
        rule("ALLOW", "arch_prctl", includes={"arches": ["amd64", "x32"]}),
        rule("ALLOW", "cacheflush", includes={"arches": ["arm64"]}),
        rule("ALLOW", "getpid", excludes={"arches": ["s390x"]}),
        rule("ALLOW", "ptrace", includes={"minKernel": "4.8"}),
        rule("ALLOW", "swapon", includes={"minKernel": "99.0"}),
        rule("ALLOW", "swapoff", excludes={"minKernel": "4.8"}),
        {**rule("ERRNO", "bpf"), "errno": "ENOSYS"},
        rule("ALLOW", "socket", args=[{"index": 0, "value": 40, "valueTwo": 0, "op": "SCMP_CMP_NE"}], includes={}),
    ],
}


def allowed(capabilities: tuple[str, ...], machine: str = "x86_64", kernel: str = "5.15.0-91-generic") -> set[str]:
    result = file.parse_profile(json.dumps(PROFILE).encode(), capabilities, machine=machine, kernel=kernel)
    return {name for one in result["syscalls"] if one["action"] == "SCMP_ACT_ALLOW" for name in one["names"]}


ALWAYS = {"read", "write", "getpid", "socket"}


def test_conditions_of_a_docker_profile() -> None:
    assert allowed(()) == ALWAYS | {"clone", "arch_prctl", "ptrace"}
    assert allowed(("CAP_SYS_ADMIN",)) == ALWAYS | {"mount", "arch_prctl", "ptrace"}
    assert allowed(("CAP_SYS_ADMIN", "CAP_KILL")) == ALWAYS | {"mount", "umount2", "arch_prctl", "ptrace"}
    assert allowed((), machine="aarch64") == ALWAYS | {"clone", "cacheflush", "ptrace"}
    assert allowed((), kernel="4.4.0") == ALWAYS | {"clone", "arch_prctl", "swapoff"}


def test_a_profile_file_compiles_and_answers(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(PROFILE))
    profile = seccomp_profile(str(path), ())
    assert profile is not None
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    program = compile_profile(profile)
    calls = {"read": 0, "clone": 56, "mount": 165, "bpf": 321, "newer": 700}
    answers = {name: bpf.run(program, X86_64, number) for name, number in calls.items()}
    assert answers == {"read": ALLOW, "clone": ALLOW, "mount": EPERM, "bpf": ENOSYS, "newer": ENOSYS}
    assert bpf.run(program, X86_64, 41, 40) == EPERM and bpf.run(program, X86_64, 41, 2) == ALLOW


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ("{}", "no defaultAction"),
        ('{"defaultAction": 1}', "defaultAction is not of type str"),
        ('{"defaultaction": "SCMP_ACT_ALLOW"}', "unknown key 'defaultaction'"),
        (
            '{"defaultAction": "X", "syscalls": [{"names": ["read"], "action": "X", "include": {}}]}',
            "unknown key 'include'",
        ),
        ('{"defaultAction": "X", "syscalls": [{"names": [1], "action": "X"}]}', "list of strings"),
        ('{"defaultAction": "X", "syscalls": [{"action": "X"}]}', "without names"),
        ('{"defaultAction": "X", "syscalls": [{"name": "a", "names": ["b"], "action": "X"}]}', "both name and names"),
        ('{"defaultAction": "X", "architectures": ["a"], "archMap": [{}]}', "both architectures and archMap"),
        ('{"defaultAction": "X", "defaultErrno": "ENOPE"}', "unknown error 'ENOPE'"),
        (
            '{"defaultAction": "X", "syscalls": [{"names": ["a"], "action": "X", "includes": {"minKernel": "new"}}]}',
            "kernel version",
        ),
    ],
)
def test_a_file_that_is_no_profile_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        seccomp_profile(str(path), ())
    assert str(path) in caught.value.message and "\n" not in caught.value.message


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't read the seccomp profile .*: no such file or directory"):
        seccomp_profile(str(tmp_path / "none.json"), ())
