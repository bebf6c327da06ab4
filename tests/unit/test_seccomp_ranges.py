"""Filters written as ranges of numbers: they answer as the longer ones do, in half the instructions."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from pycontainer.oci import security
from pycontainer.oci.profiles.builtin import default_profile
from pycontainer.plan import seccomp_compiler
from pycontainer.plan.seccomp import INSTRUCTION
from pycontainer.plan.seccomp_ranges import EQUAL, GO, GREATER, LOAD, NOT_LESS, NUMBER, RETURN, shortened
from tests.support import bpf
from tests.support.bpf import AARCH64, ALLOW, I386, KILL_PROCESS, X86_64, errno

NUMBERS = [*range(600), 0x3FFFFFFF, 0x40000000, 0x40000027, 0x40000200, 1 << 31, (1 << 32) - 2, (1 << 32) - 1]
ARGUMENTS = [(), (40, 40, 40), (1 << 28, 0, 0), (1 << 63, 1 << 32, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x20008,)]
ARGUMENTS += [(16, 3, 9), (0, 0x5412), (0, 0x541C), (2, 1, 0), (17, 3, 0), (0, 0x100005412)]


def program(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(INSTRUCTION.pack(*each) for each in instructions)


def length(raw: bytes) -> int:
    return len(raw) // INSTRUCTION.size


@pytest.fixture
def longer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(seccomp_compiler, "shortened", lambda program: program)
    yield seccomp_compiler.compile_profile


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are of x86_64")
@pytest.mark.parametrize("compat32", [False, True])
def test_the_default_profile_answers_every_call_as_before(longer: Any, compat32: bool) -> None:
    profile = default_profile(security.DEFAULT_CAPABILITIES, compat32=compat32)
    before = longer(profile)
    after = shortened(before)
    assert length(after) < 0.6 * length(before)
    for arch in (X86_64, I386, AARCH64):
        for number in NUMBERS:
            for arguments in ARGUMENTS:
                answer = bpf.run(before, arch, number, *arguments)
                assert bpf.run(after, arch, number, *arguments) == answer, (hex(arch), number, arguments)


def random_program(chance: random.Random) -> bytes:
    """Any instructions that a filter may have; all of its jumps go forward, and each path ends."""
    size = chance.randrange(4, 600)
    made = [(LOAD, 0, 0, 4)]
    for at in range(1, size):
        left = size - at
        kind = chance.randrange(10)
        if kind < 6:
            code = chance.choice((EQUAL, GREATER, NOT_LESS, 0x45))
            k = chance.choice((chance.randrange(12), chance.randrange(1 << 32), (1 << 32) - 1))
            made.append((code, chance.randrange(min(left, 256)), chance.randrange(min(left, 256)), k))
        elif kind < 8:
            made.append(chance.choice((NUMBER, NUMBER, (LOAD, 0, 0, 4), (LOAD, 0, 0, 16), (0x54, 0, 0, 7))))
        elif kind == 8:
            made.append((GO, 0, 0, chance.randrange(left)))
        else:
            made.append((RETURN, 0, 0, chance.randrange(6)))
    return program(*made, (RETURN, 0, 0, ALLOW))


@pytest.mark.parametrize("seed", range(60))
def test_any_program_answers_as_before(seed: int) -> None:
    chance = random.Random(seed)
    before = random_program(chance)
    after = shortened(before)
    for _ in range(150):
        number = chance.choice((chance.randrange(14), chance.randrange(1 << 32), (1 << 32) - 1))
        arch, argument = chance.choice((X86_64, number)), chance.randrange(12)
        assert bpf.run(after, arch, number, argument) == bpf.run(before, arch, number, argument)


def test_numbers_beside_each_other_are_one_range() -> None:
    compared = [(EQUAL, 10 - at, 0, 5 + at) for at in range(10)]
    short = shortened(program(NUMBER, *compared, (RETURN, 0, 0, errno(1)), (RETURN, 0, 0, ALLOW)))
    assert length(short) == 5  # the number, two borders, two answers
    assert [bpf.run(short, X86_64, number) for number in (4, 5, 14, 15)] == [errno(1), ALLOW, ALLOW, errno(1)]


def test_what_may_be_something_else_than_the_number_is_left_alone() -> None:
    """The same comparison is reached with the number, and with the architecture."""
    either = program(
        (LOAD, 0, 0, 4),
        (EQUAL, 0, 1, X86_64),
        NUMBER,
        (EQUAL, 1, 0, 7),
        (RETURN, 0, 0, KILL_PROCESS),
        (RETURN, 0, 0, ALLOW),
    )
    for raw in (either, shortened(either)):
        answers = [bpf.run(raw, arch, number) for arch, number in ((X86_64, 7), (X86_64, 8), (7, 8), (8, 7))]
        assert answers == [ALLOW, KILL_PROCESS, ALLOW, KILL_PROCESS]


def test_jumps_that_are_too_far_for_eight_bits_take_two() -> None:
    far = [(0x54, 0, 0, 0xFFFFFFFF)] * 700
    raw = program(NUMBER, (EQUAL, 1, 0, 3), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 16), *far, (RETURN, 0, 0, errno(1)))
    short = shortened(raw)
    assert [bpf.run(short, X86_64, number) for number in (2, 3, 4)] == [ALLOW, errno(1), ALLOW]
