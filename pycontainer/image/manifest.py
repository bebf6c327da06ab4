"""The three documents that describe an image, read strictly from bytes.

::

    Index (one image, many platforms) -> Manifest (one platform) -> ImageConfig + layers

Formats: OCI image-spec 1.1 (manifest.md, image-index.md, config.md) and docker's manifest schema 2, which differ in
media types only. The bytes come from anyone, so a document is refused when it is larger than 4 MiB, is two kinds at
once (CVE-2021-41190), or names a digest or size that could not be one (CVE-2024-3727). Unknown fields are ignored.
"""

from __future__ import annotations

from pycontainer import jsontext
from pycontainer.errors import ImageError
from pycontainer.image.platform import Platform
from pycontainer.image.reference import is_digest
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

DOCUMENT_MAX = 4 << 20
"""Bytes a manifest, index or config may have, as in containerd and containers/image."""
INDEX_DEPTH_MAX = 4
"""How many indexes may be nested, counting the outermost."""
LAYERS_MAX = 500
"""overlayfs stacks no more than this (OVL_MAX_STACK)."""
_SIZE_MAX = 1 << 50
_WORD_MAX = 64
_MEDIA_TYPE_MAX = 256  # RFC 6838, 4.2: 127 characters, a slash, and 127 more
_ENTRIES_MAX = 4096

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)

MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_LAYER_PREFIXES = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_COMPRESSIONS = ("", "+gzip", "+zstd", ".gzip", ".zstd")
LAYER_TYPES = frozenset(prefix + suffix for prefix in _LAYER_PREFIXES for suffix in _COMPRESSIONS)

OWN_LABELS = "io.pycontainer."
"""Labels that we would read as ours; an image must not speak in our name (CVE-2026-53488), so they are dropped."""


class Descriptor(Record):
    """A pointer to content (image-spec, descriptor.md).

    Attributes:
        media_type: what it is.
        digest: ``sha256:<hex>`` of its bytes, checked to be well formed.
        size: its length in bytes.
        platform: what it runs on, where an index says so.
        annotations: free-form strings.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = {}  # noqa: RUF012  a Record's default; nobody writes to it

    @property
    def is_foreign(self) -> bool:
        """True for a layer that its publisher keeps elsewhere; we never follow its URLs (CVE-2020-15157)."""
        return "nondistributable" in self.media_type or "foreign" in self.media_type

    def to_json(self) -> dict[str, Any]:
        """The descriptor as a JSON object."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            keys = ("os", "architecture", "variant")
            document["platform"] = {k: v for k, v in zip(keys, self.platform, strict=True) if v}
        if self.annotations:
            document["annotations"] = self.annotations
        return document


class Manifest(Record):
    """What an image for one platform consists of: its config and its layers, lowest first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str]


class Index(Record):
    """A list of manifests (or further indexes), one per platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str]


class History(Record):
    """How one layer came to be; ``empty_layer`` marks a build step that changed no file."""

    created: str
    created_by: str
    author: str
    comment: str
    empty_layer: bool


class Healthcheck(Record):
    """Docker's HEALTHCHECK. Durations are nanoseconds, 0 means the default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ImageConfig(Record):
    """How an image wants to be run, and what its layers unpack to (image-spec, config.md).

    Attributes:
        env: ``NAME=value`` strings; entries without ``=`` are dropped, so none can pull in the host's value.
        diff_ids: sha256 of each layer's uncompressed tar, lowest first.
        user, working_dir, stop_signal, created: "" when absent.
        entrypoint, cmd, shell: empty tuple when absent.
    """

    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    created: str = ""
    author: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    history: tuple[History, ...] = ()
    diff_ids: tuple[str, ...] = ()

    @property
    def platform(self) -> Platform:
        """What the image runs on."""
        return Platform.of(self.os, self.architecture, self.variant)


class _Object:
    """A JSON object whose fields are read by type; every wrong type is one ImageError naming the field."""

    __slots__ = ("fields", "where")

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ImageError(f"{where} must be a JSON object, not {_kind(value)}")
        self.fields: dict[str, Any] = value
        self.where = where

    def _get(self, key: str, kind: type, default: Any) -> Any:
        value = self.fields.get(key)
        if value is None:  # Go writes null for an empty list or map
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ImageError(f"{self.where}: {key} must be {_NAMES[kind]}, not {_kind(value)}")
        return value

    def text(self, key: str) -> str:
        value: str = self._get(key, str, "")
        if "\0" in value:
            raise ImageError(f"{self.where}: {key} contains a NUL")
        return value

    def line(self, key: str) -> str:
        """Text that ends up in a line of /etc/passwd or a path: no line breaks (CVE-2022-4318)."""
        return _one_line(self.text(key), f"{self.where}: {key}")

    def word(self, key: str) -> str:
        """Text that is shown beside others, as the parts of a platform are: no spaces, nothing a terminal obeys."""
        value = self.text(key)
        if not is_word(value):
            raise ImageError(f"{self.where}: {key} {value[:100]!r} is no plain word")
        return value

    def number(self, key: str) -> int:
        value: int = self._get(key, int, 0)
        if not -(1 << 63) <= value < 1 << 63:
            raise ImageError(f"{self.where}: {key} is out of range")
        return value

    def flag(self, key: str) -> bool:
        return bool(self._get(key, bool, False))

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._get(key, list, [])
        for value in values:
            if not isinstance(value, str) or "\0" in value:
                raise ImageError(f"{self.where}: {key} must be a list of strings without NUL")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, str]:
        values: dict[str, str] = self._get(key, dict, {})
        for name, value in values.items():
            if not isinstance(value, str) or "\0" in value or "\0" in name:
                raise ImageError(f"{self.where}: {key} must map strings to strings without NUL")
        return values

    def keys(self, key: str) -> tuple[str, ...]:
        """The keys of Go's ``map[string]struct{}``, which is how docker writes a set."""
        return tuple(_one_line(name, f"{self.where}: {key}") for name in self._get(key, dict, {}))

    def object(self, key: str) -> _Object:
        return _Object(self._get(key, dict, {}), f"{self.where}: {key}")

    def objects(self, key: str) -> Iterator[_Object]:
        values = self._get(key, list, [])
        if len(values) > _ENTRIES_MAX:
            raise ImageError(f"{self.where}: {key} has {len(values)} entries, more than {_ENTRIES_MAX}")
        return (_Object(value, f"{self.where}: {key}[{number}]") for number, value in enumerate(values))


