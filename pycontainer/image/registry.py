"""The registry protocol (OCI distribution-spec 1.1), as much of it as a pull needs.

A registry may be down, slow, lying or hostile. So every body has a limit, every wait an end, every failure is one
RegistryError; redirects are followed here and not by the HTTP library, so that no Authorization crosses to another
host (CVE-2020-15157) and https never turns into http; and what comes is checked against its digest.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from pycontainer import __version__
from pycontainer.errors import RegistryError, VerificationError
from pycontainer.image import credentials as logins
from pycontainer.image import events, tls
from pycontainer.image.auth import basic, covers, parse_challenge, read_token, token_request
from pycontainer.image.events import Event, Listener
from pycontainer.image.failures import Broken, Untrusted, broken, broken_proxy, printable, retry_after
from pycontainer.image.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    DOCUMENT_MAX,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
)
from pycontainer.image.reference import is_digest
from pycontainer.image.registries_conf import Endpoint, is_loopback
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    import ssl
    from typing import Any

    import requests

    from pycontainer.image import brief

    Response = requests.Response | brief.Answer

Credentials = Callable[[str], tuple[str, str] | None]
"""Given a host, the user and password for it, or None. By default, those that ``pyc login`` and others have stored."""

ACCEPT = ", ".join((OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST))
_CHUNK = 1 << 20
_REDIRECTS_MAX = 5
_ERROR_BODY_MAX = 64 << 10
_TOKEN_BODY_MAX = 1 << 20
_RETRY_AFTER_MAX = 60.0
BUSY = (429, 500, 502, 503, 504)
_HEADERS = {"User-Agent": f"pycontainer/{__version__}", "Accept-Encoding": "identity"}
_VERBS = {"GET": "get", "HEAD": "ask for"}


class Patience(Record):
    """How long to put up with a registry. Times in seconds.

    Attributes:
        tries: how often to ask before giving up, the first time included.
        pause: before the second try; doubled for each further one, and blurred by half.
        connect: for a connection to come about.
        stall: without a byte, or with less than ``slowest`` bytes per second, until a transfer counts as dead.
    """

    tries: int = 5
    pause: float = 0.5
    connect: float = 10.0
    stall: float = 30.0
    slowest: int = 1024


class Document(Record):
    """A manifest or index as it came: bytes, the type it was announced as, and its digest, which was checked."""

    data: bytes
    media_type: str
    digest: str


class Body(Protocol):
    """What is sent with a request: it knows its length, and gives all its bytes to whoever iterates, every time."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...


class Call(Record):
    """A request, but for where it goes.

    Attributes:
        headers: without Authorization, which depends on where it goes.
        body: may be sent several times.
        large: body or answer is, or may be, the content of a blob.
    """

    method: str = "GET"
    headers: dict[str, str] = {}  # noqa: RUF012  a Record's default; nobody writes to it
    body: Body | bytes | None = None
    large: bool = False


