"""What stands in for contextlib and functools does as they do: each test is made with both."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import warnings

import pytest

from pycontainer import light
from pycontainer.cgroups import hierarchy
from pycontainer.core import wire


@pytest.fixture(params=[contextlib, light], ids=["library", "ours"])
def lib(request):
    return request.param


def test_suppress_only_what_it_names(lib):
    with lib.suppress(KeyError, OSError):
        raise FileNotFoundError
    with pytest.raises(ValueError), lib.suppress(KeyError):
        raise ValueError
    with lib.suppress(KeyError):
        pass


def test_nothing_and_closing(lib):
    with lib.nullcontext(5) as five, lib.nullcontext() as none:
        assert (five, none) == (5, None)
    with pytest.raises(ZeroDivisionError), open("/dev/null") as file, lib.closing(file) as same:
        assert same is file
        _ = 1 / 0
    assert file.closed


def noted(lib, notes, *, suppressed=(), fails=False):
    @lib.contextmanager
    def made(name, *, end="end"):
        """Its words."""
        notes.append(name)
        try:
            yield name.upper()
        except suppressed as error:
            notes.append(type(error).__name__)
        finally:
            notes.append(f"{name} {end}")
            if fails:
                raise OSError

    return made


def test_a_generator_is_a_context(lib):
    notes: list[str] = []
    with noted(lib, notes)("a", end="over") as given:
        notes.append(given)
    assert notes == ["a", "A", "a over"]
    assert noted(lib, notes).__doc__ == "Its words."


def test_an_error_passes_through_a_generator_as_it_is(lib):
    notes: list[str] = []
    error = ValueError("mine")
    with pytest.raises(ValueError) as caught, noted(lib, notes)("a"):
        raise error
    assert caught.value is error
    assert notes == ["a", "a end"]
    functions = [entry.name for entry in caught.traceback]
    assert functions.count("made") == 0  # the traceback ends where it was raised


def test_a_generator_may_deal_with_an_error_or_raise_another(lib):
    notes: list[str] = []
    with noted(lib, notes, suppressed=ValueError)("a"):
        raise ValueError
    assert notes == ["a", "ValueError", "a end"]
    with pytest.raises(OSError) as caught, noted(lib, notes, fails=True)("b"):
        raise ValueError
    assert isinstance(caught.value.__context__, ValueError)


def test_a_stack_leaves_in_the_opposite_order_and_lets_errors_through_all(lib):
    notes: list[str] = []
    made = noted(lib, notes)
    with pytest.raises(KeyError), lib.ExitStack() as stack:
        assert stack.enter_context(made("a")) == "A"
        stack.callback(notes.append, "called")
        stack.enter_context(made("b"))
        raise KeyError
    assert notes == ["a", "b", "b end", "called", "a end"]


def test_what_one_of_a_stack_has_dealt_with_the_others_never_see(lib):
    notes: list[str] = []
    with lib.ExitStack() as stack:
        stack.enter_context(noted(lib, notes, suppressed=KeyError)("a"))
        stack.enter_context(noted(lib, notes, suppressed=KeyError)("b"))
        raise KeyError
    assert notes == ["a", "b", "KeyError", "b end", "a end"]


def test_an_error_of_one_of_a_stack_is_the_next_ones(lib):
    notes: list[str] = []
    with lib.ExitStack() as stack:
        stack.enter_context(noted(lib, notes, suppressed=OSError)("a"))
        stack.enter_context(noted(lib, notes, fails=True)("b"))
    assert notes == ["a", "b", "b end", "OSError", "a end"]
    with pytest.raises(OSError) as caught, lib.ExitStack() as stack:
        stack.callback(notes.append, "still called")
        stack.enter_context(noted(lib, notes, fails=True)("b"))
        raise KeyError
    assert isinstance(caught.value.__context__, KeyError)
    assert notes[-1] == "still called"


def test_a_stack_can_be_closed_before_its_end(lib):
    notes: list[str] = []
    with lib.ExitStack() as stack:
        stack.callback(notes.append, "one", *())
        stack.close()
        assert notes == ["one"]
    assert notes == ["one"]


@pytest.mark.parametrize("lib", [functools, light])
def test_a_cache_keeps_the_last_results(lib):
    asked: list[int] = []

    @lib.lru_cache(maxsize=2)
    def squared(n):
        asked.append(n)
        return n * n

    assert [squared(n) for n in (1, 2, 1, 3, 1, 2)] == [1, 4, 1, 9, 1, 4]
    assert asked == [1, 2, 3, 2]
    squared.cache_clear()
    squared(1)
    assert asked[-1] == 1
    assert [lib.cache(asked.append)(5) for _ in range(2)] == [None, None]


def test_an_identity_cache_knows_objects_and_not_what_is_equal():
    seen = []
    length = light.IdentityCache(lambda thing, *more: seen.append((thing, *more)) or len(thing), 2)
    one, equal, other = [1], [1], [1, 2]
    assert [length(one, "more"), length(one), length(equal), length(other), length(one)] == [1, 1, 1, 2, 1]
    assert seen == [([1], "more"), ([1],), ([1, 2],), ([1],)]  # the third object was one too many
    length.clear()
    assert length(one) == 1
    assert len(seen) == 5


@pytest.mark.parametrize("lock", [wire._encoding, hierarchy._looking], ids=["encoding", "looking"])
def test_a_fork_while_another_thread_has_a_lock_leaves_it_free_in_the_child(lock):
    held = threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            time.sleep(0.1)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads
        pid = os.fork()
    if pid == 0:
        os._exit(0 if lock.acquire(timeout=2) else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