_NAMES = {str: "a string", int: "an integer", bool: "true or false", list: "a list", dict: "an object"}


def is_word(text: str) -> bool:
    """Whether something can be a part of a platform."""
    return len(text) <= _WORD_MAX and text.isascii() and all(char.isalnum() or char in "._-" for char in text)


def _kind(value: Any) -> str:
    return "null" if value is None else _NAMES.get(type(value), "a number")


def _one_line(text: str, where: str) -> str:
    if "\n" in text or "\r" in text or "\0" in text:
        raise ImageError(f"{where} contains a line break or NUL")
    return text


def load_object(data: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object of at most 4 MiB.

    Raises:
        ImageError: too large, not UTF-8, not JSON, nested too deeply, a key given twice, or not an object.
    """
    if len(data) > DOCUMENT_MAX:
        raise ImageError(f"{what} is larger than {DOCUMENT_MAX >> 20} MiB")
    try:
        text = data.decode()
        value = jsontext.load(text, pairs=_no_duplicates)
        if "\\ud" in text or "\\uD" in text:
            _check_printable(value)
    except ValueError as error:  # UnicodeDecodeError is one too
        raise ImageError(f"{what} is not valid JSON: {error}") from None
    return _Object(value, what).fields


def _check_printable(value: object) -> None:
    """Half a surrogate pair is JSON, but no text: it can't be printed, nor be an argument of a program."""
    import json  # 6 ms, and only for what looks like it

    try:
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:  # just shallow enough to be read
        raise ValueError("nested too deeply") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):  # two readers could each believe another one of the two values
        raise ValueError("a key is given twice in one object")
    return fields


