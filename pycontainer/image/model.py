"""An image and its layers, as they are on this disk: image/store.py finds them."""

from __future__ import annotations

from pycontainer.image.reference import Reference
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.image.manifest import Descriptor, ImageConfig


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
