"""The encoding of a plan for the performer, and of the performer's answers (wire.h is the other side)."""

from __future__ import annotations

from _struct import Struct as Format  # `struct` itself is a file more to be read
from _struct import iter_unpack

from pycontainer.core import _core
from pycontainer.core.step import ROLES, Call, Plan, Slot, Step, Strings, Struct
from pycontainer.light import IdentityCache, cache, lock, lru_cache
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

MAX_SLOTS, MAX_GIVEN = 4096, 256
HEADER = Format(f"6I{MAX_GIVEN}H")
CALL = Format("IiHHHHHHIi4iI12Q")
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
TWO_TO_64 = 1 << 64


class Outcome(Record):
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


def outcomes(data: bytes) -> list[Outcome]:
    """Decode whole outcomes."""
    return [Outcome(*fields) for fields in iter_unpack(RECORD, data)]


def calls_of(plan: Plan) -> list[tuple[Step, Call]]:
    """Each call with its step, at its index."""
    return [(step, call) for step in plan for call in step.calls]


REPORTS = Slot("reports")  # where the performer's go: a call whose result it is moves them there


class Score(Record):
    """A plan as it is performed.

    Attributes:
        calls: each with its step, at its index.
        image: what the performer reads.
    """

    calls: list[tuple[Step, Call]]
    image: bytes


# A slot has the same number in every plan of this process, so that encodings can be kept; the first is wire.h's.
_numbers: dict[Slot, int] = {REPORTS: 0}
_encoding = lock()  # threads may start containers at the same time


class _Full(Exception):
    """There is no number left."""


def _number(slot: Slot) -> int:
    number = _numbers.setdefault(slot, len(_numbers))
    if number >= MAX_SLOTS:
        raise _Full
    return number


@lru_cache(maxsize=4096)  # most calls are the same for every container: a second start encodes only what differs
def _encode_call(where: int, call: Call) -> bytes:
    """The record of one call, its patches and its data. A start waits for this, so types are compared by identity."""
    name, given, out, tolerate, expect, report, child, patient = call
    args: tuple[Any, ...] | list[Any] = given
    at, n_patches = CALL.size, 0
    if not _PLAIN.issuperset(map(type, given)):
        args = [_flat(arg) if type(arg) in _POINTING else arg for arg in given]
        n_patches = sum([len(arg.pointers) + len(arg.slots) for arg in args if type(arg) is _Flat])
        at += n_patches * PATCH.size
    values: list[int] = []
    patches = data = b""
    for arg in args:
        kind = type(arg)
        if kind is int:
            values += ARG_INT, arg if arg >= 0 else arg + TWO_TO_64
        elif kind is Slot:
            values += ARG_SLOT, _number(arg)
        else:
            values += ARG_DATA, at
            if kind is _Flat:
                patches += _patches(arg, at)
                raw = arg.data
            else:
                raw = _text(arg)
            data += raw
            at += len(raw)
    record = CALL.pack(
        at,
        _system_call(name),
        where,
        _flags(expect, report, patient) if report or patient or expect is not None else 0,
        NO_SLOT if out is None else _number(out),
        ROLE[child] if child else 0,
        len(args),
        len(tolerate),
        n_patches,
        expect or 0,
        *tolerate,
        *_ZEROS[4 - len(tolerate)],
        0,
        *values,
        *_ZEROS[12 - len(values)],
    )
    return record + patches + data


_PLAIN, _POINTING = {int, str, bytes, Slot}, (Struct, Strings)
_ZEROS = [(0,) * n for n in range(13)]


def _flags(expect: int | None, report: bool, patient: bool) -> int:
    return (
        (CALL_REPORT if report else 0) | (CALL_EXPECT if expect is not None else 0) | (CALL_PATIENT if patient else 0)
    )


