"""The words of HTTP authentication: challenges, Basic, and the answer of a token server."""

from __future__ import annotations

import base64
import json

from pycontainer.errors import RegistryError
from pycontainer.record import Record


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
