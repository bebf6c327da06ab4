"""Names of images: the lines of index.json, each of which says which manifest a name means."""

from __future__ import annotations

from pycontainer.errors import InvalidReference, NotFound
from pycontainer.image.manifest import Descriptor
from pycontainer.image.reference import Reference, is_hex
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_ID = "io.pycontainer.image.id"
SOURCE = "io.pycontainer.image.source"
"""Annotation: digest of what the name pointed to in the registry, an index or the manifest itself."""


class Entry(Record):
    """One line of index.json.

    Attributes:
        name: canonical, "" for an image that is known by its id only.
        image_id: digest of its config, "" in a line of another tool's.
        source: digest of what its registry has under the name.
        manifest: its manifest.
    """

    name: str
    image_id: str
    source: str
    manifest: Descriptor

    @classmethod
    def read(cls, item: dict[str, Any]) -> Entry:
        """A line, from its JSON."""
        notes = item.get("annotations") or {}
        manifest = Descriptor(item["mediaType"], item["digest"], item["size"])
        return cls(notes.get(REF_NAME, ""), notes.get(IMAGE_ID, ""), notes.get(SOURCE) or item["digest"], manifest)

    def to_json(self) -> dict[str, Any]:
        """The line as JSON."""
        notes = {REF_NAME: self.name, IMAGE_ID: self.image_id, SOURCE: self.source}
        return self.manifest._replace(annotations={k: v for k, v in notes.items() if v}).to_json()

    def demoted(self) -> Entry:
        """The entry once its tag belongs to another image."""
        return self._replace(name=f"{Reference.parse(self.name).name}@{self.source}")

    @property
    def has_tag(self) -> bool:
        """Whether its name has a tag."""
        return "@" not in self.name and bool(self.name)


def match(entries: list[Entry], name_or_id: str) -> list[Entry]:
    """The entries that a user's word means: a name, an id or its beginning; names come before ids, as in docker.

    Raises:
        InvalidReference: it is none of them. NotFound: there is none, or an id's beginning fits several.
    """
    try:
        wanted = Reference.parse(name_or_id)
    except InvalidReference:
        wanted = None
        if not is_hex(name_or_id.removeprefix("sha256:")):
            raise
    if wanted and (named := [entry for entry in entries if is_named(entry, wanted)]):
        return named
    prefix = "sha256:" + name_or_id.removeprefix("sha256:")
    found = [entry for entry in entries if entry.image_id.startswith(prefix)] if is_hex(prefix[7:]) else []
    found = found or (_of_short_name(entries, name_or_id) if entries and wanted else [])
    if len({entry.image_id for entry in found}) > 1:
        raise NotFound(f"image id {name_or_id!r} is ambiguous", hint="type more of its digits")
    if not found:
        raise NotFound(f"no such image: {name_or_id}", hint=f"pyc pull {name_or_id}")
    return found


def _of_short_name(entries: list[Entry], name: str) -> list[Entry]:
    """The entries that a name without a registry means by an alias or the search of registries.conf."""
    from pycontainer.image.reference import has_registry
    from pycontainer.image.shortnames import candidates  # 5 ms, only for what would not be found

    if has_registry(name):
        return []
    named = ([entry for entry in entries if is_named(entry, meant)] for meant in candidates(name))
    return next(filter(None, named), [])


def is_named(entry: Entry, wanted: Reference) -> bool:
    """Whether that name means the entry."""
    if wanted.digest:  # the repository must fit too: a digest alone would find another repository's image
        repository = entry.name.partition("@")[0].rpartition(":")[0] if entry.has_tag else entry.name.partition("@")[0]
        return repository == wanted.name and wanted.digest in (entry.source, entry.manifest.digest)
    return entry.name == str(wanted)


def enter(entries: list[Entry], new: Entry) -> None:
    """Put an entry in; the image that had its name, if it loses its last one, stays under its digest."""
    for old in list(entries):
        if old.name != new.name if old.name else old.image_id != new.image_id:  # an image without a name gets one
            continue
        entries.remove(old)
        if old.image_id != new.image_id and old.has_tag:
            entries.append(old.demoted())
    entries.insert(0, new)
