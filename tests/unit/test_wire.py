"""The encoding of plans, from both sides: the encoder in Python, and the performer's loader under sanitizers."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainer.core import _core, calls, wire
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Plan, Slot, Step

CORE = Path(__file__).parents[2] / "pycontainer" / "core"
FILE, SOCKET, PID = Slot("file"), Slot("socket"), Slot("pid")


def sample() -> Plan:
    return (
        Step("Clone", "", MONITOR, (calls.clone3(k.CLONE_NEWNS, child=INIT, out=PID, cgroup=SOCKET),), ""),
        Step(
            "Do",
            "",
            INIT,
            (
                calls.openat(k.AT_FDCWD, "/dev/null", k.O_RDWR, out=FILE, tolerate=(2, 13)),
                calls.write(FILE, b"x"),
                calls.seccomp(0, bytes(range(16))),
                calls.execve("/bin/true", ("true", ""), ("A=b",)),
            ),
            "",
        ),
    )


def header(image: bytes) -> tuple[int, ...]:
    return wire.HEADER.unpack_from(image)


def each_call(image: bytes) -> Iterator[tuple[bytes, tuple[int, ...]]]:
    """Each call's bytes and the fields of its record."""
    at = wire.HEADER.size
    while at < len(image):
        fields = wire.CALL.unpack_from(image, at)
        yield image[at : at + fields[0]], fields
        at += fields[0]


def test_the_image_says_its_own_size_and_counts() -> None:
    image = wire.encode(sample(), (SOCKET,))
    magic, size, flags, n_calls, n_slots, n_given, *given = header(image)
    assert (magic, size, flags) == (wire.MAGIC, len(image), 0)
    assert (n_calls, n_given, given[0]) == (5, 1, wire._number(SOCKET))
    assert n_slots >= 3


def test_a_call_carries_its_number_role_slot_and_tolerance() -> None:
    _, fields = list(each_call(wire.encode(sample(), (SOCKET,))))[1]
    _size, number, role, flags, out, child, n_args, n_tolerated = fields[:8]
    assert number == _core.lib.SYS_openat
    assert (role, flags, child, n_args, n_tolerated) == (1, 0, 0, 4, 2)
    assert fields[10:14] == (2, 13, 0, 0)
    assert out == wire._number(FILE)


def test_strings_end_in_nul_and_arguments_point_at_them() -> None:
    record, fields = list(each_call(wire.encode(sample(), (SOCKET,))))[1]
    kind, offset = fields[17:19]
    assert kind == wire.ARG_DATA
    assert record[offset:].startswith(b"/dev/null\0")


def test_the_encoding_of_a_call_does_not_depend_on_what_is_around_it() -> None:
    alone = wire.encode(sample()[1:], (SOCKET,))[wire.HEADER.size :]
    assert wire.encode(sample(), (SOCKET,)).endswith(alone)


def closing(*names: str) -> Plan:
    return (Step("", "", MONITOR, tuple(calls.close(Slot(name)) for name in names), ""),)


def test_too_many_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="slots"):
        wire.encode(closing(*(f"of many {number}" for number in range(wire.MAX_SLOTS + 1))), ())


def test_a_process_that_lives_on_never_runs_out_of_slots() -> None:
    wire.encode(closing(*(f"earlier {number}" for number in range(wire.MAX_SLOTS - len(wire._numbers)))), ())
    assert len(wire._numbers) == wire.MAX_SLOTS
    image = wire.encode(closing("later"), (Slot("given"),))
    assert wire._numbers == {wire.REPORTS: 0, Slot("given"): 1, Slot("later"): 2}
    assert image == wire.encode(closing("later"), (Slot("given"),))


def test_a_nul_in_a_string_is_refused() -> None:
    plan = (Step("", "", MONITOR, (calls.chdir("/a\0b"),), ""),)
    with pytest.raises(ValueError, match="NUL"):
        wire.encode(plan, ())


def test_records_are_decoded() -> None:
    data = struct.pack("IiqQIiqQ", 3, 0, 7, 1000, 4, 2, -2, 50)
    assert wire.outcomes(data) == [wire.Outcome(3, 0, 7, 1000), wire.Outcome(4, 2, -2, 50)]


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("clang") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler with sanitizers")
    program = tmp_path_factory.mktemp("asan") / "load_plan"
    sources = [CORE / "performer.c", CORE / "monitor.c", CORE / "init.c"]
    harness = Path(__file__).parents[1] / "support" / "load_plan.c"
    flags = ["-g", "-O1", "-DPYC_FUZZ", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-unused"]
    subprocess.run([compiler, *flags, f"-I{CORE}", "-o", program, *sources, harness], check=True)
    return program


def load(program: Path, images: list[bytes], where: Path) -> list[int]:
    files = []
    for number, image in enumerate(images):
        path = where / f"{number}.plan"
        path.write_bytes(image)
        files.append(path)
    result = subprocess.run([program, *files], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [int(line) for line in result.stdout.split()]


def test_the_loader_accepts_what_the_encoder_makes(loader: Path, tmp_path: Path) -> None:
    assert load(loader, [wire.encode(sample(), (SOCKET,))], tmp_path) == [0]


def test_the_loader_survives_and_refuses_damage(loader: Path, tmp_path: Path) -> None:
    good = wire.encode(sample(), (SOCKET,))
    chance = random.Random(1)
    images = [b"", good[:10], good[:-1], good + b"x", b"PYC1" + bytes(400)]
    for _ in range(400):
        image = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(0, wire.HEADER.size + 5 * wire.CALL.size + 8 * wire.PATCH.size)
            image[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        images.append(bytes(image))
    results = load(loader, images, tmp_path)
    assert results[:5] == [-22] * 5
    assert len(results) == len(images)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (4, 2**31),  # size of the image
        (12, 2**20),  # calls
        (16, 2**20),  # slots
        (20, wire.MAX_GIVEN + 1),  # given
        (24, 9999),  # slot of a given one
        (wire.HEADER.size, 8),  # size of a call
        (wire.HEADER.size, 2**20),
        (wire.HEADER.size + 8, 9),  # role
        (wire.HEADER.size + 12, 9999),  # out slot
        (wire.HEADER.size + 16, 7),  # arguments
        (wire.HEADER.size + 18, 5),  # tolerated
        (wire.HEADER.size + 20, 2**20),  # patches
        (wire.HEADER.size + 48, 3),  # kind of an argument
        (wire.HEADER.size + 56, 2**20),  # offset of an argument
        (wire.HEADER.size + 56, 8),
    ],
)
def test_the_loader_refuses_each_number_that_is_out_of_bounds(
    loader: Path, tmp_path: Path, where: int, value: int
) -> None:
    image = bytearray(wire.encode(sample(), (SOCKET,)))
    width = "<I" if value > 65535 or where < 24 or where == wire.HEADER.size else "<H"
    struct.pack_into(width, image, where, value)
    assert load(loader, [bytes(image)], tmp_path) == [-22]
