"""``pyc manifest``: lists of manifests, so that one name serves several kinds of machines.

::

    create NAME MANIFEST...  ->  a list on this machine  ->  annotate, as often as needed  ->  push  ->  an index

The list (manifest_list.py) is an image nowhere until it is pushed. Each of its manifests is an image of the store or of
a registry; a push brings what the target repository lacks of them, and then the index.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from pycontainer.engine.image.manifest_list import (
    Member,
    editing,
    exists,
    index_of,
    meant,
    member_of,
    members,
    named,
    remove,
    write,
)
from pycontainer.engine.image.mirrors import first_answer
from pycontainer.engine.image.obtain import of_candidates
from pycontainer.engine.image.push import Event, Pushed, destination, repositories, send
from pycontainer.errors import Conflict, ImageError, NotFound, UsageError
from pycontainer.image import events
from pycontainer.image.digest import digest_of
from pycontainer.image.events import Listener
from pycontainer.image.manifest import OCI_MANIFEST, Manifest, parse_document
from pycontainer.image.model import Image
from pycontainer.image.push import Pusher
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, endpoints, load
from pycontainer.image.registry import Credentials, Document, Patience, Registry
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any


__all__ = ["Access", "Event", "create", "details", "inspect", "push"]

Answer = TypeVar("Answer")


class Access(Record):
    """How to reach registries.

    Attributes:
        insecure: they may, or must not, be plain HTTP or have any certificate; by default as registries.conf says.
        credentials, patience: as of a pull.
    """

    insecure: bool | None = None
    credentials: Credentials | None = None
    patience: Patience = Patience()

    def connect(self, place: Endpoint) -> Registry:
        """The registry at a place; to be closed."""
        return Registry(place, credentials=self.credentials, patience=self.patience)

    def ask(self, reference: Reference, question: Callable[[Registry], Answer]) -> Answer:
        """Ask the mirrors and then the registry of an image. Raises RegistryError."""
        places = endpoints(reference, load(), insecure=self.insecure)
        answer, registry = first_answer(places, self.connect, question)
        registry.close()
        return answer

    def manifest(self, reference: Reference) -> Document:
        """What a registry has under a name. Raises RegistryError: nothing."""
        return self.ask(reference, lambda registry: registry.manifest(reference.digest or reference.tag))


# ---- create


def create(
    store: Store,
    text: str,
    manifests: Sequence[str],
    *,
    amend: bool = False,
    access: Access = Access(),  # noqa: B008  immutable
) -> Reference:
    """Make a list, or with ``amend`` add to it.

    Args:
        store: where the list is kept, and where images are looked for first.
        text: what it will be called in its registry.
        manifests: names of images; each is taken from the store if it is there, else asked of its registry.
        amend: the list may be there; a manifest that it has is replaced.
        access: to registries.

    Raises:
        Conflict: there is a list of that name. RegistryError: there is no such image.
        ImageError: a name is an index itself.
    """
    name = named(text)
    if exists(store, text) and not amend:
        raise Conflict(f"there is a manifest list {name.familiar}", hint="add to it with --amend, or remove it")
    new = [_find(store, wanted, access) for wanted in manifests]
    with editing(store, name):
        old = members(store, text) if exists(store, text) else []
        merged = {member.digest: member for member in [*old, *new]}
        write(store, name, list(merged.values()))
    return name


def _find(store: Store, text: str, access: Access) -> Member:
    """A manifest from the store, else from its registry."""
    try:
        image = store.find(text)
    except NotFound:
        return of_candidates(text, lambda reference: _ask(reference, access))
    data, config = store.read_blob(image.manifest.digest), store.read_blob(image.id)
    document = Document(data, image.manifest.media_type, image.manifest.digest)
    return member_of(_name_of(image, text), document, config)


def _name_of(image: Image, text: str) -> Reference:
    """The name that a user means an image by: what he says, or one that it has, if he says an ID."""
    if names := [name for name in image.tags if text in (name.familiar, name.familiar_name, str(name))] or image.tags:
        return names[0]
    raise UsageError(f"image {text} has no name, which a list needs", hint=f"pyc tag {text} NAME")


def _ask(reference: Reference, access: Access) -> Member:
    def question(registry: Registry) -> Member:
        document = registry.manifest(reference.digest or reference.tag)
        parsed = parse_document(document.data, document.media_type)
        if not isinstance(parsed, Manifest):
            what = f"{reference.familiar} is a list of manifests itself"
            raise ImageError(what, hint="name what it lists by digest")
        config = b"".join(registry.blob(parsed.config))
        if digest_of(config, parsed.config.digest.partition(":")[0]) != parsed.config.digest:
            raise ImageError(f"the config of {reference.familiar} is not what its digest says")
        return member_of(reference, document._replace(media_type=parsed.media_type), config)

    return access.ask(reference, question)


# ---- inspect


def inspect(store: Store, text: str, manifest: str = "", *, access: Access = Access()) -> Document:  # noqa: B008
    """The index of a list of this machine, or what a registry has under a name.

    Args:
        store: where lists are.
        text: a list, or a name in a registry.
        manifest: of the list ``text``, the one that is wanted.
        access: to registries.

    Raises:
        NotFound: the list lacks ``manifest``. RegistryError: the registry has no such manifest.
    """
    if manifest:
        wanted = meant(members(store, text), manifest, text)
        return Document(wanted.data, wanted.media_type, wanted.digest)
    if exists(store, text):
        data, media_type = index_of(members(store, text))
        return Document(data, media_type, digest_of(data))
    return of_candidates(text, access.manifest)


def details(store: Store, text: str, manifest: str = "", *, access: Access = Access()) -> Any:  # noqa: B008
    """What docker shows with ``--verbose``: each manifest with its name and descriptor, a list of them for an index.

    Raises:
        as :func:`inspect`.
    """
    if not manifest and exists(store, text):
        return [_detail(member.reference, member.descriptor, member.data) for member in members(store, text)]
    if manifest:
        document = inspect(store, text, manifest)
        return _detail(manifest, _descriptor(document), document.data)
    return of_candidates(text, lambda reference: _details_of(reference, access))


def _details_of(reference: Reference, access: Access) -> Any:
    """The same for what a registry has."""

    def question(registry: Registry) -> Any:
        document = registry.manifest(reference.digest or reference.tag)
        if isinstance(parse_document(document.data, document.media_type), Manifest):
            return _detail(str(reference), _descriptor(document), document.data)
        entries = json.loads(document.data)["manifests"]
        names = [f"{reference.name}@{entry['digest']}" for entry in entries]
        return [
            _detail(name, entry, registry.manifest(entry["digest"]).data)
            for name, entry in zip(names, entries, strict=True)
        ]

    return access.ask(reference, question)


def _descriptor(document: Document) -> dict[str, Any]:
    media_type = parse_document(document.data, document.media_type).media_type
    return {"mediaType": media_type, "digest": document.digest, "size": len(document.data)}


def _detail(name: str, descriptor: dict[str, Any], data: bytes) -> dict[str, Any]:
    kind = "OCIManifest" if descriptor["mediaType"] == OCI_MANIFEST else "SchemaV2Manifest"
    return {"Ref": str(Reference.parse(name)), "Descriptor": descriptor, kind: json.loads(data)}


# ---- push


def push(
    store: Store,
    text: str,
    *,
    purge: bool = False,
    progress: Listener | None = None,
    access: Access = Access(),  # noqa: B008  immutable
) -> Pushed:
    """Send a list to its registry, and what is missing there of its manifests.

    Args:
        store: where the list is.
        text: its name.
        purge: forget the list afterwards.
        progress: is told what happens, always in the calling thread.
        access: to registries.

    Raises:
        NotFound: no such list. UsageError: nothing is in it, or a manifest does not say what it is for.
        RegistryError: a registry can't be reached, or refuses.
    """
    name, found, listener = named(text), members(store, text), progress or events.nobody
    for member in found:
        if not (member.platform.get("os") and member.platform.get("architecture")):
            raise UsageError(
                f"{member.reference} does not say what it is for",
                hint=f"pyc manifest annotate {text} {member.reference} --os linux --arch ...",
            )
    if not found:
        raise UsageError(f"manifest list {text} is empty")
    origins = [Reference.parse(member.reference) for member in found]
    near = [origin.repository for origin in origins if origin.registry == name.registry]
    with store.hold():
        pusher = Pusher(
            destination(name, insecure=access.insecure),
            mounts=tuple(dict.fromkeys(repository for repository in near if repository != name.repository)),
            credentials=access.credentials,
            listener=listener,
            patience=access.patience,
        )
        try:
            for member, origin in zip(found, origins, strict=True):
                mounts = _mounts(store, name, member, origin)
                _push_member(store, pusher, member, origin, mounts, access, listener)
            data, media_type = index_of(found)
            digest = digest_of(data)
            pusher.put_manifest(name.tag, data, media_type, digest)
        finally:
            pusher.close()
    if purge:
        remove(store, text)
    listener(Event("image", digest, text=f"{name.familiar} is in the registry"))
    return Pushed(name, digest, len(data))


def _mounts(store: Store, name: Reference, member: Member, origin: Reference) -> dict[str, list[str]]:
    """Where the registry of a list may have the blobs of a manifest: first of all, where the manifest came from."""
    mounts = repositories(store, name)
    if origin.registry == name.registry and origin.repository != name.repository:
        manifest = member.manifest
        for blob in (manifest.config, *manifest.layers):
            mounts[blob.digest] = list(dict.fromkeys([origin.repository, *mounts.get(blob.digest, [])]))
    return mounts


def _push_member(
    store: Store,
    pusher: Pusher,
    member: Member,
    origin: Reference,
    mounts: dict[str, list[str]],
    access: Access,
    listener: Listener,
) -> None:
    """Bring one manifest, and all that it names, to the repository of the list."""
    size, manifest = len(member.data), member.manifest
    if pusher.manifest_digest(member.digest):
        return listener(Event("exists", member.digest, size, size, "the registry has this manifest"))
    if all(map(store.has_blob, (manifest.config, *manifest.layers))):
        send(store, pusher, manifest, mounts, listener)
    else:
        places = endpoints(origin, load(), insecure=access.insecure)
        _, source = first_answer(places, access.connect, lambda registry: registry.manifest(member.digest), listener)
        try:
            send(store, pusher, manifest, mounts, listener, origin=source)
        finally:
            source.close()
    pusher.put_manifest(member.digest, member.data, member.media_type, member.digest)
    listener(Event("uploaded", member.digest, size, size, "the registry has this manifest now"))
