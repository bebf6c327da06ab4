"""``pyc rmi``: remove images."""

from __future__ import annotations

import click

from pycontainer.cli import Session
from pycontainer.cli.listing import for_each
from pycontainer.engine import containers
from pycontainer.errors import NotFound
from pycontainer.image.store import Store


@click.command("rmi", help="Take a name from an image; with its last name the image goes.")
@click.option("-f", "--force", is_flag=True, help="Remove all names; don't mind stopped containers")
@click.option("--no-prune", is_flag=True, hidden=True, expose_value=False)
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@click.pass_obj
def command(session: Session, /, names: tuple[str, ...], force: bool) -> int:
    """Remove images."""
    store, everything = Store(session.roots.root), containers.listing(session.roots)

    def in_use(image_id: str) -> list[str]:
        return [
            container.name
            for container in everything
            if container.image_id == image_id
            or ["image", image_id] in [m[:2] for m in container.options.get("mounts", ())]
        ]

    def remove(name: str) -> None:
        try:
            removed = store.remove(name, force=force, in_use=in_use)
        except NotFound as error:
            if not force:
                raise
            click.echo(f"pyc: {error.message}", err=True)
            return
        for untagged in removed.untagged:
            click.echo(f"Untagged: {untagged}")
        for digest in removed.deleted:
            click.echo(f"Deleted: {digest}")

    return for_each(names, remove)