class Registry:
    """One repository on one registry. Threads may share it.

    Attributes:
        listener: told about requests, tokens and retries, in the thread that makes them.
        scopes: what a token must allow, besides what the registry says when it asks for one.
        wants_identity: ask the token server for an identity token too, which can be kept instead of the password.
        identity: what it gave then, or "".
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        credentials: Credentials | None = None,
        listener: Listener = events.nobody,
        patience: Patience = Patience(),  # noqa: B008  immutable
        is_brief: bool = False,
    ) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: what to talk to.
            credentials, listener: as above.
            patience: how long to put up with it.
            is_brief: most likely no blob will be asked for or sent; else ``requests`` is loaded then.
        """
        self._endpoint = endpoint
        self._credentials = credentials or self._stored
        self._sent_login = False
        self.listener = listener
        self.scopes: tuple[str, ...] = ()
        self.wants_identity, self.identity = False, ""
        self._patience = patience
        self._session: requests.Session | None = None
        self._opening = threading.Lock()
        self._brief = self._open_brief() if is_brief else None
        self._authorization = ""
        self._authorizing = threading.Lock()
        self._base = ""  # scheme and host, once we know how to talk to it
        self._tls: set[str] = set()  # hosts that we know how to speak TLS with
        self._closed = False
        self._transfers: set[Response] = set()

    def close(self) -> None:
        """Close all connections. A transfer in another thread fails at once."""
        self._closed = True
        for response in list(self._transfers):
            with suppress(OSError, ValueError, RuntimeError, AttributeError):  # done meanwhile
                response.raw.shutdown()
        if self._brief:
            self._brief.close()
        if self._session:
            self._session.close()

    def _open_brief(self) -> brief.Session | None:
        from pycontainer.image import brief  # 8 ms

        return brief.Session(self._context) if self._endpoint.is_loopback or brief.is_enough() else None

    def _open(self) -> requests.Session:
        with self._opening:
            if self._session is None:
                import requests  # 40 ms

                session = requests.Session()
                session.auth = _no_netrc
                session.trust_env = not self._endpoint.is_loopback  # no proxy stands between us and this machine
                if self._endpoint.insecure:  # the user has said so; no need to warn at each request
                    import urllib3

                    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
                self._session = session
            return self._session

    def _context(self, host: str) -> ssl.SSLContext:
        """How to speak TLS with the registry, or with a host that it sends us to."""
        home = self._endpoint.host
        return tls.context(host, home, verify=host != home or not self._endpoint.insecure)

    def _stored(self, host: str) -> tuple[str, str] | None:
        return logins.find(f"{host}/{self._endpoint.repository}".rstrip("/"))

    # ---- what is asked for

    def check(self) -> None:
        """Ask for nothing but to be let in (distribution-spec, "Determining Support").

        Raises:
            RegistryError: it is no registry, or it doesn't want us.
        """
        self._answer("/v2/", Call(), "its API").close()

    def json(self, path: str, what: str) -> tuple[Any, str]:
        """A JSON document, and the path of its next page, or "" (distribution-spec, "Listing Tags").

        Args:
            path: below the repository, or from the root of the host if it begins with a slash.
            what: its name in errors.

        Raises:
            RegistryError: it does not exist, is no JSON, or the registry failed.
        """
        import json

        response, data = self._document(path, Call(), what)
        following = _next_page(response.headers.get("Link", ""))
        there = urljoin(response.url, following) if following else ""
        if there and _origin(there) != _origin(self._base):
            raise RegistryError(f"{self._endpoint.host} continues its {what} on another host")
        try:
            return json.loads(data), there.removeprefix(self._base)
        except (ValueError, RecursionError):
            raise RegistryError(
                f"{self._endpoint.host} sent something that is no JSON as {what}", hint="is it a registry?"
            ) from None

    def manifest(self, tag_or_digest: str) -> Document:
        """A manifest or index.

        Raises:
            RegistryError: it does not exist, or the registry failed.
            VerificationError: it is not what its digest says.
        """
        call = Call(headers={"Accept": ACCEPT})
        response, data = self._document(f"manifests/{tag_or_digest}", call, f"manifest {tag_or_digest}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type == "text/html":
            raise RegistryError(
                f"{self._endpoint.host} answered with a web page instead of a manifest",
                hint="is it a registry? a proxy or a login page may be in between",
            )
        promised = tag_or_digest if is_digest(tag_or_digest) else response.headers.get("Docker-Content-Digest", "")
        algorithm = promised.partition(":")[0] if is_digest(promised) else "sha256"
        digest = _digest(algorithm, data)
        if promised and digest != promised:
            raise VerificationError(
                f"manifest {tag_or_digest} of {self._endpoint.host} has digest {digest}, not {promised}"
            )
        return Document(data, media_type if media_type in MANIFEST_TYPES | INDEX_TYPES else "", digest)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from ``offset``, exactly as many as its descriptor says; continued after a cut.

        The caller checks the digest.

        Raises:
            RegistryError: the registry failed, or cut the transfer too often.
            VerificationError: the blob is longer or shorter.
        """
        failures = 0
        while offset < descriptor.size:
            before = offset
            try:
                for chunk in self._transfer(descriptor, offset):
                    offset += len(chunk)
                    yield chunk
            except Broken as error:
                failures = failures + 1 if offset - before < _CHUNK else 1
                if failures >= self._patience.tries:
                    raise RegistryError(
                        f"{self._endpoint.host}: transfer of {descriptor.digest} broke at byte {offset}: {error}",
                        hint="pull again: it continues there",
                    ) from None
                self._pause(failures, f"transfer broke at byte {offset}: {error}")

    def _transfer(self, descriptor: Descriptor, offset: int) -> Iterator[bytes]:
        """One GET of a blob."""
        call = Call(headers={"Range": f"bytes={offset}-{descriptor.size - 1}"} if offset else {}, large=True)
        response = self._answer(f"blobs/{descriptor.digest}", call, f"blob {descriptor.digest}")
        with response:
            skip = offset if response.status_code == 200 else 0  # it ignored the Range
            if response.status_code == 206:
                _check_range(response, descriptor, offset)
            else:
                _check_length(response, descriptor)
            left = descriptor.size - offset
            for chunk in self._body(response):
                if skip:
                    skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
                if len(chunk) > left:
                    raise VerificationError(
                        f"blob {descriptor.digest} is longer than the {descriptor.size} bytes promised"
                    )
                if chunk:
                    left -= len(chunk)
                    yield chunk
            if left:
                raise Broken("the answer ended early")

    # ---- one request

    def _answer(self, path: str, call: Call, what: str, good: Collection[int] = (200, 206)) -> Response:
        """A successful answer, as ``good`` lists them, to a call below the repository or at a whole address.

        Raises:
            RegistryError: none came, however patient we were.
        """
        last = ""
        for attempt in range(1, self._patience.tries + 1):
            try:
                response = self._authorized(path, call)
            except Broken as error:
                last = str(error)
                self._pause(attempt, last)
                continue
            if response.status_code not in BUSY:
                if response.status_code in good:
                    return response
                raise self._refusal(response, what)
            last = f"answered {response.status_code} {response.reason}"
            wait = retry_after(response)
            if wait and wait > _RETRY_AFTER_MAX:
                said = self._error_text(response)
                raise RegistryError(
                    f"{self._endpoint.host}: can't {_VERBS.get(call.method, 'send')} {what}: {last}{said}",
                    hint=f"it asks us to come back in {wait / 60:.0f} minutes",
                )
            response.close()
            self._pause(attempt, last, wait)
        did = f"{_VERBS.get(call.method, 'send')} {what}"
        raise RegistryError(
            f"{self._endpoint.host}: can't {did}: {last}, {self._patience.tries} times", hint="try again later"
        )

    def _pause(self, attempt: int, why: str, wanted: float | None = None) -> None:
        if attempt >= self._patience.tries:
            return
        wait = self._patience.pause * 2 ** (attempt - 1) * (0.5 + random.random())
        wait = min(max(wait, wanted or 0.0), _RETRY_AFTER_MAX)
        self.listener(Event("retry", text=f"{self._endpoint.host} {why}; trying again in {wait:.1f} s"))
        deadline = time.monotonic() + wait
        while not self._closed and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise RegistryError("the pull was given up")

    def _authorized(self, path: str, call: Call) -> Response:
        """Ask; if the registry wants to know who we are, find out how to tell it, and ask again."""
        sent = self._authorization
        response = self._followed(path, call)
        if response.status_code == 401 and self._authorize(response, sent):
            response = self._followed(path, call)
            if response.status_code == 401:  # its clock may be behind the one that made the token
                response.close()
                time.sleep(1)
                response = self._followed(path, call)
        return response

    def _followed(self, path: str, call: Call) -> Response:
        """Ask, and follow redirects, which storage backends use for blobs."""
        response = self._first(path, call) if not self._base else self._send(self._url(self._base, path), call)
        for _ in range(_REDIRECTS_MAX):
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            here, location = response.url, response.headers.get("Location", "")
            response.close()
            there = urljoin(here, location)
            self._check_redirect(here, there)
            response = self._send(there, call)
            if response.status_code in (401, 403) and _origin(there) != _origin(self._base):
                response.close()
                raise Broken(f"was refused by {urlsplit(there).netloc}, to which it redirects")
        response.close()
        raise RegistryError(f"{self._endpoint.host} redirects in circles")

    def _url(self, base: str, path: str) -> str:
        if "://" in path:
            return path
        return f"{base}{path}" if path.startswith("/") else f"{base}/v2/{self._endpoint.repository}/{path}"

    def _check_redirect(self, here: str, there: str) -> None:
        old, new = urlsplit(here), urlsplit(there)
        if new.scheme not in ("http", "https") or not new.hostname:
            raise RegistryError(f"{old.netloc} redirects to something that is no web address")
        plain_is_fine = old.scheme == "http" and (is_loopback(new.netloc) or self._endpoint.insecure)
        if new.scheme == "http" and not plain_is_fine:
            raise RegistryError(f"{old.netloc} redirects to {new.netloc} over plain HTTP, which is refused")

    def _first(self, path: str, call: Call) -> Response:
        """The first request, which finds out how to talk to the registry."""
        host, insecure = self._endpoint.host, self._endpoint.insecure
        ways = ["http", "https"] if self._endpoint.is_loopback else ["https", "http"] if insecure else ["https"]
        problem: Broken | None = None
        for scheme in ways:
            base = f"{scheme}://{host}"
            try:
                response = self._send(self._url(base, path), call)
            except Broken as error:
                problem = error if problem is None or isinstance(error, Untrusted) else problem
                if error.silent:
                    break
                continue
            if scheme == "http" and len(ways) > 1 and response.status_code == 400:  # "plain HTTP sent to an HTTPS port"
                problem = problem or Broken("answered 400 to plain HTTP", hopeless=True)
                response.close()
                continue
            self._base = base
            return response
        assert problem is not None
        if problem.hopeless or problem.silent:
            raise RegistryError(f"can't reach registry {host}: {problem}", hint=problem.hint)
        raise problem

    def _send(self, url: str, call: Call) -> Response:
        """One request without redirects; Authorization only to the registry itself."""
        from http.client import HTTPException

        self._check_open()
        headers = {**_HEADERS, **call.headers}
        if self._authorization and self._base and _origin(url) == _origin(self._base):
            headers["Authorization"] = self._authorization
        where = urlsplit(url)
        self.listener(Event("request", text=f"{call.method} {where._replace(query='').geturl()}"))
        timeout = self._patience.connect, self._patience.stall
        try:
            if self._brief and not call.large:
                assert call.body is None or isinstance(call.body, bytes)
                return self._brief.request(call.method, url, headers, call.body, timeout)
            session = self._open()
            if where.scheme == "https" and where.netloc not in self._tls:
                tls.mount(session, where.netloc, self._context(where.netloc))
                self._tls.add(where.netloc)
            return session.request(
                call.method,
                url,
                headers=headers,
                data=call.body,
                stream=True,
                allow_redirects=False,
                timeout=timeout,
            )
        except (OSError, HTTPException, ValueError) as error:  # OSError: those of requests are, too
            self._check_open()
            if type(error).__name__ == "ProxyError":  # of requests, which may not be loaded
                raise broken_proxy(url, error) from None
            raise broken(error) from None

    # ---- bodies

    def _body(self, response: Response) -> Iterator[bytes]:
        """The body as it arrives.

        Raises:
            Broken: cut, or slower than we have patience for. Time that our reader takes does not count.
        """
        self._transfers.add(response)
        try:
            yield from self._chunks(response)
        finally:
            self._transfers.discard(response)

    def _chunks(self, response: Response) -> Iterator[bytes]:
        spent, received = 0.0, 0
        while True:
            start = time.monotonic()
            try:
                chunk: bytes = response.raw.read1(_CHUNK, decode_content=False)
            except (
                Exception
            ) as error:  # urllib3's, http.client's and socket's, and AttributeError when closed meanwhile
                self._check_open()
                raise broken(error) from None
            if not chunk:
                return
            yield chunk
            spent, received = spent + time.monotonic() - start, received + len(chunk)
            if spent > self._patience.stall:
                if received < self._patience.slowest * spent:
                    raise Broken(f"sent only {received} bytes in {spent:.0f} s")
                spent, received = 0.0, 0

    def _document(self, path: str, call: Call, what: str) -> tuple[Response, bytes]:
        """An answer that must be small, and its whole body; asked for again if it is cut."""
        for attempt in range(1, self._patience.tries + 1):
            try:
                with self._answer(path, call, what) as response:
                    return response, self._small_body(response, DOCUMENT_MAX, what)
            except Broken as error:
                last = f"{what} was cut: {error}"
                self._pause(attempt, last)
        raise RegistryError(f"{self._endpoint.host}: {last}, {self._patience.tries} times", hint="try again later")

    def _small_body(self, response: Response, limit: int, what: str) -> bytes:
        """A whole body that must be small.

        Raises:
            Broken: it was cut.
        """
        data = b""
        for chunk in self._body(response):
            data += chunk
            if len(data) > limit:
                raise RegistryError(f"{self._endpoint.host} sent a {what} larger than {limit >> 10} KiB")
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and len(data) < int(length):  # read1 of urllib3 does not tell
            raise Broken("the answer ended early")
        return data

    def _refusal(self, response: Response, what: str) -> RegistryError:
        """The error for a status that will not change by asking again."""
        host, repository, status = self._endpoint.host, self._endpoint.repository, response.status_code
        said = self._error_text(response)
        response.close()
        if status == 404:
            if what.startswith("manifest "):
                missing = what.removeprefix("manifest ")
                return RegistryError(
                    f"{host} has no image {repository}{'@' if is_digest(missing) else ':'}{missing}{said}",
                    hint="check the name and the tag",
                )
            return RegistryError(f"{host} lacks {what} of {repository}{said}", hint="the image there is damaged")
        if status == 401:
            asked = f"{host} wants authentication" + (f" for {repository}" if repository else "")
            if self._sent_login:
                return RegistryError(f"{asked} and refuses user or password{said}", hint=f"pyc login {host}")
            return RegistryError(f"{asked}{said}", hint="check the name; a private image needs 'pyc login' first")
        if status == 403:
            return RegistryError(f"{host} denies access to {repository}{said}", hint="check the name and your login")
        return RegistryError(f"{host} answered {status} {printable(response.reason)} for {what}{said}")

    def _error_text(self, response: Response) -> str:
        """What the registry said, as ": text", if it is the protocol's JSON (distribution-spec, error codes)."""
        import json

        try:
            text = json.loads(self._small_body(response, _ERROR_BODY_MAX, "error"))["errors"][0]["message"]
        except (Broken, RegistryError, ValueError, KeyError, IndexError, TypeError, RecursionError):
            return ""
        return f": {printable(text)}" if isinstance(text, str) else ""

    # ---- authentication

    def _authorize(self, response: Response, sent: str) -> bool:
        """Find an Authorization that answers a 401; False if there is none. Another thread may have been faster."""
        challenges = response.headers.get("WWW-Authenticate", "")
        host_answered = _origin(response.url)
        with self._authorizing:
            if self._authorization != sent:
                response.close()
                return True
            if host_answered != _origin(self._base):
                return False
            scheme, fields = parse_challenge(challenges)
            if scheme == "bearer":
                response.close()
                self._authorization = "Bearer " + self._token(fields)
                return True
            login = self._credentials(self._endpoint.host) if scheme == "basic" and not sent else None
            if login is None:
                return False
            self._check_may_hear(self._base)
            self._sent_login = True
            response.close()
            self._authorization = basic(*login)
            return True

    def _token(self, fields: dict[str, str]) -> str:
        """A bearer token from the server that the challenge names (distribution-spec, token authentication)."""
        realm = fields.get("realm", "")
        where = urlsplit(realm)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise RegistryError(
                f"{self._endpoint.host} wants a token from {printable(realm)!r}, which is no web address"
            )
        self._check_may_hear(realm)
        everything = f"repository:{self._endpoint.repository}:pull" if self._endpoint.repository else ""
        asked = fields.get("scope") or everything
        more = (scope for scope in asked.split() if not any(covers(ours, scope) for ours in self.scopes))
        scopes = [*self.scopes, *more]
        login = self._credentials(self._endpoint.host)
        self._sent_login = bool(login)
        url, method, headers, body = token_request(
            realm, fields.get("service", ""), scopes, login, offline=self.wants_identity
        )
        what = f"{'a' if login else 'an anonymous'} token for {printable(' '.join(scopes)) or 'a login'}"
        self.listener(Event("token", text=f"{where.netloc} gives {what}"))
        for attempt in range(1, self._patience.tries + 1):
            try:
                response = self._send(url, Call(method, headers, body))
            except Broken as error:
                if error.hopeless or attempt == self._patience.tries:
                    raise RegistryError(f"can't reach token server {where.netloc}: {error}", hint=error.hint) from None
                self._pause(attempt, str(error))
                continue
            with response:
                if response.status_code in BUSY and attempt < self._patience.tries:
                    self._pause(attempt, f"(token) answered {response.status_code}", retry_after(response))
                    continue
                if login and response.status_code in (401, 403):
                    shown = "the identity token" if login[0] == logins.TOKEN_USER else "user or password"
                    raise RegistryError(
                        f"token server {where.netloc} refuses {shown} for {self._endpoint.host}",
                        hint=f"pyc login {self._endpoint.host}",
                    )
                if response.status_code != 200:
                    raise RegistryError(
                        f"token server {where.netloc} answered {response.status_code} {printable(response.reason)}",
                        hint="check the name; a private image needs 'pyc login' first",
                    )
                try:
                    given = read_token(self._small_body(response, _TOKEN_BODY_MAX, "token"), where.netloc)
                except Broken as error:
                    if attempt == self._patience.tries:
                        raise RegistryError(f"token server {where.netloc}: its token was cut: {error}") from None
                    self._pause(attempt, f"(token) was cut: {error}")
                    continue
                self.identity = given.identity if self.wants_identity else ""
                return given.token
        raise AssertionError

    def _check_may_hear(self, url: str) -> None:
        """Secrets and tokens travel over https, or on this machine, or to an insecure registry itself."""
        where, host = urlsplit(url), urlsplit(self._base).hostname
        at_home = self._endpoint.is_loopback and is_loopback(where.netloc)
        if where.scheme != "https" and not at_home and not (self._endpoint.insecure and where.hostname == host):
            raise RegistryError(f"{where.netloc} wants authentication over plain HTTP, which is refused")


def _next_page(links: str) -> str:
    """The address of the next page in a Link header (RFC 8288), or ""."""
    from requests.utils import parse_header_links

    found = parse_header_links(links) if links else []
    return next((link["url"] for link in found if link.get("rel") == "next"), "")


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """requests would send the password that ~/.netrc has for a host; a session with an ``auth`` of its own does not."""
    return request


def _origin(url: str) -> tuple[str, str]:
    where = urlsplit(url)
    return where.scheme, where.netloc


def _check_range(response: Response, descriptor: Descriptor, offset: int) -> None:
    expected = f"bytes {offset}-{descriptor.size - 1}/"
    found = response.headers.get("Content-Range", "")
    if not found.startswith(expected) or found[len(expected) :] not in (str(descriptor.size), "*"):
        raise VerificationError(
            f"blob {descriptor.digest}: the registry sent {printable(found)!r} instead of {expected}{descriptor.size}"
        )


def _check_length(response: Response, descriptor: Descriptor) -> None:
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != descriptor.size:
        raise VerificationError(f"blob {descriptor.digest} has {length} bytes, not the {descriptor.size} promised")


def _digest(algorithm: str, data: bytes) -> str:
    import hashlib

    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
