"""Images on disk: an OCI image layout, and beside it every layer unpacked once.

::

    ROOT/oci/oci-layout, index.json, blobs/sha256/<hex>   what skopeo and umoci read (image-spec, image-layout.md)
    ROOT/layers/<24 hex of the diff ID>/fs, layer.json    a layer's files, shared by every image that has it
    ROOT/cache/layers/<hex of the image ID>               layer.json of all layers of an image that has many
    ROOT/tmp/                                             what is not whole yet (staging.py)
    ROOT/unsynced/                                        markers of what may not be on disk yet (unsynced.py)

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
from pycontainer.errors import ImageError, NotFound, StoreError
from pycontainer.image.disk import keep_ballast, read_small, trouble
from pycontainer.image.entry import Entry, enter, is_named, match
from pycontainer.image.manifest import (
    DOCUMENT_MAX,
    OCI_INDEX,
    Descriptor,
    Manifest,
    parse_config,
    parse_document,
)
from pycontainer.image.model import Image, Layer, LayerFacts
from pycontainer.image.places import Places
from pycontainer.image.reference import Reference, is_digest
from pycontainer.light import contextmanager
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


_MANY_LAYERS = 8


class Store(Places):
    """The images under one root directory. Creating one touches nothing."""

    # ---- reading: the path of `run`, json only

    def find(self, name_or_id: str, *, mend: bool = True) -> Image:
        """The image of that name, ``name@digest``, id or unique prefix of an id.

        Layers that were lost, in a power cut or by hand, are unpacked again from their blobs, which takes seconds. With
        ``mend=False`` nothing is touched.

        Raises:
            NotFound: there is none, the prefix fits several, or a part of it was lost.
            StoreError: the store can't be read, or the image is damaged.
        """
        self._distrust()
        entries = self.entries()
        return self.image(match(entries, name_or_id)[0], entries, mend=mend)

    def has(self, name: Reference) -> bool:
        """Whether an image has that name, be it whole or not."""
        return any(is_named(entry, name) for entry in self.entries())

    def images(self) -> list[Image]:
        """Every whole image, newest first. Damaged ones are left out; ``find`` says what is wrong with them."""
        self._distrust()
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
            self.write(f"{self.summaries}/{image_id.partition(':')[2]}", jsontext.dump(documents).encode())

    def manifest(self, descriptor: Descriptor) -> Manifest:
        """A manifest of the store.

        Raises:
            NotFound: it is not here. ImageError: it is not a manifest.
        """
        document = parse_document(self.read_blob(descriptor.digest), descriptor.media_type)
        if not isinstance(document, Manifest):
            raise ImageError(f"{descriptor.digest} is an index where a manifest was expected")
        return document

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

    def _distrust(self) -> None:
        """Look at what may not have outlived a power cut. Costs one listdir when there is nothing."""
        try:
            marked = os.listdir(self.unsynced)
        except OSError:
            return  # no store yet, or not ours to mend
        if marked:
            from pycontainer.image.after_reboot import drop_unsynced  # in the first seconds after a pull, and then

            drop_unsynced(self)

    # ---- writing

    def write(self, path: str, data: bytes, *, sync: bool = False) -> None:
        """Make or replace a small file of the store: :func:`pycontainer.image.staging.write_file`."""
        from pycontainer.image.staging import write_file  # what reads the store has no need of it

        write_file(self, path, data, sync=sync)

    def prepare(self) -> None:
        """Make the directories, which only their owner may enter (CVE-2021-41091)."""
        for path in (self.root, self.oci, f"{self.oci}/blobs", f"{self.oci}/blobs/sha256", f"{self.oci}/blobs/sha512",
                     self.layers, self.staging, self.unsynced):  # fmt: skip
            try:
                make_private(path)
            except OSError as error:
                raise trouble(os.path.dirname(path), f"can't make {path}", error) from None
        keep_ballast(self.root)
        if not os.path.exists(f"{self.oci}/oci-layout"):
            self.write(f"{self.oci}/oci-layout", b'{"imageLayoutVersion": "1.0.0"}', sync=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """While held, nothing is collected. Pulls hold it, and starts until their container is recorded."""
        with self.locked("gc.lock", fcntl.LOCK_SH):
            yield

    @contextmanager
    def editing(self) -> Iterator[list[Entry]]:
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

        self.write(self.index, json.dumps(document, indent=2).encode(), sync=True)

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
        with self.editing() as entries:
            if canonical or all(entry.image_id != image_id for entry in entries):
                enter(entries, Entry(canonical, image_id, source, manifest))
        self._summarise(tuple(map(self._layer, parse_config(self.read_blob(image_id)).diff_ids)), image_id)
        return self.find(canonical or image_id)

    def tag(self, name_or_id: str, name: Reference) -> Image:
        """Give an image one more name (``docker tag``).

        Raises:
            NotFound: no such image.
        """
        with self.editing() as entries:
            old = match(entries, name_or_id)[0]
            enter(entries, old._replace(name=f"{name.name}:{name.tag or 'latest'}"))
        return self.find(str(name))

    def untag(self, name: Reference) -> None:
        """Take one name away and delete nothing.

        Raises:
            NotFound: no image has that name.
        """
        with self.editing() as entries:
            entry = match(entries, str(name))[0]
            entries.remove(entry)
            if not any(other.image_id == entry.image_id for other in entries):
                enter(entries, entry.demoted())
