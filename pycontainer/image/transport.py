"""HTTP with a registry, and with the hosts that it sends us to: connections, redirects, retries and bodies.

A registry may be down, slow, lying or hostile. So every body has a limit, every wait an end, and every failure is
Broken, which may go away, or a RegistryError. Redirects are followed here and not by the HTTP library, so that no
Authorization crosses to another host (CVE-2020-15157) and https never turns into http.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from pycontainer import __version__
from pycontainer.errors import RegistryError
from pycontainer.image import tls
from pycontainer.image.events import Event, Listener
from pycontainer.image.failures import Broken, Untrusted, broken, broken_proxy, number_in, printable
from pycontainer.image.registries_conf import Endpoint, is_loopback
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    import ssl

    import requests

    from pycontainer.image import brief

    Response = requests.Response | brief.Answer

BUSY = (429, 500, 502, 503, 504)
"""Statuses of a server that may answer in another way when asked again."""
WAIT_MAX = 60.0
"""Seconds that we wait before another try, whatever the server wishes."""
CHUNK = 1 << 20
_REDIRECTS_MAX = 5
_HEADERS = {"User-Agent": f"pycontainer/{__version__}", "Accept-Encoding": "identity"}


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


class Transport:
    """Requests to one registry. Threads may share it.

    Attributes:
        endpoint: what it talks to.
        patience: how long it puts up with it.
        listener: told about requests and retries, in the thread that makes them.
        authorization: the header that the registry itself gets with every request, or "".
        base: scheme and host of the registry, "" until we know how to talk to it.
    """

    def __init__(self, endpoint: Endpoint, listener: Listener, patience: Patience, *, is_brief: bool) -> None:
        """Connect to nothing yet. ``is_brief``: most likely nothing large is asked for; else ``requests`` is loaded."""
        self.endpoint, self.patience, self.listener = endpoint, patience, listener
        self.authorization, self.base = "", ""
        self._session: requests.Session | None = None
        self._opening = threading.Lock()
        self._brief = self._open_brief() if is_brief else None
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

        return brief.Session(self._context) if self.endpoint.is_loopback or brief.is_enough() else None

    def _open(self) -> requests.Session:
        with self._opening:
            if self._session is None:
                import requests  # 40 ms

                session = requests.Session()
                session.auth = _no_netrc
                session.trust_env = not self.endpoint.is_loopback  # no proxy stands between us and this machine
                if self.endpoint.insecure:  # the user has said so; no need to warn at each request
                    import urllib3

                    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
                self._session = session
            return self._session

    def _context(self, host: str) -> ssl.SSLContext:
        """How to speak TLS with the registry, or with a host that it sends us to."""
        home = self.endpoint.host
        return tls.context(host, home, verify=host != home or not self.endpoint.insecure)

    # ---- time

    def pause(self, attempt: int, why: str, wanted: float | None = None) -> None:
        """Wait before the next try, if there is one; longer each time, and as long as the server ``wanted``.

        Raises:
            RegistryError: closed meanwhile.
        """
        if attempt >= self.patience.tries:
            return
        wait = self.patience.pause * 2 ** (attempt - 1) * (0.5 + random.random())
        wait = min(max(wait, wanted or 0.0), WAIT_MAX)
        self.listener(Event("retry", text=f"{self.endpoint.host} {why}; trying again in {wait:.1f} s"))
        deadline = time.monotonic() + wait
        while not self._closed and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        self.check_open()

    def check_open(self) -> None:
        """Raises RegistryError once it is closed."""
        if self._closed:
            raise RegistryError("the pull was given up")

    # ---- one request

    def request(self, path: str, call: Call) -> Response:
        """Ask, and follow redirects, which storage backends use for blobs."""
        response = self._first(path, call) if not self.base else self.send(self._url(self.base, path), call)
        for _ in range(_REDIRECTS_MAX):
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            there = self.sent_to(response)
            response = self.send(there, call)
            if response.status_code in (401, 403) and origin(there) != origin(self.base):
                response.close()
                raise Broken(f"was refused by {printable(urlsplit(there).netloc)}, to which it redirects")
        response.close()
        raise RegistryError(f"{self.endpoint.host} redirects in circles")

    def _url(self, base: str, path: str) -> str:
        if "://" in path:
            return path
        return f"{base}{path}" if path.startswith("/") else f"{base}/v2/{self.endpoint.repository}/{path}"

    def sent_to(self, response: Response) -> str:
        """Where an answer sends us.

        Raises:
            RegistryError: nowhere, or from https to plain HTTP.
        """
        there = web_address(response.headers.get("Location", ""), response.url)
        old, new = urlsplit(response.url), urlsplit(there)
        if not there:
            raise RegistryError(f"{printable(old.netloc)} redirects to something that is no web address")
        plain_is_fine = old.scheme == "http" and (is_loopback(new.netloc) or self.endpoint.insecure)
        if new.scheme == "http" and not plain_is_fine:
            raise RegistryError(
                f"{printable(old.netloc)} redirects to {printable(new.netloc)} over plain HTTP, which is refused"
            )
        return there

    def _first(self, path: str, call: Call) -> Response:
        """The first request, which finds out how to talk to the registry."""
        host, insecure = self.endpoint.host, self.endpoint.insecure
        ways = ["http", "https"] if self.endpoint.is_loopback else ["https", "http"] if insecure else ["https"]
        ways = ["https"] if self.endpoint.tls_only else ways
        problem: Broken | None = None
        for scheme in ways:
            base = f"{scheme}://{host}"
            try:
                response = self.send(self._url(base, path), call)
            except Broken as error:
                problem = error if problem is None or isinstance(error, Untrusted) else problem
                if error.silent:
                    break
                continue
            if scheme == "http" and len(ways) > 1 and response.status_code == 400:  # "plain HTTP sent to an HTTPS port"
                problem = problem or Broken("answered 400 to plain HTTP", hopeless=True)
                response.close()
                continue
            self.base = base
            return response
        assert problem is not None
        if problem.hopeless or problem.silent:
            raise RegistryError(f"can't reach registry {host}: {problem}", hint=problem.hint)
        raise problem

    def send(self, url: str, call: Call) -> Response:
        """One request without redirects; Authorization only to the registry itself."""
        from http.client import HTTPException

        self.check_open()
        headers = {**_HEADERS, **call.headers}
        if self.authorization and self.base and origin(url) == origin(self.base):
            headers["Authorization"] = self.authorization
        where = urlsplit(url)
        self.listener(Event("request", text=f"{call.method} {printable(where._replace(query='').geturl())}"))
        timeout = self.patience.connect, self.patience.stall
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
            self.check_open()
            if type(error).__name__ == "ProxyError":  # of requests, which may not be loaded
                raise broken_proxy(url, error) from None
            raise broken(error) from None

    # ---- bodies

    def body(self, response: Response) -> Iterator[bytes]:
        """The body as it arrives.

        Raises:
            Broken: cut, or slower than we have patience for. Time that our reader takes does not count.
        """
        self._transfers.add(response)
        try:
            self.check_open()  # or it came too late for close() to find it
            yield from self._chunks(response)
        finally:
            self._transfers.discard(response)

    def _chunks(self, response: Response) -> Iterator[bytes]:
        spent, received = 0.0, 0
        while True:
            start = time.monotonic()
            try:
                chunk: bytes = response.raw.read1(CHUNK, decode_content=False)
            except Exception as error:  # of urllib3, http.client or socket; AttributeError if closed meanwhile
                self.check_open()
                raise broken(error) from None
            if not chunk:
                return
            yield chunk
            spent, received = spent + time.monotonic() - start, received + len(chunk)
            if spent > self.patience.stall:
                if received < self.patience.slowest * spent:
                    raise Broken(f"sent only {received} bytes in {spent:.0f} s")
                spent, received = 0.0, 0

    def small_body(self, response: Response, limit: int, what: str) -> bytes:
        """A whole body that must be small.

        Raises:
            Broken: it was cut.
        """
        data = bytearray()  # a byte at a time, bytes would be copied as often
        for chunk in self.body(response):
            data += chunk
            if len(data) > limit:
                raise RegistryError(f"{self.endpoint.host} sent a {what} larger than {limit >> 10} KiB")
        if len(data) < (number_in(response.headers.get("Content-Length", "")) or 0):  # read1 of urllib3 does not tell
            raise Broken("the answer ended early")
        return bytes(data)


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """requests would send the password that ~/.netrc has for a host; a session with an ``auth`` of its own does not."""
    return request


def web_address(text: str, below: str = "") -> str:
    """What somebody else gives for an address, whole; it may be relative to another one. "" if it is none."""
    try:
        url = urljoin(below, text)
        where = urlsplit(url)
    except ValueError:
        return ""
    return url if text and where.scheme in ("http", "https") and where.hostname else ""


def origin(url: str) -> tuple[str, str]:
    """Scheme and host of an address, port included: what hears our Authorization, and what does not."""
    where = urlsplit(url)
    return where.scheme, where.netloc
