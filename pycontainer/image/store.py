"""Images on disk: an OCI image layout, and beside it every layer unpacked once.

::

    ROOT/oci/oci-layout, index.json, blobs/sha256/<hex>   what skopeo and umoci read (image-spec, image-layout.md)
    ROOT/layers/<24 hex of the diff ID>/fs, layer.json    a layer's files, shared by every image that has it
    ROOT/cache/layers/<hex of the image ID>               layer.json of all layers of an image that has many
    ROOT/tmp/, ROOT/unsynced/                             staging.py: what is not whole, or not surely on disk yet

``index.json`` is the only list of images. It has one entry per name, pointing at a manifest for one platform, so a
name that moves leaves its old image behind under ``repository@digest``. Whatever no entry reaches is garbage.
Reading takes no lock, as every file is replaced by rename.
"""

from __future__ import annotations

import fcntl
import os

from pycontainer import jsontext
from pycontainer.core.directories import make_private
from pycontainer.core.failpoint import hit
from pycontainer.errors import Conflict, ImageError, NotFound, StoreError
from pycontainer.image import staging
from pycontainer.image.entry import Entry, enter, is_named, match
from pycontainer.image.manifest import (
    DOCUMENT_MAX,
    OCI_INDEX,
    Descriptor,
    ImageConfig,
    Manifest,
    parse_config,
    parse_document,
)
from pycontainer.image.reference import Reference, is_digest
from pycontainer.light import contextmanager
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any


_MANY_LAYERS = 8
_SMALL = 16 << 10
NAME_OF_LAYER = 24
"""Hex digits of the diff ID that name a layer's directory: 96 bits; overlay's option string must stay short."""


class LayerFacts(Record):
    """What was seen while a layer was unpacked.

    Attributes:
        size: bytes of file content.
        entries: number of tar entries.
        setuid: paths of files with setuid, setgid or file capabilities; undecodable bytes as surrogates.
        elf32: True if some file is a 32-bit ELF.
        whiteouts: files and directories of lower layers that it hides.
        hides_all: True if its root is opaque: nothing of the layers below it is seen.
    """

    size: int = 0
    entries: int = 0
    setuid: tuple[str, ...] = ()
    elf32: bool = False
    whiteouts: int = 0
    hides_all: bool = False

    @classmethod
    def read(cls, document: dict[str, Any]) -> LayerFacts:
        """From layer.json. Raises KeyError or TypeError if it is not one."""
        facts = cls(*(document[name] for name in cls._fields))
        return facts._replace(setuid=tuple(facts.setuid))


class Layer(Record):
    """One unpacked layer.

    Attributes:
        diff_id: sha256 of its uncompressed tar.
        path_of_fs: the directory to use as overlay lower.
        facts: what unpacking saw.
    """

    diff_id: str
    path_of_fs: str
    facts: LayerFacts


class Image(Record):
    """An image that is whole on this disk.

    Attributes:
        id: digest of its config.
        digest: digest that its registry knows it by (of the index, if it came from one).
        names: canonical references; one without tag if the name has moved on to another image.
        config: how it wants to be run.
        layers: all of them, lowest first.
        size: bytes of file content in all layers.
        created: RFC 3339 time, or "".
        manifest: the descriptor of its manifest.
        sources: for each of its names, the digest that its registry knows it by.
    """

    id: str
    digest: str
    names: tuple[str, ...]
    config: ImageConfig
    layers: tuple[Layer, ...]
    size: int
    created: str
    manifest: Descriptor
    sources: tuple[str, ...] = ()

    def known_by(self, name: str) -> str:
        """The digest that the registry of one of its names knows it by."""
        return dict(zip(self.names, self.sources, strict=False)).get(name, self.digest)

    @property
    def stack(self) -> tuple[Layer, ...]:
        """What overlayfs is given, lowest first: it ignores an opaque root, so what is below one is left out."""
        bottom = max((number for number, layer in enumerate(self.layers) if layer.facts.hides_all), default=0)
        return self.layers[bottom:]

    @property
    def tags(self) -> tuple[Reference, ...]:
        """Those of its names that have a tag."""
        return tuple(reference for reference in map(Reference.parse, self.names) if reference.tag)


