"""The ``pyc`` command: its global options, and the border where errors become messages.

Importing costs time: ``--help`` imports no command, a command imports only itself, and click, which takes 10 ms, is
only there for help, completion and mistakes.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from _signal import SIG_IGN, SIGINT, signal  # `signal` itself takes 2 ms to load
from _thread import start_new_thread  # `threading` itself takes 2 ms to load

from pycontainer import __version__, modules
from pycontainer.cli.flags import Flag, Flags, switch
from pycontainer.engine.options import Roots
from pycontainer.errors import PycError, UsageError
from pycontainer.oci.grammar.words import choice
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import NoReturn, TextIO

    from pycontainer.engine.options import RunOptions


def _directory(text: str) -> str:
    """An absolute path. Raises UsageError: ``--root "$UNSET"`` must not work on the state of somebody else."""
    if not text:
        raise UsageError("must not be empty")
    return os.path.abspath(text)  # noqa: PTH100  not resolve(): pathlib takes 6 ms


GLOBAL = Flags(
    {
        "Options": (
            Flag("--root", "DIR", "root", _directory, "State that survives a reboot (or PYC_ROOT)"),
            Flag("--runroot", "DIR", "runroot", _directory, "State that does not (or PYC_RUNROOT)"),
            Flag(
                "--cgroup-manager",
                "MANAGER",
                "cgroup_manager",
                choice("cgroupfs", "systemd"),
                "Who makes cgroups: cgroupfs (pyc itself) or systemd (or PYC_CGROUP_MANAGER)",
            ),
            switch("--debug", "debug", "Show the traceback of an unexpected error"),
            switch("-v, --version", "version", "Show the version"),
            switch("-h, --help", "help", "Show this message"),
        )
    }
)


class Session(Record):
    """What the global options say, for every command.

    Attributes:
        cgroup_parent: below what a container's cgroup is, unless the container's own options say it: a slice of
            systemd's, or "" for ours.
    """

    roots: Roots
    debug: bool = False
    cgroup_parent: str = ""

    def placed(self, options: RunOptions) -> RunOptions:
        """``options`` with that parent, if they have none."""
        if not self.cgroup_parent or options.container.cgroup_parent:
            return options
        return options._replace(container=options.container._replace(cgroup_parent=self.cgroup_parent))


def main() -> NoReturn:
    """Run the command line and leave, without the 5 ms in which the interpreter would tidy up its memory."""
    if "_PYC_COMPLETE" in os.environ:  # a shell asks for completions
        from pycontainer.cli.front import complete

        complete()
    try:
        signal(SIGINT, interrupt)
        status = call(sys.argv[1:])
        signal(SIGINT, SIG_IGN)
    except KeyboardInterrupt:  # one more, while the first was told of
        status = 130
    modules.keep()
    os._exit(status)


_interrupted: list[int] = []


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT. Amid an import it waits: an exception there can keep a lock of the interpreter for ever.

    So it does while something is finalized, where the interpreter prints an exception and goes on.

    Raises KeyboardInterrupt.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") or _swallows(frame.f_code):
            start_new_thread(_interrupt_again, (number,))
            return
        frame = frame.f_back
    _interrupted.append(number)  # who turns the exception into another does not deceive us
    raise KeyboardInterrupt


def _swallows(code: CodeType) -> bool:
    return code.co_name == "__del__" or code.co_filename.endswith("/weakref.py")  # its finalize


def _interrupt_again(number: int) -> None:
    time.sleep(0.001)
    os.kill(os.getpid(), number)


def call(args: list[str]) -> int:
    """Run one command line and return its exit code, having told stderr about any error."""
    try:
        status = _dispatch(args)
        sys.stdout.flush()
        return status
    except PycError as error:
        from pycontainer.cli.listing import tell

        tell(error)
        return _flush(error.exit_code)
    except KeyboardInterrupt:
        return _flush(130)  # 128 + SIGINT, as a shell says it
    except BrokenPipeError:
        return _flush(141)  # 128 + SIGPIPE: who reads us had enough
    except Exception as error:
        if _interrupted:
            return _flush(130)
        return _flush(_unexpected(error, debug="--debug" in args))


def _dispatch(args: list[str]) -> int:
    try:
        values, rest = GLOBAL.parse(args)
    except UsageError as error:
        raise UsageError(error.message, hint=error.hint or "see 'pyc --help'") from None
    if values.get("version"):
        print(f"pyc version {__version__}")
        return 0
    default = Roots.default()
    roots = Roots(values.get("root") or default.root, values.get("runroot") or default.runroot)
    session = Session(roots, values.get("debug", False), _cgroup_parent(values.get("cgroup_manager")))
    if rest[:1] == ["run"] and not values.get("help"):
        from pycontainer.cli.run import start

        return start(session, rest[1:])
    if rest[:1] == ["exec"] and not values.get("help"):
        from pycontainer.cli.exec import start as enter

        return enter(session, rest[1:])
    if rest[:1] == ["ps"] and not values.get("help"):
        from pycontainer.cli.ps import start as show

        return show(session, rest[1:])
    if rest[:1] in (["ended"], ["follow"], ["health"]) and len(rest) == 2:  # a monitor calls
        from pycontainer.cli.monitor import after

        return after(session, *rest)
    from pycontainer.cli.commands import start as start_other

    return start_other(session, ["--help"] if values.get("help") else rest)


def _cgroup_parent(manager: str | None) -> str:
    """Where containers are put by that manager. Raises UsageError if the environment names one that there is not."""
    manager = manager or os.environ.get("PYC_CGROUP_MANAGER") or "cgroupfs"
    if manager not in ("cgroupfs", "systemd"):
        raise UsageError(f"PYC_CGROUP_MANAGER={manager}: must be cgroupfs or systemd")
    return "system.slice" if manager == "systemd" else ""


def out(text: str, end: str = "\n", *, now: bool = False) -> None:
    """Print on stdout, ``now`` or when there is enough of it; an error names it as an open file's would."""
    try:
        print(text, end=end, flush=now)
    except OSError as error:
        error.filename = "stdout"
        raise


_HOST_TROUBLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN),
)


def _unexpected(error: Exception, *, debug: bool) -> int:
    if debug:
        import traceback  # +5 ms, and only with --debug

        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in _HOST_TROUBLE:
        place = error.filename or ("this host" if _is_flushed(sys.stdout) else "stdout")
        print(f"pyc: {place}: {os.strerror(error.errno).lower()}", file=sys.stderr)
        if error.errno == errno.ENOSPC and place != "stdout":
            print("  hint     'pyc system prune' makes room", file=sys.stderr)
    else:
        print(f"pyc: this is a bug: {type(error).__name__}: {error}", file=sys.stderr)
        print("  hint     pyc --debug shows where it happened; please report it", file=sys.stderr)
    return 125


def _flush(status: int) -> int:
    """Write what is still buffered; nobody may be there to read it."""
    for stream in (sys.stdout, sys.stderr):
        _is_flushed(stream)
    return status


def _is_flushed(stream: TextIO) -> bool:
    """Whether what is buffered could be written; if not, it goes nowhere."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True