def parse_document(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index.

    Args:
        data: the bytes, whose digest the caller has checked.
        media_type: what the descriptor or the Content-Type header called it, "" if nobody did.

    Raises:
        ImageError: the document is malformed, or is not what it was called.
    """
    document = _Object(load_object(data, "the image's manifest"), "the image's manifest")
    kind = _media_type(document, media_type)
    if "manifests" in document.fields and ("layers" in document.fields or "config" in document.fields):
        raise ImageError("the image's manifest is a manifest and an index at once")
    if document.number("schemaVersion") != 2:
        raise ImageError("the image's manifest has no schemaVersion 2")
    if kind in INDEX_TYPES:
        return _parse_index(document, kind)
    return _parse_manifest(document, kind)


def _media_type(document: _Object, promised: str) -> str:
    """What the document is. Its own word and everybody else's must agree; older OCI documents keep silent."""
    own = document.text("mediaType")
    if promised in _DOCKER_SCHEMA_1 or (document.fields.get("schemaVersion") == 1):
        raise ImageError(
            "the image is in docker's manifest format 1, abandoned in 2016",
            hint="push it again with a current docker, podman or skopeo",
        )
    if promised and own and promised != own:
        raise ImageError(f"the image's manifest says it is {own[:100]!r}, but was announced as {promised[:100]!r}")
    kind = own or promised or (OCI_INDEX if "manifests" in document.fields else OCI_MANIFEST)
    if kind not in MANIFEST_TYPES and kind not in INDEX_TYPES:
        raise ImageError(f"unknown manifest type {kind[:100]!r}")
    return kind


def _parse_manifest(document: _Object, kind: str) -> Manifest:
    if "config" not in document.fields or "layers" not in document.fields:
        raise ImageError(f"the image's manifest ({kind}) must have config and layers")
    config = _parse_descriptor(document.object("config"))
    if config.media_type not in CONFIG_TYPES:
        raise ImageError(f"not a container image: its config is {config.media_type[:100]!r}")
    if config.size > DOCUMENT_MAX:
        raise ImageError(f"the image's config is larger than {DOCUMENT_MAX >> 20} MiB")
    layers = tuple(_parse_descriptor(layer) for layer in document.objects("layers"))
    if len(layers) > LAYERS_MAX:
        raise ImageError(f"the image has {len(layers)} layers, more than the {LAYERS_MAX} that overlayfs can stack")
    for layer in layers:
        if layer.media_type not in LAYER_TYPES:
            raise ImageError(f"unknown layer type {layer.media_type[:100]!r}")
    return Manifest(kind, config, layers, document.mapping("annotations"))


def _parse_index(document: _Object, kind: str) -> Index:
    if "manifests" not in document.fields:
        raise ImageError(f"the image's index ({kind}) must have manifests")
    manifests = tuple(_parse_descriptor(entry) for entry in document.objects("manifests"))
    return Index(kind, manifests, document.mapping("annotations"))


def _parse_descriptor(entry: _Object) -> Descriptor:
    digest, size = entry.text("digest"), entry.number("size")
    if not is_digest(digest):
        raise ImageError(f"{entry.where}: {digest[:100]!r} is not a digest")
    if "size" not in entry.fields or not 0 <= size <= _SIZE_MAX:
        raise ImageError(f"{entry.where}: size {size} is impossible")
    media_type = entry.line("mediaType")
    if not 0 < len(media_type) < _MEDIA_TYPE_MAX:
        raise ImageError(f"{entry.where} has no mediaType, or none that can be one")
    platform = None
    if entry.fields.get("platform") is not None:
        words = entry.object("platform")
        platform = Platform.of(words.word("os"), words.word("architecture"), words.word("variant"))
    return Descriptor(media_type, digest, size, platform, entry.mapping("annotations"))


def parse_config(data: bytes) -> ImageConfig:
    """Read an image config.

    Raises:
        ImageError: malformed, or it carries a value that could break out of the line or list it will stand in.
    """
    document = _Object(load_object(data, "the image's config"), "the image's config")
    config = document.object("config")
    rootfs = document.object("rootfs")
    diff_ids = rootfs.texts("diff_ids")
    for diff_id in diff_ids:
        if not is_digest(diff_id):
            raise ImageError(f"the image's config: diff ID {diff_id[:100]!r} is not a digest")
    return ImageConfig(
        architecture=document.word("architecture"),
        os=document.word("os") or "linux",
        variant=document.word("variant"),
        created=document.line("created"),
        author=document.text("author"),
        env=_environment(config),
        entrypoint=_command(config, "Entrypoint"),
        cmd=_command(config, "Cmd"),
        user=config.line("User"),
        working_dir=config.line("WorkingDir"),
        volumes=config.keys("Volumes"),
        exposed_ports=config.keys("ExposedPorts"),
        labels={k: v for k, v in config.mapping("Labels").items() if not k.startswith(OWN_LABELS)},
        stop_signal=config.line("StopSignal"),
        healthcheck=_healthcheck(config),
        shell=config.texts("Shell"),
        on_build=config.texts("OnBuild"),
        args_escaped=config.flag("ArgsEscaped"),
        history=tuple(_history(document)),
        diff_ids=diff_ids,
    )


def _environment(config: _Object) -> tuple[str, ...]:
    kept = []
    for entry in config.texts("Env"):
        name, equals, value = entry.partition("=")
        if not equals or not name:
            continue  # docker's client would fill it in from its own environment (CVE-2026-57231)
        _one_line(name, f"{config.where}: the name of a variable in Env")
        if name in ("HOME", "USER"):  # these become fields of /etc/passwd
            _one_line(value, f"{config.where}: {name} in Env")
        kept.append(entry)
    return tuple(kept)


def _command(config: _Object, key: str) -> tuple[str, ...]:
    """A command; images from before 2014 wrote a bare string."""
    if isinstance(config.fields.get(key), str):
        return (config.text(key),)
    return config.texts(key)


def _healthcheck(config: _Object) -> Healthcheck | None:
    if config.fields.get("Healthcheck") is None:
        return None
    check = config.object("Healthcheck")
    names = ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
    return Healthcheck(check.texts("Test"), *(check.number(name) for name in names))


def _history(document: _Object) -> Iterator[History]:
    for step in document.objects("history"):
        created, created_by, author, comment = map(step.text, ("created", "created_by", "author", "comment"))
        yield History(created, created_by, author, comment, step.flag("empty_layer"))


def choose(index: Index, wanted: Platform) -> Descriptor | None:
    """The entry of an index for a platform: exact first, then the variants it accepts; None if there is none.

    An entry that names no platform is taken last; attestations (platform ``unknown/unknown``) never.
    """
    for platform in wanted.accepts():
        for entry in index.manifests:
            if entry.platform == platform:
                return entry
    return next((entry for entry in index.manifests if entry.platform is None), None)
