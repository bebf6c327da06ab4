"""The errors of the library, as another process gets them."""

from __future__ import annotations

import copy
from multiprocessing.reduction import ForkingPickler

import pytest

from pycontainer import errors

RAISED = [
    errors.NotFound("no such container: x", hint="look"),
    errors.CommandFailed("the command exited with 3", 3, b"last words\n"),
    errors.KernelError("pivot_root", 22, step="Change the root", read="pivot_root(2)"),
    errors.CommandNotFound('exec: "x"', 2, cause="it is not in $PATH"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_process_pool_and_a_copy_have_the_same_error(error: errors.PycError) -> None:
    for again in (ForkingPickler.loads(ForkingPickler.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
