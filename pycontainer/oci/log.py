"""What a command has to say of its troubles: on stderr, and in the log that engines read (``--log``)."""

from __future__ import annotations

import sys

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.errors import PycError

_LONGEST = 1000  # a path of the kernel's has 4095 bytes, and a hostile config.json may hold anything
_asked: dict[str, Any] = {}  # the global options of this command


def begin(options: dict[str, Any]) -> None:
    """Take ``--log`` and ``--log-format`` from the global options."""
    _asked.update(options)


def error(error: PycError) -> None:
    """Why the command failed."""
    _say("error", error.message, error.hint)


def warning(message: str) -> None:
    """What went wrong, and did not stop the command: if there is a log only there, since stderr is the container's."""
    _say("warning", message, "")


def _say(level: str, message: str, hint: str) -> None:
    message = message.replace("\n", " ")
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
    path = _asked.get("log")
    if level == "error" or not path:
        print(f"pyc-oci: {'warning: ' if level == 'warning' else ''}{message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    if not path:
        return
    from pycontainer import jsontext
    from pycontainer.oci.state import now

    if _asked.get("log-format") == "json":
        line = jsontext.dump({"level": level, "msg": message, "time": now()})
    else:
        line = f"time={jsontext.dump(now())} level={level} msg={jsontext.dump(message)}"
    try:
        with open(path, "a") as file:
            file.write(line + "\n")
    except OSError as problem:
        print(f"pyc-oci: --log {path}: {problem.strerror}", file=sys.stderr)
