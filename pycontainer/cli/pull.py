"""``pyc pull``: download an image."""

from __future__ import annotations

import sys

import click

from pycontainer.cli import Session, progress
from pycontainer.errors import NotFound, UsageError
from pycontainer.image.platform import Platform
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store


@click.command("pull", help="Download an image from a registry.")
@click.option("-a", "--all-tags", is_flag=True, help="Download all tags of the repository")
@click.option("--platform", default="", metavar="OS/ARCH", help="Want the image for this os/architecture[/variant]")
@click.option("-q", "--quiet", is_flag=True, help="Show only its name when it is here")
@click.option("--explain", is_flag=True, help="Say what happens while it happens")
@click.option("--disable-content-trust", is_flag=True, hidden=True, expose_value=False)
@click.argument("name")
@click.pass_obj
def command(session: Session, /, name: str, all_tags: bool, platform: str, quiet: bool, explain: bool) -> None:
    """Download an image."""
    store, wanted = Store(session.roots.root), Platform.parse(platform) if platform else None
    if all_tags:
        for tagged in _all_tags(name):
            _pull(store, tagged, wanted, quiet=quiet, explain=explain)
    else:
        _pull(store, name, wanted, quiet=quiet, explain=explain)


def _all_tags(name: str) -> list[str]:
    from pycontainer.engine.search import tags  # requests: +80 ms

    reference = Reference.parse(name)
    if reference.digest or ":" in name.rpartition("/")[2]:
        raise UsageError("a tag can't be used with --all-tags")
    return [f"{reference.name}:{tag}" for tag in tags(reference)]


def _pull(store: Store, name: str, wanted: Platform | None, *, quiet: bool, explain: bool) -> None:
    from pycontainer.engine.pull import pull  # requests: +80 ms
    from pycontainer.engine.sources import open_source

    source = open_source(name)
    reference = source.reference if source else Reference.parse(name)
    before = _image_id(store, str(reference))
    if not quiet and not source:
        if reference.tag == "latest" and ":latest" not in name:
            click.echo("Using default tag: latest")
        click.echo(f"{reference.tag or reference.digest}: Pulling from {reference.repository}")
    listener: progress.Listener = progress.for_stream(sys.stdout)
    if explain:
        from pycontainer.explain.pull import PullNarrator

        listener = PullNarrator(sys.stderr)
    told = None if quiet else listener
    try:
        if source:
            image = source.take(store, platform=wanted, progress=told)
        else:
            image = pull(store, reference, platform=wanted, progress=told)
    finally:
        listener.close()
    if not quiet:
        click.echo(f"Digest: {image.digest}")
        status = "Image is up to date" if before == image.id else "Downloaded newer image"
        click.echo(f"Status: {status} for {reference.familiar}")
    click.echo(str(reference))


def _image_id(store: Store, name: str) -> str:
    try:
        return store.find(name).id
    except NotFound:
        return ""
