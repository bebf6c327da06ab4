"""``pyc manifest``: lists of manifests, so that one name serves several kinds of machines.

::

    create NAME MANIFEST...  ->  ROOT/manifests/NAME.json  ->  annotate, as often as needed  ->  push  ->  an index

The list is made on this machine and is an image nowhere until it is pushed. Each of its manifests is an image of the
store or of a registry; a push brings what the target repository lacks of them, and then the index.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pycontainer.core.directories import make_private
from pycontainer.engine.image.push import Event, Pushed, destination, repositories, send
from pycontainer.errors import Conflict, ImageError, InvalidReference, NotFound, StoreError, UsageError
from pycontainer.image import events, staging
from pycontainer.image.digest import digest_of
from pycontainer.image.events import Listener
from pycontainer.image.manifest import (
    DOCKER_INDEX,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    load_object,
    parse_config,
    parse_document,
)
from pycontainer.image.push import Pusher
from pycontainer.image.reference import Reference, is_digest
from pycontainer.image.registries_conf import Endpoint
from pycontainer.image.registry import Credentials, Document, Patience, Registry
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any


__all__ = [
    "Access",
    "Event",
    "Member",
    "annotate",
    "create",
    "exists",
    "index_of",
    "inspect",
    "members",
    "push",
    "remove",
]

_PLATFORM_KEYS = ("architecture", "os", "os.version", "os.features", "variant")


class Access(Record):
    """How to reach registries.

    Attributes:
        insecure: they may be plain HTTP, or have a certificate that nobody vouches for.
        credentials, patience: as of a pull.
    """

    insecure: bool = False
    credentials: Credentials | None = None
    patience: Patience = Patience()

    def registry(self, reference: Reference) -> Registry:
        """The registry of an image; to be closed."""
        return Registry(self.endpoint(reference), credentials=self.credentials, patience=self.patience)

    def endpoint(self, reference: Reference) -> Endpoint:
        """Where it is."""
        found = destination(reference)
        return found._replace(insecure=found.insecure or self.insecure)


@dataclass(frozen=True)
class Member:
    """A manifest of a list.

    Attributes:
        reference: the name it was found by.
        media_type: its format.
        digest: of its bytes.
        document: its bytes, as text.
        platform: what the index will say it is for: the ``platform`` object of image-index.md.
    """

    reference: str
    media_type: str
    digest: str
    document: str
    platform: dict[str, Any]

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return self.document.encode()

    @property
    def manifest(self) -> Manifest:
        """What it says."""
        parsed = parse_document(self.data, self.media_type)
        if not isinstance(parsed, Manifest):
            raise ImageError(f"{self.reference} is a list of manifests itself")
        return parsed

    @property
    def descriptor(self) -> dict[str, Any]:
        """How an index points to it."""
        return {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.data),
            "platform": {key: self.platform[key] for key in _PLATFORM_KEYS if self.platform.get(key)},
        }


# ---- the files


def _path(store: Store, name: Reference) -> str:
    return f"{store.root}/manifests/{name.name}:{name.tag}.json"


def _named(text: str) -> Reference:
    name = Reference.parse(text)
    if name.digest:
        raise InvalidReference(f"a list can't be called {text}: its digest follows from the content")
    return name


def exists(store: Store, text: str) -> bool:
    """True if there is a list of that name."""
    try:
        return os.path.exists(_path(store, _named(text)))
    except InvalidReference:
        return False


def members(store: Store, text: str) -> list[Member]:
    """The manifests of a list, in the order they were added.

    Raises:
        NotFound: there is no such list. StoreError: its file is damaged.
    """
    path = _path(store, _named(text))
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        return [Member(**member) for member in document["manifests"]]
    except FileNotFoundError:
        raise NotFound(f"no such manifest list: {text}", hint=f"pyc manifest create {text} MANIFEST...") from None
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from None


@contextmanager
def _editing(store: Store, name: Reference) -> Iterator[None]:
    """While a list is changed, nobody else changes one."""
    store.prepare()
    make_private(os.path.dirname(_path(store, name)))
    with store.locked("manifests.lock", fcntl.LOCK_EX):
        yield


def _write(store: Store, name: Reference, found: Sequence[Member]) -> None:
    document = {"name": str(name), "manifests": [vars(member) for member in found]}
    staging.write_file(store, _path(store, name), json.dumps(document, indent=1).encode(), sync=True)


# ---- create, annotate, rm


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
    name = _named(text)
    if exists(store, text) and not amend:
        raise Conflict(f"there is a manifest list {name.familiar}", hint="add to it with --amend, or remove it")
    new = [_find(store, wanted, access) for wanted in manifests]
    with _editing(store, name):
        old = members(store, text) if exists(store, text) else []
        merged = {member.digest: member for member in [*old, *new]}
        _write(store, name, list(merged.values()))
    return name


def _find(store: Store, text: str, access: Access) -> Member:
    """A manifest from the store, else from its registry."""
    reference = Reference.parse(text)
    try:
        image = store.find(str(reference))
    except NotFound:
        return _ask(reference, access)
    data, config = store.read_blob(image.manifest.digest), store.read_blob(image.id)
    return _member(reference, Document(data, image.manifest.media_type, image.manifest.digest), config)


def _ask(reference: Reference, access: Access) -> Member:
    registry = access.registry(reference)
    try:
        document = registry.manifest(reference.digest or reference.tag)
        parsed = parse_document(document.data, document.media_type)
        if not isinstance(parsed, Manifest):
            raise ImageError(f"{reference.familiar} is a list of manifests itself", hint="name what it lists by digest")
        config = b"".join(registry.blob(parsed.config))
    finally:
        registry.close()
    if digest_of(config, parsed.config.digest.partition(":")[0]) != parsed.config.digest:
        raise ImageError(f"the config of {reference.familiar} is not what its digest says")
    return _member(reference, document._replace(media_type=parsed.media_type), config)


def _member(reference: Reference, document: Document, config: bytes) -> Member:
    parse_config(config)  # checks the types of what follows
    fields = load_object(config, "the image's config")
    platform = {key: fields[key] for key in _PLATFORM_KEYS if fields.get(key)}
    return Member(str(reference), document.media_type, document.digest, document.data.decode(), platform)


def annotate(
    store: Store,
    text: str,
    manifest: str,
    *,
    architecture: str = "",
    os_name: str = "",
    variant: str = "",
    os_version: str = "",
    os_features: Sequence[str] = (),
) -> None:
    """Say what one manifest of a list is for. What is not given stays as it is.

    Args:
        store: where the list is.
        text: its name.
        manifest: the name that the manifest was added by, or its digest.
        architecture, os_name, variant, os_version, os_features: fields of ``platform`` (image-index.md).

    Raises:
        NotFound: no such list, or no such manifest in it.
    """
    name = _named(text)
    given = {"architecture": architecture, "os": os_name, "variant": variant, "os.version": os_version}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value}
    if os_features:
        changes["os.features"] = list(os_features)
    with _editing(store, name):
        found = members(store, text)
        meant = _meant(found, manifest, text)
        _write(store, name, [
            replace(member, platform={**member.platform, **changes}) if member is meant else member for member in found
        ])  # fmt: skip


def _meant(found: Sequence[Member], manifest: str, text: str) -> Member:
    wanted = manifest if is_digest(manifest) else str(Reference.parse(manifest))
    digest = wanted.rpartition("@")[2]
    for member in found:
        if member.reference == wanted or (is_digest(digest) and member.digest == digest):
            return member
    there = ", ".join(Reference.parse(member.reference).familiar for member in found)
    raise NotFound(f"manifest list {text} has no {manifest}", hint=f"it has {there}" if there else "")


def remove(store: Store, text: str) -> None:
    """Forget a list; the images are not touched.

    Raises:
        NotFound: there is none of that name.
    """
    try:
        os.unlink(_path(store, _named(text)))
    except FileNotFoundError:
        raise NotFound(f"no such manifest list: {text}") from None


# ---- the index, inspect, push


def index_of(found: Sequence[Member]) -> tuple[bytes, str]:
    """The index of a list, and its media type: OCI's, or docker's if one of the manifests is docker's."""
    media_type = OCI_INDEX if all(member.media_type == OCI_MANIFEST for member in found) else DOCKER_INDEX
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [member.descriptor for member in found],
    }
    return json.dumps(document, indent=3).encode(), media_type


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
        meant = _meant(members(store, text), manifest, text)
        return Document(meant.data, meant.media_type, meant.digest)
    if exists(store, text):
        data, media_type = index_of(members(store, text))
        return Document(data, media_type, digest_of(data))
    reference = Reference.parse(text)
    registry = access.registry(reference)
    try:
        return registry.manifest(reference.digest or reference.tag)
    finally:
        registry.close()


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
    name, found, listener = _named(text), members(store, text), progress or events.nobody
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
            access.endpoint(name),
            mounts=tuple(dict.fromkeys(repository for repository in near if repository != name.repository)),
            credentials=access.credentials,
            listener=listener,
            patience=access.patience,
        )
        try:
            for member, origin in zip(found, origins, strict=True):
                _push_member(
                    store, pusher, member, _mounts(store, name, member, origin), access.registry(origin), listener
                )
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
    store: Store, pusher: Pusher, member: Member, mounts: dict[str, list[str]], origin: Registry, listener: Listener
) -> None:
    """Bring one manifest, and all that it names, to the repository of the list."""
    size = len(member.data)
    try:
        if pusher.manifest_digest(member.digest):
            return listener(Event("exists", member.digest, size, size, "the registry has this manifest"))
        send(store, pusher, member.manifest, mounts, listener, origin=origin)
    finally:
        origin.close()
    pusher.put_manifest(member.digest, member.data, member.media_type, member.digest)
    listener(Event("uploaded", member.digest, size, size, "the registry has this manifest now"))


