"""Where to ask for an image: containers-registries.conf(5), version 2.

Here are the ``[[registry]]`` tables: ``prefix``, ``location``, ``insecure``, ``blocked`` and their mirrors. What a name
without a registry means is in shortnames.py.
"""

from __future__ import annotations

import os

from pycontainer.errors import RegistryError
from pycontainer.image.reference import Reference
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any


_DOCKER_HUB = {"docker.io": "registry-1.docker.io"}


class Endpoint(Record):
    """One place that may have the image.

    Attributes:
        host: host or host:port.
        repository: the repository's path there.
        insecure: may be plain HTTP, or have a certificate that nobody vouches for.
        tls_only: must not be plain HTTP, even on this machine.
    """

    host: str
    repository: str
    insecure: bool = False
    tls_only: bool = False

    @property
    def is_loopback(self) -> bool:
        """True if what is sent there never leaves this machine."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """True for localhost, 127.0.0.0/8 and [::1], with or without a port."""
    name = host[: host.index("]") + 1] if host.startswith("[") else host.partition(":")[0].lower()
    parts = name.split(".")
    return name in ("localhost", "[::1]") or (len(parts) == 4 and parts[0] == "127" and all(p.isdigit() for p in parts))


def config_files() -> list[str]:
    """The files that apply to this user, later ones over earlier ones, or just CONTAINERS_REGISTRIES_CONF.

    A user's own registries.conf stands instead of the system's and its drop-ins; the user's drop-ins alone add to them.
    """
    if only := os.environ.get("CONTAINERS_REGISTRIES_CONF"):
        return [only]
    own = f"{os.environ.get('XDG_CONFIG_HOME') or os.path.expanduser('~/.config')}/containers"
    alone = os.path.exists(f"{own}/registries.conf")
    files = [f"{own if alone else '/etc/containers'}/registries.conf"]
    for directory in (own,) if alone else ("/etc/containers", own):
        drop_ins = f"{directory}/registries.conf.d"
        if os.path.isdir(drop_ins):
            files += sorted(f"{drop_ins}/{name}" for name in os.listdir(drop_ins) if name.endswith(".conf"))
    return [path for path in files if os.path.exists(path)]


def load(files: list[str] | None = None) -> list[dict[str, Any]]:
    """The ``[[registry]]`` tables of all files; of two with one prefix, the later.

    Raises:
        RegistryError: a file is not TOML, or is of version 1.
    """
    tables: dict[str, dict[str, Any]] = {}
    for path in config_files() if files is None else files:
        document = read(path)
        found = document.get("registry", [])
        if not _are_tables(found) or not all(_are_tables(table.get("mirror", [])) for table in found):
            raise RegistryError(
                f"{path}: registry and mirror must be tables, written [[registry]] and [[registry.mirror]]"
            )
        for table in found:
            prefix = table.get("prefix") or table.get("location")
            if not isinstance(prefix, str):
                raise RegistryError(f"{path}: a [[registry]] has neither prefix nor location")
            tables[prefix] = {**table, "prefix": prefix}
    return list(tables.values())


def read(path: str) -> dict[str, Any]:
    """One file.

    Raises:
        RegistryError: it is not TOML, or is of version 1.
    """
    import tomllib  # 5 ms, only when pulling

    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise RegistryError(f"can't read {path}: {getattr(error, 'strerror', '') or error}") from None
    if isinstance(document.get("registries"), dict):
        raise RegistryError(
            f"{path} is in version 1 of its format", hint="see containers-registries.conf(5), version 2"
        )
    return document


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("location", ""), str) for item in value
    )


def endpoints(reference: Reference, tables: list[dict[str, Any]], *, insecure: bool | None = None) -> list[Endpoint]:
    """Where to ask, in order: the mirrors, then the registry itself.

    Args:
        reference: what for.
        tables: as :func:`load` gives them.
        insecure: what the user says about all of them, whatever the tables say.

    Raises:
        RegistryError: the registry is blocked.
    """
    found = _endpoints(reference, tables)
    if insecure is None:
        return found
    return [endpoint._replace(insecure=insecure, tls_only=not insecure) for endpoint in found]


def _endpoints(reference: Reference, tables: list[dict[str, Any]]) -> list[Endpoint]:
    fitting = [table for table in tables if _fits(table["prefix"], reference.name)]
    if not fitting:
        return [_endpoint(reference.name, {})]
    table = max(fitting, key=lambda candidate: len(candidate["prefix"]))
    if table.get("blocked"):
        raise RegistryError(f"{table['prefix']} is blocked by registries.conf")
    found = []
    for mirror in table.get("mirror", []):
        only = mirror.get("pull-from-mirror", "digest-only" if table.get("mirror-by-digest-only") else "all")
        if only == "tag-only" and reference.digest:
            continue
        if only != "digest-only" or reference.digest:
            found.append(_endpoint(_relocate(reference.name, table["prefix"], mirror.get("location", "")), mirror))
    return [*found, _endpoint(_relocate(reference.name, table["prefix"], table.get("location", "")), table)]


def _fits(prefix: str, name: str) -> bool:
    if prefix.startswith("*."):
        return name.partition("/")[0].partition(":")[0].endswith(prefix[1:])
    return name == prefix or name.startswith(prefix + "/")


def _relocate(name: str, prefix: str, location: str) -> str:
    if not location:
        return name
    return location + (name[len(prefix) :] if not prefix.startswith("*.") else "/" + name.partition("/")[2])


def _endpoint(name: str, table: dict[str, Any]) -> Endpoint:
    host, _, repository = name.partition("/")
    return Endpoint(_DOCKER_HUB.get(host, host), repository, bool(table.get("insecure")))


def at(host: str, tables: list[dict[str, Any]], *, insecure: bool | None = None) -> Endpoint:
    """A registry itself, without a repository: for a login, or a search. ``insecure`` as of :func:`endpoints`."""
    host = _DOCKER_HUB.get(host, host)
    if insecure is not None:
        return Endpoint(host, "", insecure, tls_only=not insecure)
    places = [place for table in tables for place in (table, *table.get("mirror", []))]
    return Endpoint(host, "", any(place.get("insecure") and _host(place) == host for place in places))


def _host(table: dict[str, Any]) -> str:
    return str(table.get("location") or table.get("prefix") or "").partition("/")[0]
