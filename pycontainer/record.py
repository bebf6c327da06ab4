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
    _MAKERS = (  # by how many fields there are; most records have few, and a start makes some hundreds of them
        lambda _: _tuple(_),
        lambda _, a: _tuple(_, (a,)),
        lambda _, a, b: _tuple(_, (a, b)),
        lambda _, a, b, c: _tuple(_, (a, b, c)),
        lambda _, a, b, c, d: _tuple(_, (a, b, c, d)),
        lambda _, a, b, c, d, e: _tuple(_, (a, b, c, d, e)),
        lambda _, a, b, c, d, e, f: _tuple(_, (a, b, c, d, e, f)),
        lambda _, a, b, c, d, e, f, g: _tuple(_, (a, b, c, d, e, f, g)),
        lambda _, a, b, c, d, e, f, g, h: _tuple(_, (a, b, c, d, e, f, g, h)),
    )
    _function = type(_MAKERS[0])

    def _maker(fields, defaults):
        """A constructor, where there is one for so many fields: with their names, Python itself completes the call."""
        code = _MAKERS[len(fields)].__code__.replace(co_varnames=("_", *fields), co_name="__new__")
        return _function(code, globals(), "__new__", defaults)

    class _Maker(type):
        """Makes a class with a field for each annotation in its body, and the value given there as its default.

        As of a named tuple, its only base is tuple: each class more to look into makes making it dearer by a quarter.
        """

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)  # Record itself
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            made = {**_METHODS, **body, "__slots__": (), "_fields": fields, "__match_args__": fields}
            made["_field_defaults"] = defaults
            if fields and len(fields) < len(_MAKERS):
                made["__new__"] = _maker(fields, tuple(defaults.values()))
            for index, field in enumerate(fields):
                made[field] = _tuplegetter(index, None)
            return type(name, (tuple,), made)

    class Record(metaclass=_Maker):
        """An immutable tuple with named, typed fields."""

        def __new__(cls, *values, **named):  # noqa: D102
            rest = cls._fields[len(values) :]
            if len(values) > len(cls._fields) or not named.keys() <= set(rest):
                raise TypeError(f"{cls.__name__} has the fields {cls._fields}, not {values} and {named}")
            try:
                given = cls._field_defaults | named
                return _tuple(cls, (*values, *[given[field] for field in rest]))
            except KeyError as error:
                raise TypeError(f"{cls.__name__} is missing {error}") from None

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **named):
            values = [*self]
            try:
                for field, value in named.items():
                    values[self._fields.index(field)] = value
            except ValueError:
                raise TypeError(f"{type(self).__name__} has the fields {self._fields}, not {field}") from None
            return _tuple(type(self), values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

    _METHODS = {name: value for name, value in vars(Record).items() if callable(value) or name == "_make"}
