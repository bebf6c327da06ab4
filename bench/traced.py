"""One start that notes when each of its phases ends; bench/trace.py runs it as a program.

    python -P bench/traced.py phases|steps FILE PYC-ARGUMENTS...     as the command line
    python -P bench/traced.py inside FILE ROOT RUNROOT IMAGE COUNT   COUNT starts in one process

It imports nothing that a start does not: what is measured is the start. The times of imports, wherever they happen,
are taken from the phases and told apart.
"""

from __future__ import annotations

from time import perf_counter_ns

BORN = perf_counter_ns()

import builtins  # noqa: E402
import gc  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

lines: list[str] = []
_importing = _imported = 0
_plain_import = builtins.__import__


def _timed_import(*arguments: Any, **more: Any) -> Any:
    """An import; only the outermost is timed, for the others are in it."""
    global _importing, _imported
    if _importing:
        return _plain_import(*arguments, **more)
    _importing, began = 1, perf_counter_ns()
    try:
        return _plain_import(*arguments, **more)
    finally:
        _importing = 0
        _imported += perf_counter_ns() - began


def mark(phase: str, at: int = 0) -> None:
    """``phase`` has ended, now or at that time."""
    lines.append(f"{phase}\t{at or perf_counter_ns()}\t{_imported}")


def ends(owner: Any, name: str, phase: str, *, first: bool = False) -> None:
    """``phase`` ends when the function ``owner.name`` returns, or with ``first`` when it is called."""
    function = getattr(owner, name)

    def wrapped(*arguments: Any, **more: Any) -> Any:
        if first:
            mark(phase)
        result = function(*arguments, **more)
        if not first:
            mark(phase)
        return result

    setattr(owner, name, wrapped)


def watch(runs: Any) -> None:
    """Note the phases of a start; ``runs`` is the module that makes the container."""
    from pycontainer.core import kernel, performer
    from pycontainer.engine import foreground, start

    ends(runs, "require_root", "command line", first=True)
    ends(runs, "create", "state: image, name, directory, spec")
    ends(start, "plan_for", "plan: the steps")
    ends(performer, "encode", "plan: descriptors, bytes")
    ends(kernel, "spawn", "the performer's birth")
    ends(performer.Performance, "wait_started", "kernel: up to execve")
    ends(foreground, "leave", "program, and the monitor's end", first=True)
    ends(foreground, "leave", "removal")


def tell_steps() -> None:
    """Have the performer report every call, and note how long each step's calls took."""
    from pycontainer.core import performer
    from pycontainer.engine import foreground

    encode, wind_up = vars(performer)["encode"], foreground.wind_up

    def reported(plan: Any, given: Any, **more: Any) -> Any:
        return encode(plan, given, **{**more, "report_all": True})

    def told(started: Any, bundle: Any) -> None:
        performance = started.performance
        wind_up(started, bundle)
        for index, (step, _) in enumerate(performance.calls):
            record = performance.results.get(index)
            lines.append(f"{step.where}\t{step.title}\t{record.ns if record else 0}")

    vars(performer)["encode"] = reported
    foreground.wind_up = told


def command_line(how: str, arguments: list[str]) -> None:
    """What `pyc` does, from its first line."""
    gc.set_threshold(100_000)  # as pycontainer/__main__.py
    from pycontainer import modules

    modules.use()
    import pycontainer.engine.run
    from pycontainer.cli import call

    if how == "steps":
        tell_steps()
    else:
        watch(pycontainer.engine.run)
    if code := call(arguments):
        raise SystemExit(code)


def inside(root: str, runroot: str, image: str, count: str) -> None:
    """The same from Python; the first start, which imports, is one of them."""
    import pycontainer
    from pycontainer.engine import create, privilege
    from pycontainer.engine.options import Roots

    watch(_Both(privilege, create))  # run_captured takes each from its own module
    for _ in range(int(count)):
        mark("begin")
        pycontainer.run(image, ["true"], network="none", pull="never", roots=Roots(root, runroot))
        mark("end")


class _Both:
    """Two modules as one owner of what is wrapped."""

    def __init__(self, *modules: Any) -> None:
        object.__setattr__(self, "modules", modules)

    def __getattr__(self, name: str) -> Any:
        return next(getattr(module, name) for module in self.modules if hasattr(module, name))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(next(module for module in self.modules if hasattr(module, name)), name, value)


def main(how: str, path: str, *arguments: str) -> None:
    """Run it and write down what was noted."""
    builtins.__import__ = _timed_import
    if how != "steps":
        mark("interpreter", BORN)
    if how == "inside":
        inside(*arguments)
    else:
        command_line(how, list(arguments))
    if how == "phases":
        mark("end")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(file, "\n".join(lines).encode())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