class Removed(Record):
    """What ``rmi`` did: names taken away, and digests of what was deleted with the last of them."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]


def _nobody(image_id: str) -> Sequence[str]:
    return ()


class Store:
    """The images under one root directory. Creating one touches nothing."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.oci = f"{root}/oci"
        self.layers = f"{root}/layers"
        self.index = f"{self.oci}/index.json"
        self.summaries = f"{root}/cache/layers"

    # ---- reading: the path of `run`, json only

    def find(self, name_or_id: str, *, mend: bool = True) -> Image:
        """The image of that name, ``name@digest``, id or unique prefix of an id.

        Layers that were lost, in a power cut or by hand, are unpacked again from their blobs, which takes seconds. With
        ``mend=False`` nothing is touched.

        Raises:
            NotFound: there is none, the prefix fits several, or a part of it was lost.
            StoreError: the store can't be read, or the image is damaged.
        """
        staging.drop_unsynced(self)
        entries = self.entries()
        return self.image(match(entries, name_or_id)[0], entries, mend=mend)

    def has(self, name: Reference) -> bool:
        """Whether an image has that name, be it whole or not."""
        return any(is_named(entry, name) for entry in self.entries())

    def images(self) -> list[Image]:
        """Every whole image, newest first. Damaged ones are left out; ``find`` says what is wrong with them."""
        staging.drop_unsynced(self)
        entries = self.entries()
        found = []
        for entry in {entry.image_id: entry for entry in reversed(entries)}.values():
            try:
                found.append(self.image(entry, entries))
            except (NotFound, StoreError, ImageError):
                continue
        return sorted(found, key=lambda image: image.created, reverse=True)

    def image(self, entry: Entry, entries: list[Entry], *, mend: bool = True) -> Image:
        """The image that an entry means; all ``entries`` say what its names are. Raises as :meth:`find`."""
        if not self.has_blob(entry.manifest):
            raise NotFound(
                f"manifest {entry.manifest.digest} is missing",
                hint="pull the image again: only what is missing is fetched",
            )
        config = parse_config(self.read_blob(entry.image_id))
        named = [other for other in entries if other.image_id == entry.image_id and other.name]
        layers = self._from_summary(entry.image_id, config.diff_ids)
        if not layers:
            if mend and any(not self.has_layer(diff_id) for diff_id in config.diff_ids):
                from pycontainer.image.mend import unpack_again  # 10 ms, and only after damage

                unpack_again(self, entry.manifest, config.diff_ids)
            layers = tuple(map(self._layer, config.diff_ids))
        return Image(
            id=entry.image_id,
            digest=entry.source,
            names=tuple(other.name for other in named),
            config=config,
            layers=layers,
            size=sum(layer.facts.size for layer in layers),
            created=config.created,
            manifest=entry.manifest,
            sources=tuple(other.source for other in named),
        )

    def _layer(self, diff_id: str) -> Layer:
        layer = self.layer(diff_id)
        if layer is None:
            raise NotFound(f"layer {diff_id} is missing", hint="pull the image again: only what is missing is fetched")
        return layer

    def layer(self, diff_id: str) -> Layer | None:
        """The unpacked layer, or None if it is not here."""
        path = self.layer_path(diff_id)
        try:
            document = jsontext.load(read_small(f"{path}/layer.json", DOCUMENT_MAX).decode())
            if document["diff_id"] != diff_id:
                raise StoreError(f"{path} holds another layer whose diff ID begins alike: {document['diff_id']}")
            return Layer(diff_id, f"{path}/fs", LayerFacts.read(document)) if os.path.isdir(f"{path}/fs") else None
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}/layer.json is damaged: {error}") from None

    def has_layer(self, diff_id: str) -> bool:
        """True if the unpacked layer is here, and not damaged as far as one look shows."""
        try:
            return self.layer(diff_id) is not None
        except StoreError:
            return False

    def _from_summary(self, image_id: str, diff_ids: tuple[str, ...]) -> tuple[Layer, ...]:
        """The layers of an image that has many, from one file; nothing if one is not here, or the file no good."""
        if len(diff_ids) < _MANY_LAYERS:
            return ()
        try:
            documents = jsontext.load(read_small(f"{self.summaries}/{image_id.partition(':')[2]}", 64 << 20).decode())
            layers = []
            for diff_id, document in zip(diff_ids, documents, strict=True):
                path = f"{self.layer_path(diff_id)}/fs"
                if document["diff_id"] != diff_id or not os.path.isdir(path):
                    return ()
                layers.append(Layer(diff_id, path, LayerFacts.read(document)))
        except (FileNotFoundError, StoreError, ValueError, KeyError, TypeError):
            return ()
        return tuple(layers)

    def _summarise(self, layers: tuple[Layer, ...], image_id: str) -> None:
        """Describe all layers of an image in one file, as what every start needs should not take a hundred reads."""
        if len(layers) >= _MANY_LAYERS:
            make_private(self.summaries)
            documents = [{"diff_id": layer.diff_id, **layer.facts._asdict()} for layer in layers]
            staging.write_file(
                self, f"{self.summaries}/{image_id.partition(':')[2]}", jsontext.dump(documents).encode()
            )

    def layer_path(self, diff_id: str) -> str:
        """The directory of a layer, there or not."""
        return f"{self.layers}/{diff_id.partition(':')[2][:NAME_OF_LAYER]}"

    def manifest(self, descriptor: Descriptor) -> Manifest:
        """A manifest of the store.

        Raises:
            NotFound: it is not here. ImageError: it is not a manifest.
        """
        document = parse_document(self.read_blob(descriptor.digest), descriptor.media_type)
        if not isinstance(document, Manifest):
            raise ImageError(f"{descriptor.digest} is an index where a manifest was expected")
        return document

    def blob_path(self, digest: str) -> str:
        """The file of a blob, there or not."""
        algorithm, _, encoded = digest.partition(":")
        return f"{self.oci}/blobs/{algorithm}/{encoded}"

    def has_blob(self, descriptor: Descriptor) -> bool:
        """True if the blob is here, whole."""
        try:
            return os.stat(self.blob_path(descriptor.digest)).st_size == descriptor.size
        except FileNotFoundError:
            return False

    def read_blob(self, digest: str) -> bytes:
        """A small blob: a manifest, an index or a config.

        Raises:
            NotFound: it is missing. StoreError: it is larger than such a document may be.
        """
        try:
            return read_small(self.blob_path(digest), DOCUMENT_MAX)
        except FileNotFoundError:
            raise NotFound(
                f"blob {digest} is missing", hint="pull the image again: only what is missing is fetched"
            ) from None

    def entries(self) -> list[Entry]:
        """The entries of index.json that are ours: another tool may have added some that have no unpacked layers."""
        return [entry for entry in map(Entry.read, self.read_index()["manifests"]) if entry.image_id]

    def read_index(self) -> dict[str, Any]:
        """All of index.json. Raises StoreError if it is damaged."""
        try:
            document = jsontext.load(read_small(self.index, 64 << 20).decode())
            for item in document["manifests"]:
                if not is_digest(item["digest"]):
                    raise ValueError(f"{item['digest']!r} is not a digest")
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self.index} is damaged: {error}", hint="'pyc system check --repair' makes it anew"
            ) from None
        return document  # type: ignore[no-any-return]

    # ---- writing

    def prepare(self) -> None:
        """Make the directories, which only their owner may enter (CVE-2021-41091)."""
        for path in (self.root, self.oci, f"{self.oci}/blobs", f"{self.oci}/blobs/sha256", f"{self.oci}/blobs/sha512",
                     self.layers, staging.directory(self), staging.unsynced(self)):  # fmt: skip
            try:
                make_private(path)
            except OSError as error:
                raise staging.trouble(os.path.dirname(path), f"can't make {path}", error) from None
        staging.keep_ballast(self)
        if not os.path.exists(f"{self.oci}/oci-layout"):
            staging.write_file(self, f"{self.oci}/oci-layout", b'{"imageLayoutVersion": "1.0.0"}', sync=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """While held, nothing is collected. Pulls hold it, and starts until their container is recorded."""
        with self.locked("gc.lock", fcntl.LOCK_SH):
            yield

    @contextmanager
    def locked(self, name: str, how: int) -> Iterator[bool]:
        """Take a lock file; yields False if ``how`` has LOCK_NB and somebody else has it."""
        path, flags = f"{self.root}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:  # the very first command
            self.prepare()
            fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise staging.trouble(self.root, f"can't make {path}", error) from None
        try:
            try:
                fcntl.flock(fd, how)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    @contextmanager
    def _editing(self) -> Iterator[list[Entry]]:
        """The entries of index.json under its lock; what the block leaves in the list is written back."""
        self.prepare()
        with self.locked("index.lock", fcntl.LOCK_EX):
            document = self.read_index()
            foreign = [item for item in document["manifests"] if not Entry.read(item).image_id]
            before = [entry for entry in map(Entry.read, document["manifests"]) if entry.image_id]
            entries = list(before)
            yield entries
            if entries != before:
                document["manifests"] = [entry.to_json() for entry in entries] + foreign
                hit("index.changed")
                self.write_index(document)
                hit("index.written")

    def write_index(self, document: dict[str, Any]) -> None:
        """Replace index.json; the caller holds its lock."""
        import json  # +4 ms; people read this file, so it is indented

        staging.write_file(self, self.index, json.dumps(document, indent=2).encode(), sync=True)

    def add(self, name: Reference | None, image_id: str, manifest: Descriptor, source: str) -> Image:
        """Enter a whole image under a name; if the name meant another image, that one stays as ``repository@digest``.

        Args:
            name: with a tag or a digest; without a name, the image is known by its ID.
            image_id: digest of the config.
            manifest: descriptor of the manifest, whose blobs and layers are here.
            source: digest of what the registry has under that name.
        """
        canonical = ""
        if name:
            canonical = f"{name.name}:{name.tag}" if name.tag and not name.digest else f"{name.name}@{source}"
        with self._editing() as entries:
            if canonical or all(entry.image_id != image_id for entry in entries):
                enter(entries, Entry(canonical, image_id, source, manifest))
        self._summarise(tuple(map(self._layer, parse_config(self.read_blob(image_id)).diff_ids)), image_id)
        return self.find(canonical or image_id)

    def tag(self, name_or_id: str, name: Reference) -> Image:
        """Give an image one more name (``docker tag``).

        Raises:
            NotFound: no such image.
        """
        with self._editing() as entries:
            old = match(entries, name_or_id)[0]
            enter(entries, old._replace(name=f"{name.name}:{name.tag or 'latest'}"))
        return self.find(str(name))

    def remove(
        self, name_or_id: str, *, force: bool = False, in_use: Callable[[str], Sequence[str]] = _nobody
    ) -> Removed:
        """Take a name from an image, and delete the image with its last name (``docker rmi``).

        Args:
            name_or_id: a name takes away that name only; an id takes away all. One with a digest takes away tags only
                if the image was not pulled by digest.
            force: an id with several repositories, or the last tag of an image in use, is no conflict.
            in_use: gives the names of containers that use an image id; such an image is never deleted.

        Raises:
            NotFound: no such image.
            Conflict: in use, or known by several names.
        """
        with self._editing() as entries:
            chosen = match(entries, name_or_id)
            if "@" in name_or_id:
                chosen = [entry for entry in chosen if not entry.has_tag] or chosen
            image_id = chosen[0].image_id
            others = [entry for entry in entries if entry.image_id == image_id and entry not in chosen]
            if len({Reference.parse(entry.name).name for entry in chosen if entry.name}) > 1 and not force:
                names = ", ".join(entry.name for entry in chosen)
                raise Conflict(
                    f"image {name_or_id} has several names: {names}", hint="remove them one by one, or force"
                )
            users = in_use(image_id) if not any(entry.has_tag for entry in others) else ()
            if users and not (force and any(entry.has_tag for entry in chosen)):
                raise Conflict(f"image {name_or_id} is used by container {', '.join(users)}", hint="remove it first")
            for entry in chosen:
                entries.remove(entry)
            if users:
                enter(entries, chosen[0].demoted())
            elif not any(entry.has_tag for entry in others):  # only moved-on names are left: nobody can mean them
                for entry in others:
                    entries.remove(entry)
            alive = any(entry.image_id == image_id for entry in entries)
        untagged = tuple(Reference.parse(entry.name).familiar for entry in chosen if entry.name)
        return Removed(untagged, () if alive else (image_id, *self.collect()))

    def untag(self, name: Reference) -> None:
        """Take one name away and delete nothing.

        Raises:
            NotFound: no image has that name.
        """
        with self._editing() as entries:
            entry = match(entries, str(name))[0]
            entries.remove(entry)
            if not any(other.image_id == entry.image_id for other in entries):
                enter(entries, entry.demoted())

    def collect(self) -> tuple[str, ...]:
        """Delete what no image reaches: :func:`pycontainer.image.garbage.collect`."""
        from pycontainer.image import garbage  # what reads the store has no need of it

        return garbage.collect(self)


def read_small(path: str, limit: int) -> bytes:
    """A whole file.

    Raises:
        FileNotFoundError: it is not there. StoreError: unreadable, or longer than ``limit``.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(_SMALL)  # most are, and to make room for more costs 30 us
            if len(data) == _SMALL:
                data += file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        hint = "only root may read this store" if isinstance(error, PermissionError) else ""
        raise StoreError(f"can't read {path}: {error.strerror}", hint=hint) from None
    if len(data) > limit:
        raise StoreError(f"{path} is larger than {limit >> 20} MiB")
    return data
