"""The words of HTTP authentication: challenges, Basic, and the answer of a token server."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode, urlsplit

from pycontainer.errors import RegistryError
from pycontainer.image.credentials import TOKEN_USER
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Sequence


def parse_challenge(header: str) -> tuple[str, dict[str, str]]:
    """The first Bearer or Basic challenge of a WWW-Authenticate header (RFC 9110, 11.6.1), Bearer preferred.

    Returns:
        the scheme in lower case, "" if there is neither; and its parameters.
    """
    found: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    rest = header[:8192].strip()
    while rest:
        word, rest = _word(rest)
        if not word:
            break
        if rest.startswith("="):
            value, rest = _value(rest[1:])
            fields[word.lower()] = value
        else:
            fields = found.setdefault(word.lower(), {})
        rest = rest.lstrip(" \t,")
    for scheme in ("bearer", "basic"):
        if scheme in found:
            return scheme, found[scheme]
    return "", {}


def _word(text: str) -> tuple[str, str]:
    end = next((at for at, char in enumerate(text) if char in ' \t,="'), len(text))
    return text[:end], text[end:].lstrip(" \t") if text[end : end + 1] in (" ", "\t") else text[end:]


def _value(text: str) -> tuple[str, str]:
    text = text.lstrip(" \t")
    if not text.startswith('"'):
        return _word(text)
    value, at = [], 1
    while at < len(text) and text[at] != '"':
        at += text[at] == "\\"
        value.append(text[at : at + 1])
        at += 1
    return "".join(value), text[at + 1 :]


class Given(Record):
    """What a token server gives; never shows it.

    Attributes:
        token: to be sent with every request, until the registry wants another one.
        identity: to be kept instead of a password, to ask for tokens later; "" if none was given.
    """

    token: str
    identity: str = ""

    def __repr__(self) -> str:
        """Nothing."""
        return "Given(...)"


def read_token(data: bytes, host: str) -> Given:
    """The answer of a token server (distribution, "Token Authentication Specification" and "OAuth2 ...").

    Raises:
        RegistryError: there is no token that could be sent in a header.
    """
    try:
        answer = json.loads(data)
        token = answer.get("token") or answer.get("access_token")
        identity = answer.get("refresh_token")
    except (ValueError, AttributeError, RecursionError):
        token = identity = None
    if not _fits_a_header(token):
        raise RegistryError(f"token server {host} gave no usable token")
    return Given(token, identity if _fits_a_header(identity) else "")


def _fits_a_header(token: object) -> bool:
    return isinstance(token, str) and token.isascii() and token.isprintable() and bool(token) and " " not in token


def basic(user: str, password: str) -> str:
    """The Authorization header for a user and password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def token_request(
    realm: str, service: str, scopes: Sequence[str], login: tuple[str, str] | None, *, offline: bool
) -> tuple[str, str, dict[str, str], bytes | None]:
    """How to ask for a token: with a password by GET, with an identity token by POST (distribution, OAuth2).

    Args:
        realm, service: as the challenge has them.
        scopes: what the token shall allow.
        login: user and password, or TOKEN_USER and an identity token; None to ask as anybody.
        offline: ask for an identity token as well.

    Returns:
        address, method, headers and body.
    """
    if login and login[0] == TOKEN_USER:
        form = {"grant_type": "refresh_token", "client_id": "pycontainer", "service": service}
        body = urlencode({**form, "scope": " ".join(scopes), "refresh_token": login[1]}).encode()
        return realm, "POST", {"Content-Type": "application/x-www-form-urlencoded"}, body
    fields = [("service", service)] if service else []
    fields += [("client_id", "pycontainer"), ("offline_token", "true")] if offline and login else []
    query = urlencode([*fields, *(("scope", scope) for scope in scopes)])
    url = realm + ("&" if urlsplit(realm).query else "?") + query if query else realm
    return url, "GET", {"Authorization": basic(*login)} if login else {}, None


def covers(scope: str, wanted: str) -> bool:
    """Whether a scope, ``repository:NAME:ACTION,...``, allows all that another one does."""
    thing, _, allowed = scope.rpartition(":")
    other, _, actions = wanted.rpartition(":")
    return other == thing and set(actions.split(",")) <= set(allowed.split(","))
