"""What a command line says is the same whether it is plain enough to be read without click or not."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest

from pycontainer.cli import declare
from pycontainer.cli.commands import ALIASES, COMMANDS, find


def declared(table: dict[str, tuple[Any, str]], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, (target, _) in table.items():
        if isinstance(target, dict):
            yield from declared(target, (*path, name))
        elif isinstance(find([*path, name])[0], declare.Command):
            yield (*path, name)


EVERY = list(declared(COMMANDS))
VALUES = ["x", "3", "", "-", "--", "-x", "0", "-1", "a=b", "TERM", "container", "1h", "/x:y", "true", "7x", "--nothing"]


def by_click(command: declare.Command, args: list[str]) -> dict[str, Any]:
    with command.click().make_context("x", list(args)) as context:
        hidden = {one.name for one in context.command.params if not one.expose_value}
        return {name: value for name, value in context.params.items() if name not in hidden}


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_plain_arguments_are_what_click_takes_them_for(path):
    command, rest = find([*path])
    assert isinstance(command, declare.Command) and rest == []
    names = [name for one in command.parameters if one.is_option for part in one.names for name in part.split("/")]
    pool = [*(name for name in names if name.startswith("-")), *VALUES]
    chance = random.Random(" ".join(path))
    plain = 0
    for _ in range(100):
        args = [chance.choice(pool) + chance.choice(["", "", "", "=3"]) for _ in range(chance.randrange(5))]
        try:
            values = command.plain(args)
        except (declare.Unclear, declare.UsageError):
            continue
        plain += 1
        assert values == by_click(command, args), args
    assert plain or command.attributes.keys() != {"help"}


def test_most_commands_are_declared():
    assert len(EVERY) > 70
    assert {"version", "images", "rm", "kill", "stop", "inspect", "logs", "info"} <= {path[0] for path in EVERY}


@pytest.mark.parametrize(
    "args", [["rm"], ["rm", "-x", "a"], ["stop", "-t", "x", "a"], ["rm", "--help"], ["rm", "--force=true", "a"]]
)
def test_what_is_not_plain_is_left_to_click(args):
    command, rest = find(args)
    assert isinstance(command, declare.Command)
    with pytest.raises((declare.Unclear, click.ClickException)):
        command.plain(rest)


def test_an_alias_and_a_group_lead_to_the_same():
    assert ALIASES["list"] == "ls"
    assert find(["image", "list", "-q"])[0] is find(["images"])[0]
    assert find(["container", "rm", "x"]) == (find(["rm"])[0], ["x"])
    for nothing in ([], ["nothing"], ["image"], ["image", "nothing"], ["--help"], [""]):
        assert find(nothing)[0] is None


PLAIN = ["version", "images", "info", "image ls", "container ls", "volume ls"]


@pytest.mark.parametrize("words", [*PLAIN, *(f"{verb} nothing" for verb in "rm kill stop inspect logs".split())])
def test_a_plain_command_does_without_click(words, tmp_path):
    args = ["--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), *words.split()]
    code = f"import sys; from pycontainer.cli import call; call({args}); print('click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
