"""``pyc search``, and the tags of a repository: what a registry has.

Searching was part of the first registry protocol only, and Docker Hub still has it (``/v1/search``). Of the present
protocol other registries have the catalog at best, which names repositories and nothing else.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from pycontainer.engine.image.mirrors import first_answer
from pycontainer.errors import RegistryError
from pycontainer.image.credentials import HUB
from pycontainer.image.reference import Reference
from pycontainer.image.registries_conf import Endpoint, at, endpoints, load
from pycontainer.image.registry import Credentials, Patience, Registry
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any


_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")
_PAGE = 1000
_PAGES_MAX = 100
_NAMES_MAX = 200_000
_FOUND_MAX = 100


class Found(Record):
    """A repository that fits.

    Attributes:
        name: as one would pull it.
        description: a line, or "".
        stars: how many people like it, 0 where nobody counts.
        official: True for what Docker Hub maintains itself.
    """

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False


def tags(
    reference: Reference,
    *,
    credentials: Credentials | None = None,
    insecure: bool | None = None,
    patience: Patience = Patience(),  # noqa: B008  immutable
) -> list[str]:
    """The tags of a repository, sorted; asked of its mirrors, and then of the registry.

    Raises:
        RegistryError: it can't be reached, refuses, or has no such repository.
    """

    def connect(place: Endpoint) -> Registry:
        return Registry(place, credentials=credentials, patience=patience)

    def ask(registry: Registry) -> list[str]:
        return _listed(registry, f"tags/list?n={_PAGE}", "tags", f"list of tags of {reference.name}", _TAG)

    places = endpoints(reference._replace(tag="", digest=""), load(), insecure=insecure)
    found, registry = first_answer(places, connect, ask)
    registry.close()
    return sorted(found)


def search(
    term: str,
    *,
    limit: int = 25,
    credentials: Credentials | None = None,
    insecure: bool | None = None,
    patience: Patience = Patience(),  # noqa: B008  immutable
) -> list[Found]:
    """Repositories that fit a word, best first.

    Args:
        term: what to look for; ``HOST/term`` asks another registry than Docker Hub.
        limit: how many at most, 1 to 100.
        credentials, insecure, patience: as of a pull.

    Raises:
        RegistryError: it can't be reached, or can't be searched.
    """
    host, slash, word = term.partition("/")
    if not slash or not (host == "localhost" or set(".:") & set(host)):
        host, word = HUB, term
    limit = max(1, min(limit, _FOUND_MAX))
    endpoint = Endpoint("index.docker.io", "") if host == HUB else at(host, load(), insecure=insecure)
    registry = Registry(endpoint, credentials=credentials, patience=patience)
    try:
        return _searched(registry, word, host, limit)[:limit]
    finally:
        registry.close()


def _searched(registry: Registry, word: str, host: str, limit: int) -> list[Found]:
    """What the search of the first protocol finds, else what of the catalog fits."""
    prefix = "" if host == HUB else f"{host}/"
    try:
        document, _ = registry.json(f"/v1/search?{urlencode({'q': word, 'n': limit})}", "search")
    except RegistryError as refusal:
        try:
            names = _listed(registry, f"/v2/_catalog?n={_PAGE}", "repositories", "catalog", _REPOSITORY)
        except RegistryError:
            hint = f"pyc search --list-tags {prefix}NAME asks for one repository"
            raise RegistryError(f"{host} can't be searched: {refusal}", hint=hint) from None
        return [Found(prefix + name) for name in names if word in name]
    return _results(document, host, prefix)


def _listed(registry: Registry, path: str, key: str, what: str, pattern: re.Pattern[str]) -> list[str]:
    """The names under ``key`` on all pages; those that can't be names are left out.

    Raises RegistryError: none came, or more than anybody reads.
    """
    found: dict[str, None] = {}
    for _ in range(_PAGES_MAX):
        document, path = registry.json(path, what)
        names = document.get(key) if isinstance(document, dict) else None
        if not isinstance(names, list | None):
            raise RegistryError(f"the registry sent no {what}")
        found.update((name, None) for name in names or () if isinstance(name, str) and pattern.fullmatch(name))
        if len(found) > _NAMES_MAX:
            raise RegistryError(f"the registry's {what} has more than {_NAMES_MAX} names")
        if not path:
            break
    return list(found)


def _results(document: Any, host: str, prefix: str) -> list[Found]:
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list):
        raise RegistryError(f"{host} sent no list of results")
    found = []
    for item in results:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not _REPOSITORY.fullmatch(name):
            continue
        stars, text = item.get("star_count"), item.get("description")
        words = " ".join(text.split()) if isinstance(text, str) else ""
        description = "".join(char for char in words if char.isprintable())
        found.append(
            Found(prefix + name, description, stars if isinstance(stars, int) else 0, item.get("is_official") is True)
        )
    return found
