"""Records behave as the named tuples that a type checker takes them for."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pycontainer.record import Record


class Ours(Record):
    first: int
    second: str = "b"
    third: tuple[int, ...] = ()


class Theirs(NamedTuple):
    first: int
    second: str = "b"
    third: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1,), {}),
        ((1, "x"), {}),
        ((1, "x", (2,)), {}),
        ((), {"first": 1}),
        ((1,), {"third": (3,)}),
        ((), {"third": (3,), "first": 1, "second": "z"}),
    ],
)
def test_values_by_place_by_name_and_by_default(values, named):
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert tuple(ours) == tuple(theirs)
    assert (ours.first, ours.second, ours.third) == theirs
    assert ours._replace(second="new") == theirs._replace(second="new")
    assert ours._asdict() == theirs._asdict()


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, "x", (), 4), {}), ((1,), {"first": 2}), ((1,), {"other": 2})]
)
def test_what_does_not_fit_is_a_type_error(values, named):
    for kind in (Ours, Theirs):
        with pytest.raises(TypeError):
            kind(*values, **named)


def test_only_fields_can_be_replaced():
    with pytest.raises(TypeError, match="other"):
        Ours(1)._replace(other=2)
