"""``pyc update``."""

from __future__ import annotations

from typing import Any

from pycontainer.cli import Session
from pycontainer.cli.flag_command import FlagCommand
from pycontainer.cli.flags import Flags, chosen, refused, switch, too_few
from pycontainer.cli.listing import for_each
from pycontainer.cli.run_flags import FLAGS as RUN
from pycontainer.engine.update import FIELDS, update

HELP = "Change the limits and the restart policy of containers, those that run included."

_WANTED = {"--" + field.replace("_", "-") for field in FIELDS} | {"--cpus"}
_SAME = {flag.names: flag for name, flag in RUN.by_name.items() if name in _WANTED}

FLAGS = Flags(
    {"Options": (switch("-h, --help", "help", "Print this page"), *_SAME.values())},
    refused("the kernel dropped it in Linux 5.4", "--kernel-memory bytes"),
)


def start(session: Session, args: list[str]) -> int:
    """Update each container named, and print its name."""
    values: dict[str, Any] = {}
    names: list[str] = []
    rest = args
    while rest:  # flags may come behind names, as in docker
        more, rest = FLAGS.parse(rest)
        values |= more
        names += rest[:1]
        rest = rest[1:]
    if not names:
        raise too_few("update", 1, "[OPTIONS] CONTAINER [CONTAINER...]")
    changes = chosen(values, FIELDS)

    def do(name: str) -> None:
        update(session.roots, name, changes)
        print(name)

    return for_each(names, do)


command = FlagCommand("update", FLAGS, "CONTAINER [CONTAINER...]", HELP, start)
