"""``system df``: what takes how much space here, and how much of it nobody needs.

Images share layers, so their sizes do not add up: what is one image's alone is what removing it gives back.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter

from pycontainer import jsontext
from pycontainer.engine import containers
from pycontainer.errors import ImageError, NotFound
from pycontainer.image.store import Store
from pycontainer.image.tree import directories
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.entry import Entry
    from pycontainer.image.model import Image


class ImageUsage(Record):
    """An image: bytes of its files and blobs, those of them that other images have too, and who uses it."""

    image: Image
    size: int
    shared: int
    users: tuple[Container, ...]

    @property
    def unique(self) -> int:
        """Bytes that removing it gives back."""
        return self.size - self.shared


class ContainerUsage(Record):
    """A container, and bytes of the files that it has made or changed."""

    container: Container
    size: int


class Usage(Record):
    """Everything.

    Attributes:
        images, containers: one by one.
        layers: bytes of all images together, each layer and blob counted once.
        unused: those of them that no container needs, and what no image has: what ``image prune -a`` gives back.
    """

    images: tuple[ImageUsage, ...]
    containers: tuple[ContainerUsage, ...]
    layers: int
    unused: int


def usage(roots: Roots) -> Usage:
    """Look at everything. Takes a walk through the files of each container."""
    everything, store = containers.listing(roots), Store(roots.root)
    entries = store.entries()
    made_of = {image.id: (image, parts(store, image, entries)) for image in store.images()}
    times = Counter(name for _, held in made_of.values() for name in held)
    users = {image_id: tuple(c for c in everything if c.image_id == image_id) for image_id in made_of}
    needed = {name for image_id, (_, held) in made_of.items() if users[image_id] for name in held}
    here = stored(store)
    return Usage(
        tuple(
            ImageUsage(
                image,
                sum(held.values()),
                sum(size for name, size in held.items() if times[name] > 1),
                users[image.id],
            )
            for image, held in made_of.values()
        ),
        tuple(ContainerUsage(container, written(roots, container.id)) for container in everything),
        sum(here.values()),
        sum(size for name, size in here.items() if name not in needed),
    )


def parts(store: Store, image: Image, entries: Sequence[Entry]) -> dict[str, int]:
    """What an image is made of on disk: blobs by digest, unpacked layers as ``layer DIFF_ID``; and their bytes.

    Each of its names, which are among the ``entries``, may have a manifest of its own, and other blobs for the layers.
    """
    held = {f"layer {layer.diff_id}": layer.facts.size for layer in image.layers}
    digests = set()
    for entry in (entry for entry in entries if entry.image_id == image.id):
        digests |= {entry.source, entry.manifest.digest, image.id}
        with suppress(NotFound, ImageError):  # of another name, which is damaged
            digests |= {blob.digest for blob in store.manifest(entry.manifest).layers}
    for digest in digests:
        with suppress(FileNotFoundError):
            held[digest] = os.stat(store.blob_path(digest)).st_size
    return held


def stored(store: Store) -> dict[str, int]:
    """All blobs and unpacked layers that are here, as of :func:`parts`."""
    held: dict[str, int] = {}
    for algorithm in ("sha256", "sha512"):
        with suppress(FileNotFoundError), os.scandir(f"{store.oci}/blobs/{algorithm}") as blobs:
            held.update((f"{algorithm}:{blob.name}", blob.stat().st_size) for blob in blobs)
    with suppress(FileNotFoundError):
        for name in os.listdir(store.layers):
            with suppress(OSError, ValueError, KeyError), open(f"{store.layers}/{name}/layer.json", "rb") as file:
                document = jsontext.load(file.read().decode())
                held[f"layer {document['diff_id']}"] = document["size"]
    return held


def written(roots: Roots, container_id: str) -> int:
    """Bytes of the files that a container has made or changed."""
    return size_below(roots.container(container_id) + "/upper")


def size_below(path: str) -> int:
    """Bytes of the files in a directory of ours and all below it; a file of several names counts once."""
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    total, seen = 0, set()
    try:
        for directory in directories(top):
            for name in os.listdir(directory):
                with suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and found.st_ino not in seen:
                        seen.add(found.st_ino)
                        total += found.st_size
    except OSError as error:
        if error.errno != errno.ESTALE:  # somebody moves directories about: what we have seen is near enough
            raise
    finally:
        os.close(top)
    return total
