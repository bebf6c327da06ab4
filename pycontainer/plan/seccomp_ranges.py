"""A filter made shorter: decisions about the number of a call, as ranges of numbers.

libseccomp compares with each number that a profile speaks of, five hundred times. But neighbours mostly have the same
answer, and the kernel translates each instruction to machine code at every start. So the comparisons of one number are
followed here for all numbers, which gives ranges with one answer each, and these are written as a binary tree. What
looks at anything else, as the arguments of a call, stays as it is.

Sources: Documentation/networking/filter.rst on classic BPF, seccomp(2).
"""

from __future__ import annotations

from pycontainer.plan.seccomp import INSTRUCTION
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    Instruction = tuple[int, int, int, int]
    """struct sock_filter: code, jump if true, jump if false, k; jumps are relative to the next instruction."""

LOAD, RETURN, GO = 0x20, 0x06, 0x05
EQUAL, GREATER, NOT_LESS = 0x15, 0x25, 0x35
NUMBER = (LOAD, 0, 0, 0)  # offsetof(struct seccomp_data, nr)
_ALL = 1 << 32
_FAR = 254  # what a conditional jump can skip is told in eight bits; one may come between


def shortened(program: bytes) -> bytes:
    """A program that answers every call as ``program`` does."""
    instructions = list(INSTRUCTION.iter_unpack(program))
    return b"".join(INSTRUCTION.pack(*each) for each in _Writer(instructions).written())


def _targets(instructions: list[Instruction], at: int) -> list[int]:
    """Where it goes on from there: where the condition holds, and where not."""
    code, if_true, if_false, k = instructions[at]
    if code == RETURN:
        return []
    if code == GO:
        return [at + 1 + k]
    return [at + 1 + if_true, at + 1 + if_false] if code & 7 == 5 else [at + 1]


def _decides(instructions: list[Instruction]) -> list[bool]:
    """Of each instruction, whether it compares the number, and nothing else can be what it compares."""
    seen: list[set[bool]] = [set() for _ in instructions]
    for at, instruction in enumerate(instructions):  # all jumps go forward
        jumps = instruction[0] & 7 == 5
        for target in _targets(instructions, at):
            seen[target] |= seen[at] if jumps else {instruction == NUMBER}
    return [
        instruction[0] in (EQUAL, GREATER, NOT_LESS, GO) and seen[at] == {True}
        for at, instruction in enumerate(instructions)
    ]


class _Writer:
    """Writes the program from its end, so that the place of what is jumped to is known."""

    def __init__(self, instructions: list[Instruction]) -> None:
        self.instructions, self.decides = instructions, _decides(instructions)
        self.backward: list[Instruction] = []
        self.places: dict[object, int] = {}  # how many instructions there were when that had been written

    def written(self) -> Iterator[Instruction]:
        self._write(0)
        return reversed(self.backward)

    def _write(self, at: int) -> object:
        """What is done from there on: its key in ``places``. Returns with one value are one."""
        instruction = self.instructions[at]
        if self.decides[at]:
            return self._tree(self._ranges(at))
        if instruction[0] == GO:
            return self._write(*_targets(self.instructions, at))
        key: object = instruction if instruction[0] == RETURN else at
        if key not in self.places:
            self._put(key, instruction[0], instruction[3], [*map(self._write, _targets(self.instructions, at))])
        return key

    def _ranges(self, at: int) -> tuple[tuple[int, object], ...]:
        """Where a range of numbers begins, and what is done about them."""
        borders, todo, known = {0}, [at], set()
        while todo:
            here = todo.pop()
            if here not in known and self.decides[here]:
                known.add(here)
                k = self.instructions[here][3]
                borders |= {k, k + 1} if self.instructions[here][0] != GO else set()
                todo += _targets(self.instructions, here)
        found: list[tuple[int, object]] = []
        for border in sorted(borders - {_ALL}):
            what = self._write(self._follow(at, border))
            if not found or found[-1][1] != what:
                found.append((border, what))
        return tuple(found)

    def _follow(self, at: int, number: int) -> int:
        """Where the comparisons lead with that number."""
        while self.decides[at]:
            code, _, _, k = self.instructions[at]
            holds = {EQUAL: number == k, GREATER: number > k, NOT_LESS: number >= k, GO: True}[code]
            at = _targets(self.instructions, at)[0 if holds else 1]
        return at

    def _tree(self, ranges: tuple[tuple[int, object], ...]) -> object:
        if len(ranges) == 1:
            return ranges[0][1]
        if ranges not in self.places:
            middle = len(ranges) // 2
            below, above = self._tree(ranges[:middle]), self._tree(ranges[middle:])
            self._put(ranges, NOT_LESS, ranges[middle][0], [above, below])
        return ranges

    def _put(self, key: object, code: int, k: int, targets: list[object]) -> None:
        jumps = code & 7 == 5
        for target in targets:
            if self._away(target) > (_FAR if jumps else 0):
                self.backward.append((GO, 0, 0, self._away(target)))
                self.places[target] = len(self.backward)
        if_true, if_false = map(self._away, targets) if jumps and len(targets) == 2 else (0, 0)
        self.backward.append((code, if_true, if_false, k))
        self.places[key] = len(self.backward)

    def _away(self, target: object) -> int:
        """How many instructions are between what is written next and that."""
        return len(self.backward) - self.places[target]
