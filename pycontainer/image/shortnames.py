"""What a name without a registry means: containers-registries.conf(5), "Short-Name Aliasing".

::

    [aliases]                                       "fedora" = "registry.fedoraproject.org/fedora"
    unqualified-search-registries = ["a", "b"]      else a/fedora, then b/fedora
    neither                                         docker.io/library/fedora, as docker has it

Of an image that is here, its name on Docker Hub comes first of all, so that a name means nothing else tomorrow because
somebody installed a file. Names for new images (``tag``, ``commit``, ``push``) are Docker Hub's, too.
"""

from __future__ import annotations

import os

from pycontainer.errors import InvalidReference, RegistryError
from pycontainer.image.reference import Reference, has_registry
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_MODES = ("", "permissive", "disabled", "enforcing")


def candidates(text: str) -> list[Reference]:
    """What a user's word for an image may mean, best first; one reference if it names a registry.

    Raises:
        InvalidReference: it is no name. RegistryError: a file of the configuration is broken, or asks for whole names.
    """
    plain = Reference.parse(text)
    if has_registry(text):
        return [plain]
    name = _bare(text)
    suffix = text[len(name) :]
    documents = _documents()
    if alias := _aliases(documents).get(name):
        return [Reference.parse(alias + suffix)]
    registries, mode = _search(documents)
    if len(registries) > 1 and mode == "enforcing":
        raise RegistryError(
            f"{text} may mean an image of {', '.join(registries)}",
            hint="write the whole name, or give it an alias in registries.conf, which enforces that",
        )
    return [Reference.parse(f"{registry}/{text}") for registry in registries] or [plain]


def _bare(text: str) -> str:
    """A name without tag and digest."""
    name = text.partition("@")[0]
    return name[: name.rfind("/") + 1] + name.rpartition("/")[2].partition(":")[0]


def _documents() -> list[dict[str, Any]]:
    """The files of the configuration, and last the one in which podman notes what its user chose."""
    from pycontainer.image.registries_conf import config_files, read  # 5 ms: TOML

    files = config_files()
    if not os.environ.get("CONTAINERS_REGISTRIES_CONF"):
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        chosen = f"{'/var/cache' if os.geteuid() == 0 else cache}/containers/short-name-aliases.conf"
        files += [chosen] if os.path.exists(chosen) else []
    return [{**read(path), "": path} for path in files]


def _aliases(documents: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Short name -> whole name, later files over earlier ones; one with "" is no alias any more."""
    found: dict[str, str] = {}
    for document in documents:
        table, path = document.get("aliases", {}), document[""]
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise RegistryError(f"{path}: aliases must be a table of names")
        for value in filter(None, table.values()):
            whole = has_registry(value) and _bare(value) == value
            _check(path, value, f"{value!r} is no whole name without a tag", whole)
        found |= table
    return found


def _search(documents: Sequence[dict[str, Any]]) -> tuple[list[str], str]:
    """The registries to be searched, and the mode; of several files, the last that says so."""
    registries: list[str] = []
    mode = ""
    for document in documents:
        path = document[""]
        registries = document.get("unqualified-search-registries", registries)
        mode = document.get("short-name-mode", mode)
        if not isinstance(registries, list) or not all(isinstance(host, str) for host in registries):
            raise RegistryError(f"{path}: unqualified-search-registries must be a list of hosts")
        if mode not in _MODES:
            raise RegistryError(f"{path}: short-name-mode must be one of {', '.join(_MODES[1:])}")
        for host in registries:
            _check(path, f"{host}/x", f"{host!r} is no registry", has_registry(f"{host}/x"))
    return registries, mode


def _check(path: str, name: str, problem: str, good: bool) -> None:
    try:
        Reference.parse(name)
    except InvalidReference:
        good = False
    if not good:
        raise RegistryError(f"{path}: {problem}")