def details(store: Store, text: str, manifest: str = "", *, access: Access = Access()) -> Any:  # noqa: B008
    """What docker shows with ``--verbose``: each manifest with its name and descriptor, a list of them for an index.

    Raises:
        as :func:`inspect`.
    """
    document = inspect(store, text, manifest, access=access)
    parsed = parse_document(document.data, document.media_type)
    if isinstance(parsed, Manifest):
        descriptor = {"mediaType": parsed.media_type, "digest": document.digest, "size": len(document.data)}
        return _detail(manifest or text, descriptor, document.data)
    if exists(store, text):
        return [_detail(member.reference, member.descriptor, member.data) for member in members(store, text)]
    reference, entries = Reference.parse(text), json.loads(document.data)["manifests"]
    registry = access.registry(reference)
    try:
        names = [f"{reference.name}@{entry['digest']}" for entry in entries]
        documents = [registry.manifest(entry["digest"]).data for entry in entries]
    finally:
        registry.close()
    return [_detail(*found) for found in zip(names, entries, documents, strict=True)]


def _detail(name: str, descriptor: dict[str, Any], data: bytes) -> dict[str, Any]:
    kind = "OCIManifest" if descriptor["mediaType"] == OCI_MANIFEST else "SchemaV2Manifest"
    return {"Ref": str(Reference.parse(name)), "Descriptor": descriptor, kind: json.loads(data)}
