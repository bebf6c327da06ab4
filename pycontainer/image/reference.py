"""What an image is called: ``[REGISTRY/]REPOSITORY[:TAG][@DIGEST]``.

Docker's normalisation: a name without a registry is on docker.io, one without a namespace there is in
``library/``, one without tag or digest means ``:latest``. The grammar is that of the distribution project's
``reference`` package. No regular expressions: compiling three would cost ``pyc run`` half a millisecond.
"""

from __future__ import annotations

from pycontainer.errors import InvalidReference
from pycontainer.record import Record

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DEFAULT_REGISTRY = "index.docker.io"
_NAME_MAX = 255
_TAG_MAX = 128

_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdef")
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TAG_CHARS = _ALNUM | frozenset("_.-")

DIGEST_HEX_LENGTH = {"sha256": 64, "sha512": 128}
"""The digest algorithms we accept, and how many hex digits each has (OCI image-spec, descriptor.md)."""


def is_digest(text: str) -> bool:
    """True for ``sha256:`` + 64 or ``sha512:`` + 128 lower-case hex digits: what may become part of a path."""
    algorithm, colon, encoded = text.partition(":")
    return bool(colon) and len(encoded) == DIGEST_HEX_LENGTH.get(algorithm) and _HEX.issuperset(encoded)


def is_hex(text: str) -> bool:
    """True for one or more lower-case hex digits: what an image id is shortened to."""
    return bool(text) and _HEX.issuperset(text)


class Reference(Record):
    """A normalised image name.

    Attributes:
        registry: host, or host:port; ``"docker.io"`` when none was written.
        repository: path of the image in that registry, ``"library/alpine"``.
        tag: ``"latest"``, or ``""`` when only a digest was written.
        digest: ``"sha256:..."`` or ``""``. With both, the digest decides and the tag is decoration.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Normalise what a user typed.

        Raises:
            InvalidReference: not an image name; the hint says what is wrong with it.
        """
        if "://" in text:
            raise _invalid(text, f"write it without {_shown(text[: text.index('://') + 3])}")
        name, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise _invalid(text, f"{_shown(digest)} is not a digest: sha256: and 64 hex digits")
        registry, path = _split_registry(name)
        repository, colon, tag = path.partition(":")
        if colon and not _is_tag(tag):
            raise _invalid(text, "a tag is 1 to 128 letters, digits and _.-, and starts with a letter, digit or _")
        if is_hex(name) and len(name) == 64:
            raise _invalid(text, "64 hex digits are an image id, which can't be pulled or be a name")
        _check_repository(text, repository)
        if registry == DEFAULT_REGISTRY and "/" not in repository:
            repository = "library/" + repository
        if not _is_registry(registry):
            raise _invalid(text, f"{_shown(registry)} is not a host name with an optional port")
        if len(registry) + 1 + len(repository) > _NAME_MAX:
            raise _invalid(text, f"the name is longer than {_NAME_MAX} characters")
        return cls(registry, repository, tag or ("" if digest else DEFAULT_TAG), digest)

    @property
    def name(self) -> str:
        """Registry and repository without tag and digest: ``"docker.io/library/alpine"``."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """The name as a user would type it: ``"alpine"``."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        return self.repository.removeprefix("library/") if self.repository.count("/") == 1 else self.repository

    @property
    def familiar(self) -> str:
        """The shortest form that parses back to this reference: ``"alpine:latest"``."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        """The canonical form: ``"docker.io/library/alpine:latest"``."""
        return self.name + self._suffix


def _invalid(text: str, why: str) -> InvalidReference:
    return InvalidReference(f"invalid image name {_shown(text)}: {why}")


def _shown(text: str) -> str:
    """In quotes, without what a terminal would obey, and not much longer than a name can be."""
    return repr(text if len(text) <= _NAME_MAX else text[:_NAME_MAX] + "...")


def _split_registry(name: str) -> tuple[str, str]:
    """The part before the first slash is a registry if it can't be a namespace: has a dot, a colon, a capital."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return DEFAULT_REGISTRY, name
    return (DEFAULT_REGISTRY if first == _LEGACY_DEFAULT_REGISTRY else first), rest


def has_registry(text: str) -> bool:
    """True if a name says which registry it is of."""
    name = text.partition("@")[0]
    return _split_registry(name) != (DEFAULT_REGISTRY, name)


def _check_repository(text: str, repository: str) -> None:
    if not repository:
        raise _invalid(text, "the name is empty")
    if repository != repository.lower():
        raise _invalid(text, "the repository must be lower case")
    for component in repository.split("/"):
        if not _is_component(component):
            raise _invalid(
                text, f"{_shown(component)} must be letters and digits, with single . or _, __ or dashes between"
            )


def _is_component(text: str) -> bool:
    """Runs of ``a-z0-9`` joined by one of ``.``, ``_``, ``__`` or any number of ``-``."""
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    separator = ""
    for char in text:
        if char not in _LOWER:
            separator += char
        elif separator:
            if not (separator in (".", "_", "__") or set(separator) == {"-"}):
                return False
            separator = ""
    return True


def _is_tag(text: str) -> bool:
    return 0 < len(text) <= _TAG_MAX and text[0] not in ".-" and _TAG_CHARS.issuperset(text)


def _is_registry(text: str) -> bool:
    if text.startswith("["):  # an IPv6 address
        address, bracket, port = text[1:].partition("]")
        return (
            bool(bracket and address)
            and set(address.lower()) <= _HEX | {":"}
            and (not port or (port[0] == ":" and _is_port(port[1:])))
        )
    host, colon, port = text.partition(":")
    return all(map(_is_host_label, host.split("."))) and (not colon or _is_port(port))


def _is_port(text: str) -> bool:
    return 0 < len(text) <= 5 and _DIGITS.issuperset(text) and int(text) < 1 << 16


def _is_host_label(text: str) -> bool:
    return bool(text) and text[0] in _ALNUM and text[-1] in _ALNUM and _ALNUM.issuperset(text.replace("-", ""))
