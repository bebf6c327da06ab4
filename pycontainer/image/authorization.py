"""Who we are, to a registry: what to send with each request so that it lets us in.

A registry answers 401 with a challenge; a password answers it (Basic), or a token from the server that it names
(distribution-spec, token authentication). Both are found out once and sent from then on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from pycontainer.errors import RegistryError
from pycontainer.image import credentials as logins
from pycontainer.image.auth import Given, basic, covers, parse_challenge, read_token, token_request
from pycontainer.image.events import Event
from pycontainer.image.failures import Broken, printable, retry_after
from pycontainer.image.registries_conf import is_loopback
from pycontainer.image.transport import BUSY, Call, Transport, origin, web_address
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.transport import Response

Credentials = Callable[[str], tuple[str, str] | None]
"""Given a host, the user and password for it, or None. By default, those that ``pyc login`` and others have stored."""

_TOKEN_BODY_MAX = 1 << 20


class Authorization:
    """How we get into one registry. Threads may share it.

    Attributes:
        scopes: what a token must allow, besides what the registry says when it asks for one.
        wants_identity: ask the token server for an identity token too, which can be kept instead of the password.
        identity: what it gave then, or "".
        has_sent_login: whether a user and password, or an identity token, were shown.
    """

    def __init__(self, transport: Transport, credentials: Credentials | None) -> None:
        self._transport, self._endpoint = transport, transport.endpoint
        self._credentials = credentials or self._stored
        self._answering = threading.Lock()
        self.scopes: tuple[str, ...] = ()
        self.wants_identity, self.identity, self.has_sent_login = False, "", False

    def _stored(self, host: str) -> tuple[str, str] | None:
        return logins.find(f"{host}/{self._endpoint.repository}".rstrip("/"))

    def answer(self, response: Response, sent: str) -> bool:
        """Find an Authorization that answers a 401; False if there is none. Another thread may have been faster."""
        challenges = response.headers.get("WWW-Authenticate", "")
        host_answered = origin(response.url)
        with self._answering:
            if self._transport.authorization != sent:
                response.close()
                return True
            if host_answered != origin(self._transport.base):
                return False
            scheme, fields = parse_challenge(challenges)
            if scheme == "bearer":
                response.close()
                self._transport.authorization = "Bearer " + self._token(fields)
                return True
            login = self._credentials(self._endpoint.host) if scheme == "basic" and not sent else None
            if login is None:
                return False
            self._check_may_hear(self._transport.base)
            self.has_sent_login = True
            response.close()
            self._transport.authorization = basic(*login)
            return True

    def _token(self, fields: dict[str, str]) -> str:
        """A bearer token from the server that the challenge names."""
        host, realm = self._endpoint.host, web_address(fields.get("realm", ""))
        if not realm:
            wanted = printable(fields.get("realm", ""))
            raise RegistryError(f"{host} wants a token from {wanted!r}, which is no web address")
        self._check_may_hear(realm)
        scopes, login = self._all_scopes(fields.get("scope", "")), self._credentials(host)
        self.has_sent_login = bool(login)
        url, method, headers, body = token_request(
            realm, fields.get("service", ""), scopes, login, offline=self.wants_identity
        )
        what = f"{'a' if login else 'an anonymous'} token for {printable(' '.join(scopes)) or 'a login'}"
        self._transport.listener(Event("token", text=f"{printable(urlsplit(realm).netloc)} gives {what}"))
        given = self._ask(url, Call(method, headers, body), login)
        self.identity = given.identity if self.wants_identity else ""
        return given.token

    def _all_scopes(self, asked: str) -> list[str]:
        """Ours, and what the challenge asks for beyond them."""
        repository = self._endpoint.repository
        asked = asked or (f"repository:{repository}:pull" if repository else "")
        more = (scope for scope in asked.split() if not any(covers(ours, scope) for ours in self.scopes))
        return [*self.scopes, *more]

    def _ask(self, url: str, call: Call, login: tuple[str, str] | None) -> Given:
        """What a token server gives, asked as often as our patience allows."""
        server, tries = printable(urlsplit(url).netloc), self._transport.patience.tries
        for attempt in range(1, tries + 1):
            try:
                response = self._transport.send(url, call)
            except Broken as error:
                if error.hopeless or attempt == tries:
                    raise RegistryError(f"can't reach token server {server}: {error}", hint=error.hint) from None
                self._transport.pause(attempt, str(error))
                continue
            with response:
                if response.status_code in BUSY and attempt < tries:
                    self._transport.pause(attempt, f"(token) answered {response.status_code}", retry_after(response))
                    continue
                self._check_accepted(response, server, login)
                try:
                    return read_token(self._transport.small_body(response, _TOKEN_BODY_MAX, "token"), server)
                except Broken as error:
                    if attempt == tries:
                        raise RegistryError(f"token server {server}: its token was cut: {error}") from None
                    self._transport.pause(attempt, f"(token) was cut: {error}")
        raise AssertionError

    def _check_accepted(self, response: Response, server: str, login: tuple[str, str] | None) -> None:
        if login and response.status_code in (401, 403):
            shown = "the identity token" if login[0] == logins.TOKEN_USER else "user or password"
            raise RegistryError(
                f"token server {server} refuses {shown} for {self._endpoint.host}",
                hint=f"pyc login {self._endpoint.host}",
            )
        if response.status_code != 200:
            raise RegistryError(
                f"token server {server} answered {response.status_code} {printable(response.reason)}",
                hint="check the name; a private image needs 'pyc login' first",
            )

    def _check_may_hear(self, url: str) -> None:
        """Secrets and tokens travel over https, or on this machine, or to an insecure registry itself."""
        where, host = urlsplit(url), urlsplit(self._transport.base).hostname
        at_home = self._endpoint.is_loopback and is_loopback(where.netloc)
        if where.scheme != "https" and not at_home and not (self._endpoint.insecure and where.hostname == host):
            raise RegistryError(f"{printable(where.netloc)} wants authentication over plain HTTP, which is refused")
