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


def ends(owner: Any, name: str, phase: str, when: str) -> None:
    """``phase`` ends when the function ``owner.name`` is called, or has returned."""
    function = getattr(owner, name)

    def wrapped(*arguments: Any, **more: Any) -> Any:
        if when == CALLED:
            mark(phase)
        result = function(*arguments, **more)
        if when == RETURNED:
            mark(phase)
        return result

    setattr(owner, name, wrapped)


CALLED, RETURNED = "called", "returned"
STATE = "state: image, name, directory, spec"
WAIT = "wait: the program, and the monitor's end"

PHASES = (
    # Where it is, a function or a method, and the phase that ends when it is CALLED or has RETURNED.
    # A command has some in its own module; inside Python they are taken from where they are made.
    (("pycontainer.engine.run", "pycontainer.engine.privilege"), "require_root", "command line", CALLED),
    (("pycontainer.engine.run", "pycontainer.engine.create"), "create", STATE, RETURNED),
    (("pycontainer.engine.start",), "_network", "state: the network", RETURNED),
    (("pycontainer.engine.start",), "Planned.__init__", "plan: the steps", RETURNED),
    (("pycontainer.core.kernel",), "spawn", "plan: descriptors, bytes", CALLED),
    (("pycontainer.core.kernel",), "spawn", "the performer's birth", RETURNED),
    (("pycontainer.core.performer",), "Performance.wait_started", "kernel: up to execve", RETURNED),
    (("pycontainer.engine.foreground",), "leave", WAIT, CALLED),
    (("pycontainer.engine.foreground",), "leave", "removal", RETURNED),
)


def watch() -> None:
    """Note the phases of a start."""
    for modules, path, phase, when in PHASES:
        for module in modules:
            ends(*found(module, path), phase, when)


def found(module: str, path: str) -> tuple[Any, str]:
    """Whose attribute ``path`` of a module is, and what it is called there."""
    __import__(module)
    owner, _, name = path.rpartition(".")
    return (getattr(sys.modules[module], owner) if owner else sys.modules[module]), name


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
            lines.append(f"{step.role}\t{step.title}\t{record.ns if record else 0}")

    vars(performer)["encode"] = reported
    foreground.wind_up = told


def command_line(how: str, arguments: list[str]) -> None:
    """What `pyc` does, from its first line."""
    gc.set_threshold(100_000)  # as pycontainer/__main__.py
    from pycontainer import modules

    modules.use()
    from pycontainer.cli import call

    if how == "steps":
        tell_steps()
    else:
        watch()
    if code := call(arguments):
        raise SystemExit(code)


def inside(root: str, runroot: str, image: str, count: str) -> None:
    """The same from Python; the first start, which imports, is one of them."""
    import pycontainer
    from pycontainer.engine.options import Roots

    watch()
    for _ in range(int(count)):
        mark("begin")
        pycontainer.run(image, ["true"], network="none", pull="never", roots=Roots(root, runroot))
        mark("end")


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
