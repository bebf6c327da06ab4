"""Plans used again: the containers that one program starts mostly differ in nothing but their IDs.

Making a plan and encoding it takes a sixth of a start inside Python. A process that starts several containers therefore
keeps its last plans, each as a template with holes where the ID was::

    the spec and the setting, with holes   ->   the encoded plan, with holes   ->   the same, with the new ID in them
            what it is found by                         what is kept                    what the performer reads

This is safe because of two properties of IDs. They all have the same length, so nothing in the encoding moves. And they
are random, so their digits stand nowhere but where the ID was meant: in paths, and its first twelve as the host name.

Three kinds of starts make their plan anew: the first of a process (most start only one), those that are watched
(``--explain`` shows the plan of this very container), and those with a network, whose addresses differ as well.
"""

from __future__ import annotations

from pycontainer.core.performer import PlanFailed
from pycontainer.core.wire import Score, calls_of, encode
from pycontainer.plan.container import NO_NETWORK, Setting, container
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.core.step import Call, Plan, Slot, Step
    from pycontainer.oci.spec import Spec

SHORT = 12
"""The digits of an ID that are the host name of a container for which none was asked."""
MOST = 16
"""How many plans are kept."""


class Template(Record):
    """Bytes with holes, one for each place where a container's ID was.

    The bytes are in pieces, the joins between which are the holes: the outer ones for whole IDs, the inner for their
    first digits. Joining pieces is ten times as fast as replacing one ID by another, which has to look for it first.
    """

    pieces: list[list[bytes]]

    @classmethod
    def of(cls, raw: bytes, container_id: bytes) -> Template:
        """Make holes where the ID is."""
        return cls([piece.split(container_id[:SHORT]) for piece in raw.split(container_id)])

    def filled(self, container_id: bytes) -> bytes:
        """The bytes, with this ID in the holes."""
        return container_id.join([container_id[:SHORT].join(piece) for piece in self.pieces])


class _Kept(Record):
    """A plan that has been made.

    Attributes:
        container: the ID of the container that it was made for.
        plan: as it was made.
        kinds: what each path of the host that mattered was: a directory, another file, or nothing.
        scores: by the descriptors that the performer is given, the plan's calls and its encoding.
    """

    container: str
    plan: Plan
    kinds: dict[str, str]
    scores: dict[tuple[Slot, ...], tuple[list[tuple[Step, Call]], Template]]


_kept: dict[bytes, _Kept] = {}
_starts = 0


class Planned:
    """The plan of one container, and what the performer reads.

    Attributes:
        plan: as it was made for this container, or for an earlier one that differs in its ID only.
    """

    def __init__(self, spec: Spec, setting: Setting, *, watched: bool = False) -> None:
        """Find the plan or make it; if somebody watches, make it. Raises UsageError if the spec can't be performed."""
        self._spec, self._setting = spec, setting
        self._kept = _made(spec, setting) if watched else _found(spec, setting)
        self.plan = self._kept.plan

    def score(self, given: tuple[Slot, ...]) -> Score:
        """The plan as the performer reads it. ``given`` are the slots of the descriptors that it is started with."""
        kept = self._kept
        if given not in kept.scores:
            made = Score(calls_of(kept.plan), encode(kept.plan, given))
            if _starts == 1:  # most likely nobody asks again
                return made
            kept.scores[given] = made.calls, Template.of(made.image, kept.container.encode())
        calls, template = kept.scores[given]
        return Score(calls, template.filled(self._setting.container.encode()))

    def own(self, failed: PlanFailed) -> PlanFailed:
        """The failure, with the step and the call as they are for this container and not for an earlier one."""
        step, call = calls_of(container(self._spec, self._setting))[failed.record.index]
        return PlanFailed(step, call, failed.record, failed.earlier)


def _found(spec: Spec, setting: Setting) -> _Kept:
    global _starts
    _starts += 1
    if _starts == 1 or setting.network is not NO_NETWORK:
        return _made(spec, setting)
    key = _key(spec, setting)
    found = _kept.get(key)
    if found is None or not _is_as_before(found, setting):
        if len(_kept) >= MOST:
            _kept.clear()
        found = _kept[key] = _made(spec, setting)
    return found


def _made(spec: Spec, setting: Setting) -> _Kept:
    """Make the plan, and note which paths of the host it looked at."""
    kinds: dict[str, str] = {}

    def kind_of(path: str) -> str:
        kinds[path] = setting.kind_of(path)
        return kinds[path]

    return _Kept(setting.container, container(spec, setting._replace(kind_of=kind_of)), kinds, {})


def _is_as_before(kept: _Kept, setting: Setting) -> bool:
    """Whether the paths of the host that mattered are still what they were."""
    old, new = kept.container, setting.container
    return all(setting.kind_of(path.replace(old, new)) == kind for path, kind in kept.kinds.items())


def _key(spec: Spec, setting: Setting) -> bytes:
    """All that the plan depends on, without the ID.

    The filter's source is left out, as its compiled form is in the setting; so is ``kind_of``, a function: what it said
    is compared by :func:`_is_as_before`.
    """
    import marshal

    without_filter = {**spec, "linux": {**spec["linux"], "seccomp": None}}
    without_function = tuple([value for value in setting if value is not setting.kind_of])
    # In version 0 an object that comes twice is written twice, so equal values are equal bytes.
    raw = marshal.dumps((without_filter, _plain(without_function)), 0)
    return Template.of(raw, setting.container.encode()).filled(bytes(len(setting.container)))


_LEAVES = frozenset((str, int, bytes, bool, float, type(None)))


def _plain(record: Any) -> Any:
    """Records and sets as tuples, all the way down: marshal takes nothing else."""
    if isinstance(record, frozenset):
        return _plain(tuple(sorted(record)))
    if not isinstance(record, tuple):
        return record
    return tuple([value if type(value) in _LEAVES else _plain(value) for value in record])
