"""The encoding of a plan for the performer, and of the performer's answers (wire.h is the other side)."""

from __future__ import annotations

from struct import Struct as Format
from struct import iter_unpack
from typing import NamedTuple

from pycontainer.core import _core
from pycontainer.core.step import ROLES, Call, Plan, Slot, Step, Strings, Struct

HEADER = Format("8I")
CALL = Format("iHHHHHHIIi4iI12Q")
PATCH = Format("IIQ")
RECORD = "IiqQ"
RECORD_BYTES = 24
MAGIC = int.from_bytes(b"PYC1", "little")
NO_SLOT = 0xFFFF
GATED, REPORT_ALL = 1, 2
CALL_REPORT, CALL_EXPECT, CALL_PATIENT = 1, 2, 4
ARG_INT, ARG_SLOT, ARG_DATA = 0, 1, 2
PATCH_POINTER, PATCH_SLOT = 0, 1
OWN = {"supervise": -1, "reap": -2}
ROLE = {name: number for number, name in enumerate(ROLES)}
U64 = 0xFFFFFFFFFFFFFFFF


class Record(NamedTuple):
    """What the performer says of one call.

    Attributes:
        index: of the call in the plan.
        error: 0, an error number, or ``SKIPPED``.
        value: what the call returned.
        ns: how long it took, in nanoseconds; 0 where it was not measured.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    error: int
    value: int
    ns: int


SKIPPED = -1
REFUSED = 0xFFFFFFFF  # the index when the performer can't read the plan at all


def records(data: bytes) -> list[Record]:
    """Decode whole records."""
    return [Record(*fields) for fields in iter_unpack(RECORD, data)]


def calls_of(plan: Plan) -> list[tuple[Step, Call]]:
    """Each call with its step, at its index."""
    return [(step, call) for step in plan for call in step.calls]


class _Encoder:
    """Lays out data behind the two tables and remembers where each piece went.

    A start waits for this: types are compared by identity, and nothing is built that is not packed.
    """

    def __init__(self, n_calls: int, n_patches: int, given: tuple[Slot, ...]) -> None:
        self.base = HEADER.size + n_calls * CALL.size + n_patches * PATCH.size
        self.data = bytearray()
        self.patches: list[tuple[int, int, int]] = []
        self.slots: dict[Slot, int] = {slot: number for number, slot in enumerate(given)}
        self.constants: dict[str | bytes, int] = {}
        self.numbers: dict[str, int] = dict(OWN)

    def call(self, where: int, call: Call) -> bytes:
        """The record of one call."""
        name, args, out, tolerate, expect, report, child, patient = call
        first_patch = len(self.patches)
        slots, constants = self.slots, self.constants
        values: list[int] = []
        for arg in args:
            kind = type(arg)
            if kind is int:
                values += (ARG_INT, arg & U64)  # type: ignore[operator]
            elif kind is Slot:
                values += (ARG_SLOT, slots.setdefault(arg, len(slots)))  # type: ignore[arg-type]
            elif kind is str or kind is bytes:
                offset = constants.get(arg)  # type: ignore[arg-type]
                values += (ARG_DATA, self._constant(arg) if offset is None else offset)  # type: ignore[arg-type]
            else:
                values += (ARG_DATA, self._structure(_array(arg) if isinstance(arg, Strings) else arg))  # type: ignore[arg-type]
        number = self.numbers.get(name)
        if number is None:
            number = self.numbers[name] = int(getattr(_core.lib, "SYS_" + name))
        return CALL.pack(
            number,
            where,
            (CALL_REPORT if report else 0)
            | (CALL_EXPECT if expect is not None else 0)
            | (CALL_PATIENT if patient else 0),
            NO_SLOT if out is None else slots.setdefault(out, len(slots)),
            ROLE[child] if child else 0,
            len(args),
            len(tolerate),
            first_patch,
            len(self.patches) - first_patch,
            expect or 0,
            *tolerate,
            *_ZEROS[4 - len(tolerate)],
            0,
            *values,
            *_ZEROS[12 - len(values)],
        )

    def _place(self, raw: bytes) -> int:
        """Append to the data, aligned and with a NUL behind; the offset in the image."""
        offset = self.base + len(self.data)
        self.data += raw
        self.data += bytes(8 - len(raw) % 8)
        return offset

    def _constant(self, constant: str | bytes) -> int:
        """Strings and bytes that nothing writes to are stored once."""
        raw = constant if isinstance(constant, bytes) else _c_string(constant)
        offset = self.constants[constant] = self._place(raw)
        return offset

    def _structure(self, structure: Struct) -> int:
        offset = self._place(structure.data)
        for at, target in structure.pointers:
            where = self.constants.get(target)
            self.patches.append((PATCH_POINTER, offset + at, self._constant(target) if where is None else where))
        self.patches += [
            (PATCH_SLOT, offset + at, self.slots.setdefault(slot, len(self.slots))) for at, slot in structure.slots
        ]
        return offset


_ZEROS = [(0,) * n for n in range(13)]


def _c_string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise ValueError(f"a NUL byte in {text!r}")
    return raw + b"\0"


def _array(strings: Strings) -> Struct:
    pointers = tuple((8 * i, _c_string(item)) for i, item in enumerate(strings.items))
    return Struct(bytes(8 * (len(strings.items) + 1)), pointers)


def _count_patches(plan: Plan) -> int:
    total = 0
    for step in plan:
        for call in step.calls:
            for arg in call.args:
                if isinstance(arg, Struct):
                    total += len(arg.pointers) + len(arg.slots)
                elif isinstance(arg, Strings):
                    total += len(arg.items)
    return total


def encode(plan: Plan, given: tuple[Slot, ...], *, gated: bool = False, report_all: bool = False) -> bytes:
    """The image of ``plan``. ``given`` are the slots of the descriptors that the performer is started with.

    Raises:
        ValueError: a string holds a NUL byte.
    """
    calls = calls_of(plan)
    encoder = _Encoder(len(calls), _count_patches(plan), given)
    table = b"".join([encoder.call(ROLE[step.where], call) for step, call in calls])
    patches = b"".join([PATCH.pack(*patch) for patch in encoder.patches])
    size = encoder.base + len(encoder.data)
    flags = (GATED if gated else 0) | (REPORT_ALL if report_all else 0)
    header = HEADER.pack(MAGIC, size, flags, len(calls), len(encoder.patches), len(encoder.slots), len(given), 0)
    return header + table + patches + bytes(encoder.data)
