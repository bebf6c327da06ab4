"""From what the user calls an image to an :class:`Image` on disk: in the store, in an archive, or in a registry."""

from __future__ import annotations

import os

from pycontainer.engine import events
from pycontainer.errors import NotFound, RegistryError, StoreError
from pycontainer.image.platform import Platform
from pycontainer.image.store import Store
from pycontainer.light import contextmanager, lru_cache
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from pycontainer.engine.options import Roots, RunOptions
    from pycontainer.image.events import Event
    from pycontainer.image.model import Image
    from pycontainer.image.reference import Reference

    Answer = TypeVar("Answer")

REGISTRY = "docker://"
"""How skopeo and podman say that a name is one of a registry."""

SOURCES = ("oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:")


@contextmanager
def obtained(roots: Roots, options: RunOptions, progress: Callable[[Event], None] | None = None) -> Iterator[Image]:
    """The image, pulled as ``--pull`` says. While this is held nobody can remove it: hold it until a container is
    recorded that uses it.
    """
    store = Store(roots.root)
    if not os.path.isdir(roots.root):
        store.prepare()
    try:
        with store.hold():
            yield _obtain(roots, store, options, progress)
    except StoreError:  # a pull that was short of room could delete nothing while we held the store
        from pycontainer.image import garbage

        garbage.make_room(store)
        raise


def _obtain(roots: Roots, store: Store, options: RunOptions, progress: Callable[[Event], None] | None) -> Image:
    platform = Platform.parse(options.platform) if options.platform else None
    if options.image.startswith(SOURCES):
        from pycontainer.engine.image.sources import open_source

        if source := open_source(options.image):
            return source.take(store, platform=platform, progress=progress)
    if options.pull != "always":
        try:
            return _here(store, options.image.removeprefix(REGISTRY), platform)
        except NotFound:
            if options.pull == "never":
                raise
    from pycontainer.engine.image.pull import pull  # requests and threads: +80 ms, only when pulling

    def attempt(reference: Reference) -> Image:
        image = pull(store, reference, platform=platform, progress=progress)
        events.tell(roots, "image", "pull", reference.familiar, name=reference.familiar_name)
        return image

    return of_candidates(options.image, attempt, progress)


def of_candidates(
    text: str, attempt: Callable[[Reference], Answer], progress: Callable[[Event], None] | None = None
) -> Answer:
    """Try what a name may mean, in order, until a registry has it.

    Args:
        text: what the user calls it.
        attempt: pulls one reference, or asks about it.
        progress: hears of those that failed.

    Raises:
        RegistryError: none has it, and why each. Whatever else an attempt raises ends the search.
    """
    from pycontainer.image.events import Event
    from pycontainer.image.shortnames import candidates

    found = candidates(text.removeprefix(REGISTRY))
    failed: list[RegistryError] = []
    for reference in found:
        try:
            return attempt(reference)
        except RegistryError as error:
            if len(found) == 1:
                raise
            failed.append(error)
            if progress:
                progress(Event("warning", text=f"{reference.familiar}: {error.message}"))
    raise RegistryError(f"no registry has {text}: {'; '.join(error.message for error in failed)}")


def _here(store: Store, name: str, platform: Platform | None) -> Image:
    """The image in the store. A process that starts many containers looks once, until the index of images changes."""
    try:
        index = os.stat(store.oci + "/index.json")
    except FileNotFoundError:
        raise NotFound(f"no such image: {name}", hint=f"pyc pull {name}") from None
    image = _find(store.root, name, (index.st_ino, index.st_mtime_ns, index.st_size))
    if platform and image.config.platform != platform:
        raise NotFound(f"image {name} is here for {image.config.platform}, not for {platform}")
    return image


@lru_cache(maxsize=64)
def _find(root: str, name: str, _index: tuple[int, int, int]) -> Image:
    return Store(root).find(name)
