"""The encoding of a plan for the performer, and of the performer's answers (wire.h is the other side)."""

from __future__ import annotations

from struct import Struct as Format
from struct import iter_unpack
from typing import NamedTuple

from pycontainer.core import _core
from pycontainer.core.step import ROLES, Arg, Call, Plan, Slot, Step, Strings, Struct

HEADER = Format("8I")
CALL = Format("iHHHHHHIIi4iI12Q")
PATCH = Format("IIQ")
RECORD = "IiqQ"
RECORD_BYTES = 24
MAGIC = int.from_bytes(b"PYC1", "little")
NO_SLOT = 0xFFFF
GATED, REPORT_ALL = 1, 2
CALL_REPORT, CALL_EXPECT = 1, 2
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
    """Lays out data behind the two tables and remembers where each piece went."""

    def __init__(self, n_calls: int, n_patches: int, given: tuple[Slot, ...]) -> None:
        self.base = HEADER.size + n_calls * CALL.size + n_patches * PATCH.size
        self.data = bytearray()
        self.patches: list[tuple[int, int, int]] = []
        self.slots: dict[Slot, int] = {slot: number for number, slot in enumerate(given)}
        self.known: dict[bytes, int] = {}

    def slot(self, slot: Slot) -> int:
        return self.slots.setdefault(slot, len(self.slots))

    def place(self, raw: bytes, *, shared: bool = True) -> int:
        """The offset of ``raw`` in the image; equal constants are stored once."""
        if shared and raw in self.known:
            return self.known[raw]
        offset = self.base + len(self.data)
        self.data += raw
        self.data += bytes(-len(raw) % 8 or 8)  # aligned, and a NUL behind each string
        if shared:
            self.known[raw] = offset
        return offset

    def arg(self, arg: Arg) -> tuple[int, int]:
        if isinstance(arg, int):
            return ARG_INT, arg & U64
        if isinstance(arg, Slot):
            return ARG_SLOT, self.slot(arg)
        if isinstance(arg, str):
            return ARG_DATA, self.place(_c_string(arg))
        if isinstance(arg, bytes):
            return ARG_DATA, self.place(arg)
        if isinstance(arg, Strings):
            arg = _array(arg)
        offset = self.place(arg.data, shared=False)
        self.patches += [(PATCH_POINTER, offset + at, self.place(target)) for at, target in arg.pointers]
        self.patches += [(PATCH_SLOT, offset + at, self.slot(slot)) for at, slot in arg.slots]
        return ARG_DATA, offset

    def call(self, step: Step, call: Call) -> bytes:
        first_patch = len(self.patches)
        args = [number for arg in call.args for number in self.arg(arg)]
        flags = (CALL_REPORT if call.report else 0) | (CALL_EXPECT if call.expect is not None else 0)
        return CALL.pack(
            OWN.get(call.name) or _number(call.name),
            ROLE[step.where],
            flags,
            NO_SLOT if call.out is None else self.slot(call.out),
            ROLE[call.child] if call.child else 0,
            len(call.args),
            len(call.tolerate),
            first_patch,
            len(self.patches) - first_patch,
            call.expect or 0,
            *call.tolerate,
            *(0,) * (4 - len(call.tolerate)),
            0,
            *args,
            *(0,) * (12 - len(args)),
        )


def _number(name: str) -> int:
    return int(getattr(_core.lib, "SYS_" + name))


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
    table = b"".join([encoder.call(step, call) for step, call in calls])
    patches = b"".join([PATCH.pack(*patch) for patch in encoder.patches])
    size = encoder.base + len(encoder.data)
    flags = (GATED if gated else 0) | (REPORT_ALL if report_all else 0)
    header = HEADER.pack(MAGIC, size, flags, len(calls), len(encoder.patches), len(encoder.slots), len(given), 0)
    return header + table + patches + bytes(encoder.data)
