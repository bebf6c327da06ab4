"""What `exec` starts, from what the container's first process is: the runtime-spec's ``process`` once more.

As in docker, all that is not asked for otherwise is the container's: its environment, user, directory, limits and
filter. A pure function.
"""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.oci import security
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pycontainer.oci.spec import Process
    from pycontainer.oci.user import User


def exec_process(
    first: Process,
    *,
    command: tuple[str, ...],
    env: tuple[str, ...] = (),
    workdir: str = "",
    tty: bool = False,
    console: tuple[int, int] | None = None,
    user: User | None = None,
    sets_home: bool = False,
    privileged: Collection[str] = (),
) -> Process:
    """Describe the process.

    Args:
        first: the container's first process, as its spec has it.
        command: the program and its arguments.
        env: NAME=value to set, NAME to remove.
        workdir: where it starts; "" where the first one did.
        tty: it gets a terminal, of ``console`` rows and columns.
        user: who it is; None for the same as the first.
        sets_home: the image or the user set HOME for the container, so it is not another user's to change.
        privileged: all capabilities that there are to give; () for those that the container has.

    Raises UsageError for a command or a directory that makes no sense.
    """
    if not command or not command[0] or any("\0" in word for word in command):
        raise UsageError("the command is empty or contains a NUL byte")
    if workdir and not (workdir.startswith("/") and workdir.isprintable()):
        raise UsageError(f"working directory {workdir!r}: not a plain absolute path")
    process: Process = {
        **first,
        "terminal": tty,
        "args": list(command),
        "env": environment(first.get("env") or (), env, tty=tty, home=_home(user, sets_home)),
        "cwd": workdir or first.get("cwd", "/"),
    }
    process.pop("consoleSize", None)
    if tty and console:
        process["consoleSize"] = {"height": console[0], "width": console[1]}
    if user:
        process["user"] = {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}
    if user or privileged:
        possible = privileged or (first.get("capabilities") or {}).get("bounding") or ()
        process["capabilities"] = security.process_capabilities(tuple(possible), process["user"]["uid"])
    return process


def _home(user: User | None, sets_home: bool) -> str:
    return user.home or "/" if user and not sets_home else ""


def environment(first: Iterable[str], asked: Iterable[str], *, tty: bool, home: str) -> list[str]:
    """The first process's variables, then those asked for; ``home`` is what HOME is where nobody says otherwise."""
    values = dict(entry.partition("=")[::2] for entry in first)
    if home:
        values["HOME"] = home
    if tty:
        values.setdefault("TERM", "xterm")
    for entry in asked:
        name, equals, value = entry.partition("=")
        if not name or not name.isprintable() or "\0" in value:
            raise UsageError(f"environment variable {name!r}: control characters in its name, or NUL in its value")
        if equals:
            values[name] = value
        else:
            values.pop(name, None)
    return [f"{name}={value}" for name, value in values.items()]
