"""``pyc push``: from an image on disk to a name in a registry.

::

    layers the registry lacks (or mounts from another repository)  ->  config  ->  manifest, under the tag

Blobs and manifest go as they are in the store, so what is pulled from there has the digest that was pushed: an image
that came in docker's format leaves in docker's format, a zstd layer stays zstd; unless something else is asked for
(convert.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pycontainer.engine.image import team
from pycontainer.engine.image.convert import converted
from pycontainer.errors import ImageError, InvalidReference, NotFound, StoreError
from pycontainer.image import events
from pycontainer.image.archive import disk_limit, spool, write_all
from pycontainer.image.events import Event, Listener
from pycontainer.image.manifest import Descriptor, Manifest
from pycontainer.image.model import Image
from pycontainer.image.platform import Platform
from pycontainer.image.push import Pusher
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, endpoints, load
from pycontainer.image.registry import Credentials, Patience, Registry
from pycontainer.image.store import Store
from pycontainer.record import Record

__all__ = ["Event", "Pushed", "push", "tags_of"]


class Pushed(Record):
    """What is in the registry now.

    Attributes:
        reference: the name it has there.
        digest, size: of its manifest.
    """

    reference: Reference
    digest: str
    size: int


def push(
    store: Store,
    reference: Reference,
    *,
    platform: Platform | None = None,
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    jobs: int = 0,
    insecure: bool | None = None,
    patience: Patience = Patience(),  # noqa: B008  immutable
    chunk: int = 0,
    form: str = "",
    compression: str = "",
) -> Pushed:
    """Send an image of the store to the registry that its name says.

    Args:
        store: where it is.
        reference: its name, with a tag.
        platform: what the image must be for; anything by default.
        progress: is told what happens, always in the calling thread.
        credentials: gives user and password for a host, if the registry asks.
        jobs: how many layers at a time; three by default.
        insecure: it may, or must not, be plain HTTP or have any certificate; by default as registries.conf says.
        patience: with the registry.
        chunk: bytes per request; by default whole layers, as long as nobody on the way objects.
        form: ``oci`` or ``docker``; by default the format that the image has.
        compression: ``gzip`` or ``zstd``, for all layers; by default as they are, but plain ones of docker's archives
            become gzip.

    Raises:
        InvalidReference: it names a digest, which nobody can choose. UsageError: no such format or compression.
        NotFound: there is no such image. ImageError: it is for another platform.
        RegistryError: the registry can't be reached, or refuses.
        StoreError: a blob is missing.
    """
    listener = progress or events.nobody
    if reference.digest:
        raise InvalidReference(f"can't push {reference.familiar}: a digest follows from the content", hint="use a tag")
    with store.hold():
        image = _find(store, reference)
        if platform and image.config.platform not in platform.accepts():
            raise ImageError(f"{reference.familiar} is for {image.config.platform}, not for {platform}")
        wanted = converted(store, image, form=form, compression=compression)
        manifest = store.manifest(wanted)
        mounts = repositories(store, reference)
        endpoint = destination(reference, insecure=insecure)
        pusher = Pusher(
            endpoint,
            mounts=tuple(dict.fromkeys(name for names in mounts.values() for name in names)),
            credentials=credentials,
            listener=listener,
            patience=patience,
            chunk=chunk,
        )
        try:
            send(store, pusher, manifest, mounts, listener, jobs)
            data = store.read_blob(wanted.digest)
            pusher.put_manifest(reference.tag, data, wanted.media_type, wanted.digest)
        finally:
            pusher.close()
        if image.digest != wanted.digest:  # what the name means there is no longer what we pulled or had
            store.add(reference, image.id, wanted, wanted.digest)
    listener(Event("image", wanted.digest, text=f"{reference.familiar} is in the registry"))
    return Pushed(reference, wanted.digest, len(data))


def _find(store: Store, reference: Reference) -> Image:
    """The image of exactly that name: what a short one may mean elsewhere is not sent to Docker Hub."""
    if not any(entry.name == str(reference) for entry in store.entries()):
        raise NotFound(f"no such image: {reference.familiar}", hint=f"pyc tag IMAGE {reference.familiar}")
    return store.find(str(reference))


def tags_of(store: Store, name: str) -> list[Reference]:
    """All references of the store with a tag in one repository, for ``push --all-tags``.

    Raises:
        InvalidReference: ``name`` has a tag or digest. NotFound: there are none.
    """
    wanted = Reference.parse(name)
    if wanted.digest or name.rpartition("/")[2].count(":"):
        raise InvalidReference(f"{name}: --all-tags goes with a name without a tag")
    found = [tag for image in store.images() for tag in image.tags if tag.name == wanted.name]
    if not found:
        raise NotFound(f"no image of {wanted.familiar_name} is here")
    return sorted(found, key=str)


def destination(reference: Reference, *, insecure: bool | None = None) -> Endpoint:
    """Where a push goes: to the registry itself, as mirrors only give."""
    return endpoints(reference, load(), insecure=insecure)[-1]


def send(
    store: Store,
    pusher: Pusher,
    manifest: Manifest,
    mounts: dict[str, list[str]],
    listener: Listener,
    jobs: int = 0,
    origin: Registry | None = None,
) -> None:
    """Bring everything that a manifest names to a repository, but not the manifest itself.

    Args:
        store, pusher: from where, to where.
        manifest: what names it.
        mounts: digest of a blob -> repositories of that registry that may have it.
        listener: is told in the calling thread.
        jobs: how many layers at a time.
        origin: who has the blobs that the store lacks.
    """

    def one(blob: Descriptor, report: Listener) -> None:
        pusher.listener = report
        _send_blob(store, pusher, blob, mounts.get(blob.digest, []), report, origin)

    pusher.has_blob(manifest.config)  # finds out how to speak to the registry and gets a token, once for all threads
    listener_before, layers = pusher.listener, list({layer.digest: layer for layer in manifest.layers}.values())
    for layer in layers:
        listener(Event("layer", layer.digest, total=layer.size, text="layer of the image"))
    team.work([*layers, manifest.config], one, jobs or 3, listener, pusher.close)
    pusher.listener = listener_before


def _send_blob(
    store: Store, pusher: Pusher, blob: Descriptor, sources: list[str], report: Listener, origin: Registry | None
) -> None:
    digest, size = blob.digest, blob.size
    if pusher.has_blob(blob):
        return report(Event("exists", digest, size, size, "the registry has it"))
    if blob.is_foreign and not store.has_blob(blob):  # its publisher keeps it, and the manifest says where
        return report(Event("warning", digest, text="a layer that may not be distributed is left where it is"))
    source, location = pusher.mount(blob, sources)
    if source:
        return report(Event("mounted", digest, size, size, f"mounted from {source}"))
    if store.has_blob(blob):
        pusher.upload(blob, store.blob_path(digest), location=location, report=report)
    elif origin:
        with _copied(store, origin, blob, report) as path:
            pusher.upload(blob, path, location=location, report=report)
    else:
        raise StoreError(f"blob {digest} is missing", hint="pull the image again: only what is missing is fetched")
    report(Event("uploaded", digest, size, size, "the registry has it now"))


@contextmanager
def _copied(store: Store, origin: Registry, blob: Descriptor, report: Listener) -> Iterator[str]:
    """A blob of another registry in a file without a name, so that it can be sent more than once."""
    store.prepare()
    fd = spool(store.staging)
    try:
        origin.listener = report
        write_all(fd, origin.blob(blob), disk_limit(store.root))
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def repositories(store: Store, reference: Reference) -> dict[str, list[str]]:
    """For every blob, the other repositories of the same registry that may have it, as our images' names tell."""
    found: dict[str, list[str]] = {}
    for image in store.images():
        there = [name.repository for name in map(Reference.parse, image.names) if _elsewhere(name, reference)]
        if there:
            manifest = store.manifest(image.manifest)
            for blob in (manifest.config, *manifest.layers):
                found[blob.digest] = list(dict.fromkeys([*found.get(blob.digest, []), *there]))
    return found


def _elsewhere(name: Reference, reference: Reference) -> bool:
    return name.registry == reference.registry and name.repository != reference.repository
