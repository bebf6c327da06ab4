"""A token server for Debian's docker-registry: who may do what, told in tokens that it signs.

Source: distribution, "Token Authentication Specification" and "OAuth2 Token Authentication"; RFC 7519. The registry
takes a token for 60 seconds longer than it says, so its end is set that much earlier.
"""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.serving import Serving

SERVICE = "test registry"
_ISSUER = "test tokens"
_LEEWAY = 60


class Asked(NamedTuple):
    """One request for a token. ``user`` is "" for anybody, ``how`` is GET or the grant type of a POST."""

    how: str
    user: str
    scopes: tuple[str, ...]


@dataclass
class TokenServer(Serving):
    """Usable as a context manager; listens on a loopback port.

    Attributes:
        directory: for its key and certificate.
        users: who may do everything, with their passwords.
        identities: identity token -> user.
        public: repositories that anybody may pull from.
        lifetime: seconds for which the registry takes a token, and up to one more: it counts whole ones.
        gives_identity: whoever asks for an ``offline_token`` with his password gets an identity token.
        asked: every request, in order.
    """

    directory: str
    users: dict[str, str] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    lifetime: float = 300
    gives_identity: bool = False
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={_ISSUER}",
             "-keyout", "token.key", "-out", "token.crt"],
            cwd=self.directory, check=True, capture_output=True,
        )  # fmt: skip
        return super().__enter__()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _Handler

    @property
    def realm(self) -> str:
        return f"http://{self.address}/token"

    @property
    def auth(self) -> dict[str, object]:
        """The ``auth`` section of a registry that believes us."""
        bundle = f"{self.directory}/token.crt"
        words = {"realm": self.realm, "service": SERVICE, "issuer": _ISSUER, "rootcertbundle": bundle}
        return {"token": words}

    def granted(self, user: str, scopes: list[str]) -> list[dict[str, object]]:
        """What of the scopes a user may do."""
        found: list[dict[str, object]] = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            may = actions.split(",") if user else ["pull"] if name in self.public else []
            found.append({"type": kind, "name": name, "actions": [each for each in actions.split(",") if each in may]})
        return found

    def sign(self, user: str, scopes: list[str]) -> str:
        now = time.time()
        with open(f"{self.directory}/token.crt") as file:
            certificate = "".join(line.strip() for line in file if "-----" not in line)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        claims = {
            "iss": _ISSUER, "sub": user, "aud": SERVICE, "nbf": int(now) - 5, "iat": int(now),
            "exp": math.ceil(now + self.lifetime - _LEEWAY), "jti": os.urandom(4).hex(),
            "access": self.granted(user, scopes),
        }  # fmt: skip
        text = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        sign = ["openssl", "dgst", "-sha256", "-sign", f"{self.directory}/token.key"]
        signature = subprocess.run(sign, input=text, capture_output=True, check=True).stdout
        return (text + b"." + _base64(signature)).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class _Handler(BaseHTTPRequestHandler):
    """One request for a token."""

    protocol_version = "HTTP/1.1"

    @property
    def tokens(self) -> TokenServer:
        return self.server.owner  # type: ignore[attr-defined, no-any-return]

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        scopes = [scope for text in query.get("scope", []) for scope in text.split()]
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(text).decode().partition(":") if kind == "Basic" else ("", "", "")
        self.tokens.asked.append(Asked("GET", user, tuple(scopes)))
        if user and self.tokens.users.get(user) != password:
            return self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]})
        more = {}
        if user and self.tokens.gives_identity and query.get("offline_token") == ["true"]:
            identity = os.urandom(8).hex()
            self.tokens.identities[identity] = user
            more = {"refresh_token": identity}
        return self._answer(200, {"token": self.tokens.sign(user, scopes), **more})

    def do_POST(self) -> None:
        form = parse_qs(self._body().decode())
        scopes, grant = form.get("scope", [""])[0].split(), form.get("grant_type", [""])[0]
        user = self.tokens.identities.get(form.get("refresh_token", [""])[0], "")
        self.tokens.asked.append(Asked(grant, user, tuple(scopes)))
        if grant != "refresh_token" or not user or form.get("service") != [SERVICE]:
            return self._answer(401, {"error": "invalid_grant"})
        return self._answer(200, {"access_token": self.tokens.sign(user, scopes), "scope": " ".join(scopes)})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
