"""Lists of manifests on this machine, before they are in a registry: ROOT/manifests/NAME.json.

Each manifest of a list is kept whole, with the name it was found by and with what the index will say it is for.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pycontainer.core.directories import make_private
from pycontainer.errors import ImageError, InvalidReference, NotFound, StoreError, UsageError
from pycontainer.image import staging
from pycontainer.image.manifest import (
    DOCKER_INDEX,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    is_word,
    load_object,
    parse_config,
    parse_document,
)
from pycontainer.image.reference import Reference, is_digest
from pycontainer.image.registry import Document
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


_PLATFORM_KEYS = ("architecture", "os", "os.version", "os.features", "variant")


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


def member_of(reference: Reference, document: Document, config: bytes) -> Member:
    """A manifest as a member of a list, for what its config says. Raises ImageError: the config is malformed."""
    parse_config(config)  # checks the types of what follows
    fields = load_object(config, "the image's config")
    platform = {key: fields[key] for key in _PLATFORM_KEYS if fields.get(key)}
    return Member(str(reference), document.media_type, document.digest, document.data.decode(), platform)


def path(store: Store, name: Reference) -> str:
    """The file of a list, there or not."""
    return f"{store.root}/manifests/{name.name}:{name.tag}.json"


def named(text: str) -> Reference:
    """What a list may be called. Raises InvalidReference."""
    name = Reference.parse(text)
    if name.digest:
        raise InvalidReference(f"a list can't be called {text}: its digest follows from the content")
    return name


def exists(store: Store, text: str) -> bool:
    """True if there is a list of that name."""
    try:
        return os.path.exists(path(store, named(text)))
    except InvalidReference:
        return False


def members(store: Store, text: str) -> list[Member]:
    """The manifests of a list, in the order they were added.

    Raises:
        NotFound: there is no such list. StoreError: its file is damaged.
    """
    where = path(store, named(text))
    try:
        with open(where, "rb") as file:
            document = json.loads(file.read())
        return [Member(**member) for member in document["manifests"]]
    except FileNotFoundError:
        raise NotFound(f"no such manifest list: {text}", hint=f"pyc manifest create {text} MANIFEST...") from None
    except OSError as error:
        raise StoreError(f"can't read {where}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{where} is damaged: {error}") from None


@contextmanager
def editing(store: Store, name: Reference) -> Iterator[None]:
    """While a list is changed, nobody else changes one."""
    store.prepare()
    make_private(os.path.dirname(path(store, name)))
    with store.locked("manifests.lock", fcntl.LOCK_EX):
        yield


def write(store: Store, name: Reference, found: Sequence[Member]) -> None:
    """Keep a list. Raises StoreError: the disk is full."""
    document = {"name": str(name), "manifests": [vars(member) for member in found]}
    staging.write_file(store, path(store, name), json.dumps(document, indent=1).encode(), sync=True)


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
        NotFound: no such list, or no such manifest in it. UsageError: what no platform can be called.
    """
    name = named(text)
    for word in (architecture, os_name, variant, os_version, *os_features):
        if not is_word(word):
            raise UsageError(f"{word!r} can't be a part of a platform: letters, digits and ._- only")
    given = {"architecture": architecture, "os": os_name, "variant": variant, "os.version": os_version}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value}
    if os_features:
        changes["os.features"] = list(os_features)
    with editing(store, name):
        found = members(store, text)
        wanted = meant(found, manifest, text)
        write(store, name, [
            replace(member, platform={**member.platform, **changes}) if member is wanted else member for member in found
        ])  # fmt: skip


def meant(found: Sequence[Member], manifest: str, text: str) -> Member:
    """The manifest that a user's word means, in the list called ``text``. Raises NotFound."""
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
        os.unlink(path(store, named(text)))
    except FileNotFoundError:
        raise NotFound(f"no such manifest list: {text}") from None


def index_of(found: Sequence[Member]) -> tuple[bytes, str]:
    """The index of a list, and its media type: OCI's, or docker's if one of the manifests is docker's."""
    media_type = OCI_INDEX if all(member.media_type == OCI_MANIFEST for member in found) else DOCKER_INDEX
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [member.descriptor for member in found],
    }
    return json.dumps(document, indent=3).encode(), media_type
