"""``pyc images --tree``: what each name stands for, platform by platform."""

from __future__ import annotations

from pycontainer.cli import human
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import tabulate
from pycontainer.engine.disk_usage import parts
from pycontainer.engine.image.remove import users
from pycontainer.errors import PycError
from pycontainer.image.manifest import Index, parse_document
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.cli.images import Name
    from pycontainer.engine.options import Roots
    from pycontainer.image.model import Image

_NOT_HERE = ("0B", "0B", "")


def show(roots: Roots, names: list[Name]) -> None:
    """Print the tree. A platform of an index that was not pulled takes no space."""
    store = Store(roots.root)
    table = [["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "IN USE"]]
    for name in names:
        image = name.image
        sizes = _sizes(store, image, "yes" if users(roots, image.id) else "")
        table.append([f"{name.repository}:{name.tag}", human.short_id(name.digest), *sizes])
        below = _platforms(store, name)
        for number, (platform, digest) in enumerate(below, 1):
            branch = "└─" if number == len(below) else "├─"
            here = digest in (image.manifest.digest, name.digest)
            table.append([f"{branch} {platform}", human.short_id(digest), *(sizes if here else _NOT_HERE)])
    echo("\n".join(tabulate(table)))


def _sizes(store: Store, image: Image, used: str) -> tuple[str, str, str]:
    held = parts(store, image, store.entries())
    content = sum(size for name, size in held.items() if not name.startswith("layer "))
    return human.size(sum(held.values())), human.size(content), used


def _platforms(store: Store, name: Name) -> list[tuple[str, str]]:
    """Platform and digest of every manifest that the image's name stands for, without attestations."""
    try:
        document = parse_document(store.read_blob(name.digest))
    except PycError:  # what the name stood for is not kept here
        document = None
    if not isinstance(document, Index):
        return [(str(name.image.config.platform), name.digest if document else name.image.manifest.digest)]
    listed = [(str(entry.platform or name.image.config.platform), entry.digest) for entry in document.manifests]
    return [(platform, digest) for platform, digest in listed if not platform.startswith("unknown")]