class _Flat(Record):
    """A structure with all it points to behind it.

    Attributes:
        data: a multiple of 8 bytes.
        pointers: (offset of a pointer, offset of its target) pairs.
        slots: (offset, slot) pairs.
    """

    data: bytes
    pointers: tuple[tuple[int, int], ...]
    slots: tuple[tuple[int, Slot], ...]


@lru_cache(maxsize=1024)  # a program is looked for in six directories, with the same arguments and environment
def _flat(struct: Struct | Strings) -> _Flat:
    if isinstance(struct, Strings):
        struct = _array(struct)
    data, pointers, slots = bytearray(_text(struct.data)), [], [*struct.slots]
    for at, target in struct.pointers:
        pointers.append((at, len(data)))
        if isinstance(target, Struct):
            below = _flat(target)
            pointers += [(len(data) + place, len(data) + of) for place, of in below.pointers]
            slots += [(len(data) + place, slot) for place, slot in below.slots]
            data += below.data
        else:
            data += _text(target)
    return _Flat(bytes(data), tuple(pointers), tuple(slots))


def _patches(struct: _Flat, at: int) -> bytes:
    """What the performer has to fill in before the call; ``at`` is where the structure is in it."""
    return b"".join(
        [PATCH.pack(PATCH_SLOT, at + place, _number(slot)) for place, slot in struct.slots]
        + [PATCH.pack(PATCH_POINTER, at + place, at + target) for place, target in struct.pointers]
    )


@lru_cache(maxsize=1024)
def _text(text: str | bytes) -> bytes:
    """With a NUL behind it at least, and up to a multiple of 8."""
    raw = _encoded(text) if isinstance(text, str) else text
    return raw + bytes(8 - len(raw) % 8)


@cache
def _system_call(name: str) -> int:
    return OWN.get(name) or int(getattr(_core.lib, "SYS_" + name))


def _encoded(text: str) -> bytes:
    if "\0" in text:
        raise ValueError(f"a NUL byte in {text!r}")
    return text.encode("utf-8", "surrogateescape")


def _array(strings: Strings) -> Struct:
    pointers = tuple([(8 * i, _encoded(item)) for i, item in enumerate(strings.items)])
    return Struct(bytes(8 * (len(strings.items) + 1)), pointers)


def encode(plan: Plan, given: tuple[Slot, ...], *, gated: bool = False, report_all: bool = False) -> bytes:
    """The image of ``plan``. ``given`` are the slots of the descriptors that the performer is started with.

    Raises:
        ValueError: a string holds a NUL byte, or there are more slots or descriptors than the performer has room for.
    """
    flags = (GATED if gated else 0) | (REPORT_ALL if report_all else 0)
    with _encoding:
        try:
            return _encode(plan, given, flags)
        except _Full:  # most of them are of plans that are over, in a process that lives on
            _forget()
        try:
            return _encode(plan, given, flags)
        except _Full:
            _forget()
            raise ValueError(f"more than {MAX_SLOTS} slots") from None


def _forget() -> None:
    _numbers.clear()
    _numbers[REPORTS] = 0
    _encode_step.clear()
    _encode_call.cache_clear()


def _calls_of_step(step: Step) -> bytes:
    role = ROLE[step.role]
    return b"".join([_encode_call(role, call) for call in step.calls])


_encode_step = IdentityCache(_calls_of_step, 1024)  # many are one object for all containers of a process


def _encode(plan: Plan, given: tuple[Slot, ...], flags: int) -> bytes:
    if len(given) > MAX_GIVEN:
        raise ValueError(f"more than {MAX_GIVEN} descriptors")
    slots = [_number(slot) for slot in given]
    calls = b"".join([_encode_step(step) for step in plan])
    header = HEADER.pack(
        MAGIC,
        HEADER.size + len(calls),
        flags,
        sum([len(step.calls) for step in plan]),
        len(_numbers),
        len(given),
        *slots,
        *(0,) * (MAX_GIVEN - len(slots)),
    )
    return header + calls
