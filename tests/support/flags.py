"""docker's flags, and the test that shows the effect of each here: the list, what it adds up to, and docs/flags.md.

``python -m tests.support.flags`` writes docs/flags.md anew.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parents[2]
LIST = HERE / "tests/data/docker_flags.txt"
PAGE = HERE / "docs/flags.md"
PODMAN = 333  # of podman 4.3.1's help, by name alone


class Flag(NamedTuple):
    """A flag of docker's.

    Attributes:
        test: ``FILE::TEST``, or "" where it does not count.
        reason: why it does not count.
    """

    command: str
    name: str
    test: str = ""
    reason: str = ""


def flags() -> list[Flag]:
    """Read the list. A section ``[A] as B`` has the flags of B but those that only a start in the foreground has."""
    found: list[Flag] = []
    copies: list[tuple[str, str]] = []
    command = reason = ""
    for line in LIST.read_text().splitlines():
        if heading := re.fullmatch(r"\[(.+)\](?: as ([a-z ]+),.*| - (.*))?", line):
            command, original, reason = heading[1], heading[2], heading[3] or ""
            copies += [(command, original)] if original else []
        elif line and not line.startswith("#"):
            found += _row(command, line, reason)
    for copied, original in copies:
        own = ("detach", "detach-keys", "sig-proxy")
        found += [flag._replace(command=copied) for flag in found if flag.command == original and flag.name not in own]
    return found


def _row(command: str, line: str, reason: str) -> list[Flag]:
    if reason:
        return [Flag(command, name, reason=reason) for name in line.split()]
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    return [Flag(command, name, reason=rest[2:]) if rest.startswith("- ") else Flag(command, name, test=rest)]


@cache
def _module(file: str) -> tuple[dict[str, str], str]:
    """The tests of a file by name, each with its source; and the rest: constants, fixtures and helpers."""
    source = (HERE / f"tests/root/test_{file}.py").read_text()
    lines, tests, rest = source.splitlines(), {}, []
    for node in ast.parse(source).body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        text = "\n".join(lines[first - 1 : node.end_lineno])
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            tests[node.name.removeprefix("test_")] = text
        else:
            rest.append(text)
    return tests, "\n".join(rest)


def problem(flag: Flag, short: str) -> str:
    """What is wrong with the test that a flag names, or "". It must be there, and say ``--flag``, or ``-f`` alone or
    among other letters, itself or in what is shared by the tests of its file."""
    file, _, test = flag.test.partition("::")
    tests, shared = _module(file)
    if test not in tests:
        return f"there is no {flag.test}"
    long = rf"--{flag.name}(?![\w-])"
    letters = rf"|(?<![\w-])-[a-zA-Z]*{short[1:]}[a-zA-Z]*(?![\w-])" if short else ""
    if not re.search(long + letters, tests[test] + "\n" + shared):
        return f"{flag.test} does not say --{flag.name}"
    return ""


def markdown() -> str:
    """The page."""
    every = flags()
    shown = sum(bool(flag.test) for flag in every)
    lines = [
        "# Flags of docker",
        "",
        f"docker 28.2 has {len(every)} flags with an effect on one Linux host with cgroup v2, in the commands that",
        f"an engine must or should have. pycontainer has **{shown}** of them with its effect, each shown by a test,",
        f"named below; podman 4.3 has {PODMAN}, by name alone. What is missing is refused by name, with the reason.",
        "",
        "| command | flags | with effect |",
        "|---|--:|--:|",
    ]
    commands = dict.fromkeys(flag.command for flag in every)
    for command in commands:
        own = [flag for flag in every if flag.command == command]
        lines.append(f"| {command} | {len(own)} | {sum(bool(flag.test) for flag in own)} |")
    lines += ["", "## What does not count", ""]
    reasons: dict[tuple[str, str], list[str]] = {}
    for flag in every:
        if flag.reason:
            reasons.setdefault((flag.command, flag.reason), []).append(f"`--{flag.name}`")
    lines += [f"- {command}: {', '.join(names)}: {reason}" for (command, reason), names in reasons.items()]
    for command in commands:
        rows = [flag for flag in every if flag.command == command and flag.test]
        if not rows or command == "container create":
            continue
        lines += ["", f"## {command}", "", "| flag | shown by |", "|---|---|"]
        lines += [f"| `--{flag.name}` | {_link(flag.test)} |" for flag in rows]
    return "\n".join(lines) + "\n"


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name.replace('_', ' ')}](../tests/root/test_{file}.py)"


if __name__ == "__main__":
    PAGE.write_text(markdown())
