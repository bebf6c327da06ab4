"""The list of docker's flags is true: what counts is accepted and has its test, what does not is refused by name."""

from __future__ import annotations

import click
import pytest

from pycontainer.cli import Session
from pycontainer.cli.front import FlagHelp, pyc
from pycontainer.cli.front import start as pyc_start
from pycontainer.engine.options import Roots
from pycontainer.errors import PycError
from tests.support.flags import HERE, PAGE, PODMAN, Flag, flags, markdown, problem

EVERY = flags()


def options(command: str) -> dict[str, str]:
    """Every flag of a command, with its short form."""
    found: click.Command | None = pyc
    for word in command.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    if isinstance(found, FlagHelp):
        refused = {id(flag) for flag in found.flags.refused}
        names = [flag.names.split(", ") for flag in found.flags.by_name.values() if id(flag) not in refused]
    else:
        assert found
        names = [[*param.opts, *param.secondary_opts] for param in found.params]
    return {name: next((each for each in group if len(each) == 2), "") for group in names for name in group}


COUNTED = [flag for flag in EVERY if flag.test]


@pytest.mark.parametrize("command", dict.fromkeys(flag.command for flag in COUNTED))
def test_what_counts_is_accepted_and_has_a_test_that_says_it(command: str) -> None:
    known = options(command)
    wrong = []
    for flag in COUNTED:
        if flag.command == command:
            assert f"--{flag.name}" in known, flag
            wrong += [text for text in [problem(flag, known[f"--{flag.name}"])] if text]
    assert not wrong


REFUSED = [flag for flag in EVERY if flag.reason and "accepted" not in flag.reason]


@pytest.mark.parametrize("flag", REFUSED, ids=lambda flag: f"{flag.command} --{flag.name}")
def test_what_does_not_count_is_refused(flag: Flag, tmp_path: object) -> None:
    session = Session(Roots(f"{tmp_path}/root", f"{tmp_path}/run"))
    words = [f"--{flag.name}"] if flag.name == "link" else [f"--{flag.name}", "x"]
    with pytest.raises(PycError) as refused:
        pyc_start(session, [*flag.command.split(), *words, "name"])
    told = refused.value.message
    where = flag.command.removesuffix(" prune")
    assert told.startswith((f"{where} is not supported: ", f"--{flag.name.removesuffix('-dir')} is not supported: "))


def test_each_is_listed_once_and_all_of_docker_s_are() -> None:
    pairs = [(flag.command, flag.name) for flag in EVERY]
    assert len(set(pairs)) == len(pairs) == 389
    assert sum(command == "container create" for command, _ in pairs) == 89


def test_the_page_and_the_readme_say_what_the_list_says() -> None:
    assert PAGE.read_text() == markdown(), "python -m tests.support.flags writes it"
    readme = (HERE / "README.md").read_text()
    assert f"{len(COUNTED)} of {len(EVERY)}" in readme and f"{PODMAN} of {len(EVERY)}" in readme
