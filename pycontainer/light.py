"""A few names of contextlib and functools, without what these load: 2.5 ms of each start.

They do what the standard library's do, and a type checker is told that they are the standard library's. Only
:class:`IdentityCache` and :func:`lock` are ours.
"""

from __future__ import annotations

from _thread import allocate_lock
from os import register_at_fork

from pycontainer.record import TYPE_CHECKING

__all__ = [
    "ExitStack",
    "IdentityCache",
    "cache",
    "closing",
    "contextmanager",
    "lock",
    "lru_cache",
    "nullcontext",
    "suppress",
]

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
    from functools import cache, lru_cache
    from typing import Any
else:
    from _functools import _lru_cache_wrapper  # all of lru_cache but its name is in C

    class suppress:
        """Go on behind the ``with`` if one of ``errors`` is raised in it."""

        def __init__(self, *errors):
            self.errors = errors

        def __enter__(self):
            return None

        def __exit__(self, kind, error, trace):
            return kind is not None and issubclass(kind, self.errors)

    class nullcontext:
        """Do nothing, and give ``result``."""

        def __init__(self, result=None):
            self.result = result

        def __enter__(self):
            return self.result

        def __exit__(self, *raised):
            return None

    class closing:
        """Close ``thing`` at the end."""

        def __init__(self, thing):
            self.thing = thing

        def __enter__(self):
            return self.thing

        def __exit__(self, *raised):
            self.thing.close()

    class ExitStack:
        """Leave, in the opposite order, all that was entered; an error goes from each to the one before it."""

        def __init__(self):
            self._exits = []

        def enter_context(self, manager):
            """Enter it; what it gives."""
            given = manager.__enter__()
            self._exits.append(manager.__exit__)
            return given

        def callback(self, function, *arguments, **named):
            """Call that at the end, whatever it returns."""

            def called(*raised):
                function(*arguments, **named)

            self._exits.append(called)

        def close(self):
            """Leave them now."""
            self.__exit__(None, None, None)

        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            if not self._exits:
                return False
            leave = self._exits.pop()
            try:
                dealt_with = leave(kind, error, trace) and kind is not None
            except BaseException as another:
                if self.__exit__(type(another), another, another.__traceback__):
                    return True
                raise
            if dealt_with:
                self.close()
                return True
            return self.__exit__(kind, error, trace)

    class _Generated:
        """A generator as a context: up to its ``yield`` at the beginning, the rest of it at the end."""

        def __init__(self, generator):
            self.generator = generator

        def __enter__(self):
            return next(self.generator)

        def __exit__(self, kind, error, trace):
            if kind is None:
                return next(self.generator, None)
            try:
                self.generator.throw(error)
            except StopIteration:
                return True  # it ended, so it has dealt with the error
            except BaseException as raised:
                if raised is not error:
                    raise
                error.__traceback__ = trace
                return False
            raise RuntimeError("a context that yields twice")

    def contextmanager(function):
        """Make a generator function a maker of contexts."""

        def made(*arguments, **named):
            return _Generated(function(*arguments, **named))

        made.__name__, made.__qualname__, made.__doc__ = function.__name__, function.__qualname__, function.__doc__
        made.__module__, made.__wrapped__ = function.__module__, function
        return made

    def lru_cache(maxsize):
        """Keep the results of the last ``maxsize`` different calls; None: of all."""
        return lambda function: _lru_cache_wrapper(function, maxsize, False, None)

    cache = lru_cache(None)


def lock() -> LockType:
    """Make a lock between threads that a fork waits for, or its copy would be locked for ever in the child."""
    made = allocate_lock()
    register_at_fork(before=made.acquire, after_in_parent=made.release, after_in_child=made.release)
    return made


class IdentityCache:
    """Keeps the results of a function of an object that nobody changes, as long as it is the very same object.

    The object is not looked into: it need not be hashable, and may be large. A full cache begins anew.
    """

    def __init__(self, function: Callable[..., Any], maxsize: int) -> None:
        self.function, self.maxsize = function, maxsize
        self.known: dict[int, tuple[object, Any]] = {}

    def __call__(self, thing: object, *more: object) -> Any:
        """The result for ``thing``; ``more`` is what else the function needs to find it."""
        found = self.known.get(id(thing))
        if found is None or found[0] is not thing:
            if len(self.known) >= self.maxsize:
                self.known.clear()
            found = self.known[id(thing)] = thing, self.function(thing, *more)
        return found[1]

    def clear(self) -> None:
        """Forget all results."""
        self.known.clear()
