"""``pyc login`` and ``logout``: let a registry check who we are, and keep what it accepted."""

from __future__ import annotations

import re

from pycontainer.errors import UsageError
from pycontainer.image import credentials
from pycontainer.image.credentials import HUB, Login, Saved
from pycontainer.image.registries_conf import at, load
from pycontainer.image.registry import Credentials, Patience, Registry

__all__ = ["Login", "Saved", "login", "logout", "logout_everywhere", "registry_name", "stored"]

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")


def registry_name(text: str) -> str:
    """``host`` or ``host:port`` of what a user calls a registry, which may be its address; Docker Hub for nothing.

    Raises:
        UsageError: it is neither.
    """
    host = re.sub(r"^https?://", "", text).partition("/")[0] or HUB
    if not _HOST.fullmatch(host):
        raise UsageError(f"{text!r} is not the name of a registry", hint="HOST or HOST:PORT")
    return HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def stored(host: str) -> Login | None:
    """The login that is kept for a registry."""
    return credentials.find(host)


def login(
    host: str,
    who: Login,
    *,
    insecure: bool | None = None,
    patience: Patience = Patience(),  # noqa: B008  immutable
) -> Saved:
    """Show a login to a registry, and keep it if that lets us in; or an identity token, if it gives one for it.

    Raises:
        RegistryError: it can't be reached, or refuses; or a credential helper failed.
        StoreError: the login can't be written.
    """
    identity = check(host, who, insecure=insecure, patience=patience)
    return credentials.save(host, Login(credentials.TOKEN_USER, identity) if identity else who)


def check(
    host: str,
    who: Login,
    *,
    insecure: bool | None = None,
    patience: Patience = Patience(),  # noqa: B008  immutable
) -> str:
    """Show a login to a registry.

    Returns:
        an identity token that may be kept in its place, or "".

    Raises:
        RegistryError: it can't be reached, or refuses.
    """
    registry = Registry(at(host, load(), insecure=insecure), credentials=lambda asked: who, patience=patience)
    registry.authorization.wants_identity = who.user != credentials.TOKEN_USER
    try:
        registry.check()
        return registry.authorization.identity
    finally:
        registry.close()


def for_registry_of(name: str, who: Login | None) -> Credentials | None:
    """Credentials that show a login to the registry of an image, and to its mirrors what is stored for them.

    Raises:
        UsageError: the name may be that of several registries.
    """
    if who is None:
        return None
    from pycontainer.engine.image.obtain import REGISTRY
    from pycontainer.engine.image.push import destination
    from pycontainer.image.shortnames import candidates

    found = candidates(name.removeprefix(REGISTRY))
    if len(found) > 1:
        raise UsageError(f"{name} may be in several registries: which one is the login for?", hint="write all of it")
    home = destination(found[0]).host
    return lambda host: who if host == home else credentials.find(host)


def logout(host: str) -> list[str]:
    """Forget the login for a registry.

    Returns:
        the files and helpers that had it.
    """
    return credentials.erase(host)


def logout_everywhere() -> list[str]:
    """Forget all logins.

    Returns:
        the files and helpers that had some.
    """
    return credentials.erase_all()
