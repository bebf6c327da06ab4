"""The words of runc's command line, as Go's `flag` package takes them, which runc's library is made of.

One dash or two, a value behind ``=`` or as the next word, and the first word without a dash ends them. The tables:
an option's name -> "" for a switch, "TEXT" or "NUMBER" for those with a value, "LIST" for repeated ones.
"""

from __future__ import annotations

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    Options = dict[str, Any]

GLOBAL = {
    "root": "TEXT",
    "log": "TEXT",
    "log-format": "TEXT",
    "debug": "",
    "systemd-cgroup": "",
    "rootless": "TEXT",
    "criu": "TEXT",
    "version": "",
    "help": "",
}
WORDS = {"log-format": ("text", "json"), "rootless": ("auto", "true", "false")}
"""Global options that take one of a few words, the first by default."""
ALIASES = {"v": "version", "h": "help"}
MADE = {
    "bundle": "TEXT",
    "console-socket": "TEXT",
    "pid-file": "TEXT",
    "no-pivot": "",
    "no-new-keyring": "",
    "preserve-fds": "NUMBER",
}
UPDATED = {
    "resources": "TEXT",
    "blkio-weight": "NUMBER",
    "cpu-period": "NUMBER",
    "cpu-quota": "NUMBER",
    "cpu-burst": "NUMBER",
    "cpu-share": "NUMBER",
    "cpu-rt-period": "NUMBER",
    "cpu-rt-runtime": "NUMBER",
    "cpu-idle": "NUMBER",
    "cpuset-cpus": "TEXT",
    "cpuset-mems": "TEXT",
    "memory": "TEXT",
    "memory-reservation": "TEXT",
    "memory-swap": "TEXT",
    "kernel-memory": "TEXT",
    "kernel-memory-tcp": "TEXT",
    "pids-limit": "NUMBER",
    "l3-cache-schema": "TEXT",
    "mem-bw-schema": "TEXT",
}
EXEC = {
    "console-socket": "TEXT",
    "cwd": "TEXT",
    "env": "LIST",
    "tty": "",
    "user": "TEXT",
    "additional-gids": "LIST",
    "process": "TEXT",
    "detach": "",
    "pid-file": "TEXT",
    "process-label": "TEXT",
    "apparmor": "TEXT",
    "no-new-privs": "",
    "cap": "LIST",
    "preserve-fds": "NUMBER",
    "cgroup": "LIST",
    "ignore-paused": "",
}
SHORT: dict[str, dict[str, str]] = {
    "delete": {"f": "force"},
    "list": {"f": "format", "q": "quiet"},
    "ps": {"f": "format"},
    "update": {"r": "resources"},
    "kill": {"a": "all"},
    "exec": {
        "e": "env",
        "t": "tty",
        "u": "user",
        "g": "additional-gids",
        "p": "process",
        "d": "detach",
        "c": "cap",
    },
    "create": {"b": "bundle"},
    "run": {"b": "bundle", "d": "detach"},
    "spec": {"b": "bundle"},
    "restore": {"b": "bundle", "d": "detach"},
}
THROUGH_CRIU = {
    "image-path": "TEXT",
    "work-path": "TEXT",
    "manage-cgroups-mode": "TEXT",
    "empty-ns": "TEXT",
    "status-fd": "TEXT",
    **dict.fromkeys("tcp-established tcp-close ext-unix-sk shell-job lazy-pages file-locks auto-dedup".split(), ""),
}
CHECKPOINT = {
    **THROUGH_CRIU,
    "parent-path": "TEXT",
    "page-server": "TEXT",
    **dict.fromkeys("leave-running pre-dump tcp-skip-in-flight link-remap".split(), ""),
}
RESTORE = {
    **THROUGH_CRIU,
    "bundle": "TEXT",
    "pid-file": "TEXT",
    "console-socket": "TEXT",
    "lsm-profile": "TEXT",
    "lsm-mount-context": "TEXT",
    **dict.fromkeys("detach no-subreaper no-pivot".split(), ""),
}


def parse(words: list[str], known: dict[str, str], aliases: dict[str, str], where: str) -> tuple[Options, list[str]]:
    """Options and the words after them. Raises UsageError."""
    options: Options = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        name = aliases.get(name, name)
        kind = known.get(name)
        if kind is None:
            raise UsageError(
                f"flag provided but not defined: -{name}", hint=f"see pyc-oci {where} --help".replace("  ", " ")
            )
        if kind == "":
            options[name] = not equals or _boolean(name, value)
            continue
        if not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        if kind == "NUMBER":
            if not value.lstrip("-").isdecimal():
                raise UsageError(f"invalid value {value!r} for flag -{name}: want a number")
            options[name] = int(value)
        elif kind == "LIST":
            options[name] = [*options.get(name, []), value]
        else:
            options[name] = value
    return options, rest


def _boolean(name: str, value: str) -> bool:
    from pycontainer.oci.grammar.words import boolean  # hardly ever said

    try:
        return boolean(value)
    except UsageError:
        raise UsageError(f"invalid boolean value {value!r} for -{name}") from None
