"""``pyc search``, and the tags of a repository: what a registry has.

Searching was part of the first registry protocol only, and Docker Hub still has it (``/v1/search``). Of the present
protocol other registries have the catalog at best, which names repositories and nothing else.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

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
    candidates = endpoints(reference._replace(tag="", digest=""), load(), insecure=insecure)
    for number, endpoint in enumerate(candidates, 1):
        registry = Registry(endpoint, credentials=credentials, patience=patience)
        try:
            return sorted(_listed(registry, f"tags/list?n={_PAGE}", "tags", f"list of tags of {reference.name}", _TAG))
        except RegistryError:
            if number == len(candidates):
                raise
        finally:
            registry.close()
    raise AssertionError


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
    prefix = "" if host == HUB else f"{host}/"
    try:
        query = urlencode({"q": word, "n": limit})
        with_v1, error = True, None
        try:
            document, _ = registry.json(f"/v1/search?{query}", "search")
        except RegistryError as refusal:
            with_v1, error = False, refusal
        if with_v1:
            return _results(document, host, prefix)[:limit]
        try:
            names = _listed(registry, f"/v2/_catalog?n={_PAGE}", "repositories", "catalog", _REPOSITORY)
        except RegistryError:
            raise RegistryError(
                f"{host} can't be searched: {error}",
                hint=f"pyc search --list-tags {prefix}NAME asks for one repository",
            ) from None
        return [Found(prefix + name) for name in names if word in name][:limit]
    finally:
        registry.close()


def _listed(registry: Registry, path: str, key: str, what: str, pattern: re.Pattern[str]) -> list[str]:
    """The names under ``key`` on all pages; those that can't be names are left out."""
    found: dict[str, None] = {}
    for _ in range(_PAGES_MAX):
        document, path = registry.json(path, what)
        names = document.get(key) if isinstance(document, dict) else None
        if not isinstance(names, list | None):
            raise RegistryError(f"the registry sent no {what}")
        found.update((name, None) for name in names or () if isinstance(name, str) and pattern.fullmatch(name))
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
