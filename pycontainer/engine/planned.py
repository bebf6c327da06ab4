"""Plans that serve again: the containers of one program mostly differ in nothing but their IDs.

To make a plan and encode it takes a sixth of a start inside Python. So a process keeps those of its last containers.
Where everything that a plan depends on is the same but for the ID, in paths and in texts, the performer gets a copy of
what is kept, with one ID in the place of the other. They are of the same length; and they are random, so that an ID
is found in a plan only where it was put as that.
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


class _Kept(Record):
    """A plan that has been made.

    Attributes:
        container: for which one.
        plan: as it was made.
        kinds: what paths of the host were when it was made, for all that mattered.
        scores: its encodings, by what the performer is given.
    """

    container: str
    plan: Plan
    kinds: dict[str, str]
    scores: dict[tuple[Slot, ...], _Pieces]


class _Pieces(Record):
    """A score whose image is in pieces: the ID is between them, and in each its beginning is between smaller ones."""

    calls: list[tuple[Step, Call]]
    pieces: list[list[bytes]]


_kept: dict[bytes, _Kept] = {}
_starts = 0


class Planned:
    """The plan of one container.

    Attributes:
        plan: as it was made for this container, or for another.
    """

    def __init__(self, spec: Spec, setting: Setting, *, watched: bool = False) -> None:
        """Make it or find it; if it is ``watched``, make it. Raises UsageError for a spec that can't be performed."""
        self._spec, self._setting = spec, setting
        self._kept = _made(spec, setting) if watched else _found(spec, setting)
        self.plan = self._kept.plan

    def score(self, given: tuple[Slot, ...]) -> Score:
        """What the performer reads. ``given`` are the slots of the descriptors that it is started with."""
        kept, container_id = self._kept, self._setting.container.encode()
        score = kept.scores.get(given)
        if score is None:
            made = Score(calls_of(kept.plan), encode(kept.plan, given))
            if _starts == 1:
                return made
            score = kept.scores[given] = _Pieces(made.calls, _cut(made.image, kept.container.encode()))
        return Score(score.calls, _joined(score.pieces, container_id))

    def own(self, failed: PlanFailed) -> PlanFailed:
        """A failure with the step and the call as they are in the plan of this very container."""
        step, call = calls_of(container(self._spec, self._setting))[failed.record.index]
        return PlanFailed(step, call, failed.record, failed.earlier)


def _cut(raw: bytes, container_id: bytes) -> list[list[bytes]]:
    return [piece.split(container_id[:SHORT]) for piece in raw.split(container_id)]


def _joined(pieces: list[list[bytes]], container_id: bytes) -> bytes:
    return container_id.join([container_id[:SHORT].join(piece) for piece in pieces])


def _found(spec: Spec, setting: Setting) -> _Kept:
    global _starts
    _starts += 1
    if _starts == 1 or setting.network is not NO_NETWORK:
        # A process that starts one container keeps nothing; who is in networks has addresses and devices of its own.
        return _made(spec, setting)
    key = _key(spec, setting)
    found = _kept.get(key)
    if found is None or not _is_as_before(found, setting):
        if len(_kept) >= MOST:
            _kept.clear()
        found = _kept[key] = _made(spec, setting)
    return found


def _made(spec: Spec, setting: Setting) -> _Kept:
    kinds: dict[str, str] = {}

    def kind_of(path: str) -> str:
        kinds[path] = setting.kind_of(path)
        return kinds[path]

    return _Kept(setting.container, container(spec, setting._replace(kind_of=kind_of)), kinds, {})


def _is_as_before(kept: _Kept, setting: Setting) -> bool:
    """Whether the paths of the host that mattered are what they were then."""
    own, now = (kept.container, setting.container), setting.kind_of
    return all(now(path.replace(*own)) == kind for path, kind in kept.kinds.items())


def _key(spec: Spec, setting: Setting) -> bytes:
    """All that the plan depends on, without the ID."""
    import marshal

    plain = {**spec, "linux": {**spec["linux"], "seccomp": None}}  # of that, the plan has what is compiled
    rest = tuple([value for value in setting if value is not setting.kind_of])
    raw = marshal.dumps((plain, _plain(rest)), 0)
    return _joined(_cut(raw, setting.container.encode()), bytes(len(setting.container)))


_LEAVES = frozenset((str, int, bytes, bool, float, type(None)))


def _plain(record: Any) -> Any:
    """Records and sets as tuples, all the way down: as marshal takes them."""
    if isinstance(record, frozenset):
        return _plain(tuple(sorted(record)))
    if not isinstance(record, tuple):
        return record
    return tuple([value if type(value) in _LEAVES else _plain(value) for value in record])
