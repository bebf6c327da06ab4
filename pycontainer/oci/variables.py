"""The environment of a program: what config.json says, each name once, and a HOME, which many rely on."""

from __future__ import annotations

from pycontainer.errors import PycError, UsageError
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Process
    from pycontainer.oci.user import Files


def complete(process: Process, files: Files, *, sockets: int = 0) -> None:
    """Let the last of two entries win, as in a shell; without a HOME it is the one of /etc/passwd, as in docker.

    ``sockets``: how many a service manager hands over, which it says in the way of sd_listen_fds(3).
    Raises UsageError for an entry that is none.
    """
    values: dict[str, str] = {}
    for index, entry in enumerate(process.get("env") or ()):
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise UsageError(f"process.env[{index}]: {entry!r} is not NAME=value")
        values[name] = value
    if sockets:
        values |= {"LISTEN_FDS": str(sockets), "LISTEN_PID": "1"}
    if not values.get("HOME"):
        values["HOME"] = _home(process["user"].get("uid", 0), files)
    process["env"] = [f"{name}={value}" for name, value in values.items()]


def _home(uid: int, files: Files) -> str:
    from pycontainer.oci.user import resolve_user  # the engines say HOME themselves, but for docker

    with suppress(PycError, OSError):
        return resolve_user(str(uid), (), files).home
    return "/"
