"""Docker's flags for everything about images and registries, and podman's that are worth having: all are there."""

from __future__ import annotations

import pytest

from pycontainer.cli import front

FLAGS = {
    ("images",): "-a --all --digests -f --filter --format --no-trunc -q --quiet --tree",
    ("image", "inspect"): "-f --format --platform",
    ("rmi",): "-f --force --no-prune --platform -a --all -i --ignore",
    ("tag",): "",
    ("history",): "--format -H --human --no-trunc --platform -q --quiet",
    ("image", "prune"): "-a --all --filter -f --force",
    ("pull",): "-a --all-tags --platform -q --quiet --disable-content-trust --authfile --tls-verify",
    ("push",): "-a --all-tags --platform -q --quiet --disable-content-trust --authfile --tls-verify --digestfile",
    ("save",): "-o --output --platform --format",
    ("load",): "-i --input --platform -q --quiet",
    ("import",): "-c --change -m --message --platform",
    ("export",): "-o --output",
    ("commit",): "-a --author -c --change -m --message -p --pause",
    ("login",): "-u --username -p --password --password-stdin --get-login --authfile --tls-verify",
    ("logout",): "-a --all --authfile",
    ("search",): "-f --filter --format --limit --no-trunc --list-tags --authfile --tls-verify",
    ("manifest", "create"): "-a --amend --insecure",
    ("manifest", "annotate"): "--arch --os --os-features --os-version --variant",
    ("manifest", "push"): "--insecure -p --purge",
    ("manifest", "inspect"): "--insecure -v --verbose",
    ("manifest", "rm"): "",
}
"""Source: ``docker COMMAND --help``, 28.2; and podman-COMMAND(1)."""


@pytest.mark.parametrize("path", FLAGS, ids=" ".join)
def test_every_flag_is_known(path: tuple[str, ...]) -> None:
    import click

    command: click.Command | None = front.pyc
    for word in path:
        assert isinstance(command, front.Commands)
        command = command.get_command(click.Context(command), word)
    assert command
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert set(FLAGS[path].split()) <= known
