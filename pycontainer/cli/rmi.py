"""``pyc rmi``: remove images."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.images import of_platform
from pycontainer.cli.listing import for_each, tell
from pycontainer.engine.image import remove as images
from pycontainer.errors import NotFound, UsageError
from pycontainer.image.store import Store


@declare.command("rmi", help="Take a name from an image; with its last name the image goes.")
@declare.option("-f", "--force", is_flag=True, help="Remove all names; don't mind stopped containers")
@declare.option("--no-prune", is_flag=True, expose_value=False, help="No effect: images have no untagged parents here")
@declare.option("--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Only if it is for that platform")
@declare.option("-a", "--all", "everything", is_flag=True, help="Remove all images")
@declare.option("-i", "--ignore", is_flag=True, help="Don't mind images that are not here")
@declare.argument("names", metavar="IMAGE...", nargs=-1)
@declare.pass_obj
def command(
    session: Session,
    /,
    names: tuple[str, ...],
    force: bool,
    platforms: tuple[str, ...],
    everything: bool,
    ignore: bool,
) -> int:
    """Remove images."""
    store = Store(session.roots.root)
    if everything == bool(names):
        raise UsageError("name images, or say --all" if not names else "--all and names are mutually exclusive")
    if everything:
        names = tuple(name for image in store.images() for name in map(str, image.tags or (image.id,)))
    wanted = [platform for text in platforms for platform in text.split(",")]

    def remove(name: str) -> None:
        try:
            if wanted:
                of_platform(store.find(name), wanted, name)
            removed = images.remove(session.roots, name, force=force)
        except NotFound as error:
            if ignore:
                return
            if not force:
                raise
            return tell(error)
        for untagged in removed.untagged:
            echo(f"Untagged: {untagged}")
        for digest in removed.deleted:
            echo(f"Deleted: {digest}")

    return for_each(names, remove)
