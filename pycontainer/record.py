"""Records: what ``typing.NamedTuple`` is, without what it costs at every start.

Loading ``typing`` with the ``re`` and ``enum`` it needs takes 7 ms, and making the sixty classes of a start, each with
a constructor compiled from its own source, 5 ms more: a quarter of ``pyc run``. A type checker is told that a record
is a NamedTuple, so nothing is lost.
"""

from __future__ import annotations

__all__ = ["TYPE_CHECKING", "Record"]

TYPE_CHECKING = False  # a type checker takes it as true, whatever it says here

if TYPE_CHECKING:
    from typing import NamedTuple as Record
else:
    from _collections import _tuplegetter  # the descriptor in C that collections.namedtuple reads its fields with

    _tuple = tuple.__new__

    class _Maker(type):
        """Makes a class with a field for each annotation in its body, and the value given there as its default."""

        def __new__(cls, name, bases, body):
            body["__slots__"] = ()
            if any(hasattr(base, "_fields") and base is not Record for base in bases):
                return super().__new__(cls, name, bases, body)  # adds methods, not fields
            fields = tuple(body.get("__annotations__", ()))
            body["_fields"] = body["__match_args__"] = fields
            body["_field_defaults"] = {field: body.pop(field) for field in fields if field in body}
            body["_rest"] = {len(fields): ()}  # how many values are given -> the defaults of the fields behind them
            for index, field in enumerate(fields):
                body[field] = _tuplegetter(index, None)
            return super().__new__(cls, name, bases, body)

    class Record(tuple, metaclass=_Maker):
        """An immutable tuple with named, typed fields."""

        def __new__(cls, *values, **named):  # noqa: D102
            given = len(values)
            if named or given not in cls._rest:
                values = cls._complete(values, named)
                if not named:
                    cls._rest[given] = values[given:]  # a start makes seven hundred, most of them alike
            else:
                values += cls._rest[given]
            return _tuple(cls, values)

        @classmethod
        def _complete(cls, values, named):
            rest = cls._fields[len(values) :]
            if len(values) > len(cls._fields) or not named.keys() <= set(rest):
                raise TypeError(f"{cls.__name__} has the fields {cls._fields}, not {values} and {named}")
            try:
                given = cls._field_defaults | named
                return (*values, *[given[field] for field in rest])
            except KeyError as error:
                raise TypeError(f"{cls.__name__} is missing {error}") from None

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **named):
            values = [named.pop(field, value) for field, value in zip(self._fields, self, strict=True)]
            if named:
                raise TypeError(f"{type(self).__name__} has the fields {self._fields}, not {named}")
            return _tuple(type(self), values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"
