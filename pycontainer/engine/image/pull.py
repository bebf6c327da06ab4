"""``pyc pull``: from a name to an image on disk.

::

    name -> manifest or index -> the manifest for this platform -> config -> layers

Here the name becomes a registry that has the manifest; fetch.py brings what that names.
"""

from __future__ import annotations

from pycontainer.engine.image.fetch import Found, arriving, fetch_content, find_manifest
from pycontainer.engine.image.mirrors import first_answer
from pycontainer.image import events
from pycontainer.image.events import Event, Listener
from pycontainer.image.model import Image
from pycontainer.image.platform import Platform
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, endpoints, load
from pycontainer.image.registry import Credentials, Patience, Registry
from pycontainer.image.store import Store

__all__ = ["Event", "pull"]


def pull(
    store: Store,
    reference: Reference,
    *,
    platform: Platform | None = None,
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    jobs: int = 0,
    insecure: bool | None = None,
    patience: Patience = Patience(),  # noqa: B008  immutable
) -> Image:
    """Bring an image into the store, or find that it is there and up to date.

    Args:
        store: where to.
        reference: what to pull.
        platform: for which machine; this one by default.
        progress: is told what happens, always in the calling thread.
        credentials: gives user and password for a host, if the registry asks.
        jobs: how many layers at a time; by default what keeps this machine busy.
        insecure: it may, or must not, be plain HTTP or have any certificate; by default as registries.conf says.
        patience: with the registry.

    Raises:
        RegistryError: it can't be reached, refuses, or has no such image.
        VerificationError: it sent something else than promised.
        LayerError, ImageError: the image is malformed or hostile.
        StoreError: the disk is full.
    """
    listener = progress or events.nobody

    def connect(place: Endpoint) -> Registry:
        known = store.has(reference)  # then there is most likely nothing new to fetch
        return Registry(place, credentials=credentials, listener=listener, patience=patience, is_brief=known)

    def ask(registry: Registry) -> Found:
        wanted = reference.digest or reference.tag
        return find_manifest(store, registry, wanted, reference.familiar, platform, listener)

    with arriving(store, resumable=True):
        found, registry = first_answer(endpoints(reference, load(), insecure=insecure), connect, ask, listener)
        try:
            image_id = fetch_content(store, registry, found, platform, listener, jobs)
        finally:
            registry.close()
        image = store.add(reference, image_id, found.descriptor, found.source)
    listener(Event("image", image.id, text=f"{reference.familiar} is image {image.id[7:19]}"))
    return image
