"""``pyc pull``: from a name to an image on disk.

::

    name -> manifest or index -> the manifest for this platform -> config -> layers

Here the name becomes a registry that has the manifest; fetch.py brings what that names.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pycontainer.engine.image.fetch import Found, fetch_content, find_manifest
from pycontainer.errors import PycError, RegistryError, StoreError
from pycontainer.image import events, staging
from pycontainer.image.events import Event, Listener
from pycontainer.image.platform import Platform
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, endpoints, load
from pycontainer.image.registry import Credentials, Patience, Registry
from pycontainer.image.store import Image, Store

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
        jobs: how many layers at a time; as many as processors by default.
        insecure: it may, or must not, be plain HTTP or have any certificate; by default as registries.conf says.
        patience: with the registry.

    Raises:
        RegistryError: it can't be reached, refuses, or has no such image.
        VerificationError: it sent something else than promised.
        LayerError, ImageError: the image is malformed or hostile.
        StoreError: the disk is full.
    """
    listener = progress or events.nobody
    store.prepare()
    staging.drop_unsynced(store)
    staging.sweep(store)
    try:
        with store.hold():
            where = endpoints(reference, load(), insecure=insecure)
            found, registry = _resolve(store, reference, where, platform, listener, credentials, patience)
            try:
                image_id = fetch_content(store, registry, found, platform, listener, jobs)
            finally:
                registry.close()
            image = store.add(reference, image_id, found.descriptor, found.source)
    except StoreError:  # most likely the disk is full: give back what no image needs
        with suppress(PycError):
            store.collect()
            staging.sweep(store, partial_blob_life=0)
        raise
    finally:
        if os.listdir(staging.unsynced(store)):
            staging.settle_later(store)
    listener(Event("image", image.id, text=f"{reference.familiar} is image {image.id[7:19]}"))
    return image


def _resolve(
    store: Store,
    reference: Reference,
    candidates: list[Endpoint],
    platform: Platform | None,
    listener: Listener,
    credentials: Credentials | None,
    patience: Patience,
) -> tuple[Found, Registry]:
    """Ask the mirrors and then the registry for the manifest. The one that had it will be asked for the blobs."""
    known = store.has(reference)  # then there is most likely nothing new to fetch
    for number, endpoint in enumerate(candidates, 1):
        registry = Registry(endpoint, credentials=credentials, listener=listener, patience=patience, is_brief=known)
        try:
            wanted = reference.digest or reference.tag
            return find_manifest(store, registry, wanted, reference.familiar, platform, listener), registry
        except RegistryError as error:
            registry.close()
            if number == len(candidates):
                raise
            listener(Event("warning", text=f"mirror {endpoint.host} failed: {error.message}"))
        except BaseException:
            registry.close()
            raise
    raise AssertionError
