"""The flags of all commands that speak with a registry: podman's ``--authfile``, ``--creds`` and ``--tls-verify``."""

from __future__ import annotations

import os

from pycontainer.cli import declare
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pycontainer.image.credentials import Login


def authfile_flag(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--authfile``."""
    return declare.option(
        "--authfile",
        metavar="FILE",
        expose_value=False,
        callback=_use,
        help="Keep logins in this file, as REGISTRY_AUTH_FILE does",
    )(command)


def registry_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--authfile``, and ``--tls-verify`` as its argument ``tls_verify``: None if nothing was said."""
    verify = "Insist on TLS and a good certificate, or with =false on neither; else as registries.conf says"
    return authfile_flag(declare.option("--tls-verify/--no-tls-verify", default=None, help=verify)(command))


def creds_flag(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--creds`` as its argument ``creds``: a login for this time, or None."""
    about = "Show this login to the registry; the password is asked for, or a line of stdin"
    return declare.option("--creds", metavar="USER", callback=_login, help=about)(command)


def _use(context: object, option: object, path: str | None) -> None:
    if path:
        os.environ["REGISTRY_AUTH_FILE"] = os.path.join(os.getcwd(), path)


def _login(context: object, option: object, text: str | None) -> Login | None:
    if text is None:
        return None
    from pycontainer.cli import secret

    user, colon, password = text.partition(":")
    if colon:
        secret.hide(password)
        secret.warn("--creds", f"Use '--creds {user}': it is asked for, or read from stdin.")
    return secret.login(user, password if colon else secret.ask())


def insecure(tls_verify: bool | None) -> bool | None:
    """What the engine calls it."""
    return None if tls_verify is None else not tls_verify
