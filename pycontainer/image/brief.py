"""Small talk with a registry: requests with small bodies, by the standard library alone.

``requests`` carries what is large. To load it takes 40 ms, longer than everything else in a pull that finds nothing
new and in a push of what is there already; so these ask their few questions through :class:`Session`, which does
what registry.py needs of a ``requests.Session`` and nothing else: no proxies, no cookies, no redirects, no decoding.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPMessage, HTTPResponse, HTTPSConnection, IncompleteRead
from urllib.parse import quote, urlsplit

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

_TARGET = "/?:@!$&'()*+,;=-._~%[]"
"""What stays as it is in the target of a request (RFC 3986); everything else is escaped, as `requests` does."""


def is_enough() -> bool:
    """False if the environment asks for a proxy, which is left to ``requests``."""
    return not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ)


class ConnectTimeout(OSError):
    """No connection came about in time."""


class Headers:
    """The headers of an answer; one that comes several times is joined by commas (RFC 9110, 5.2)."""

    def __init__(self, message: HTTPMessage) -> None:
        self._message = message

    def get(self, name: str, default: str = "") -> str:
        """The value, whatever the case of its name."""
        return ", ".join(self._message.get_all(name, [])) or default


class Answer:
    """An answer whose body is still to be read, with the names that ``requests.Response`` has for its parts."""

    def __init__(self, url: str, response: HTTPResponse, sock: socket.socket, done: Callable[[bool], None]) -> None:
        self.url, self.status_code, self.reason = url, response.status, response.reason
        self.headers = Headers(response.headers)
        self._response, self._socket, self._done = response, sock, done
        self._left = response.length  # None when only the end of the stream tells

    @property
    def raw(self) -> Answer:
        """What the body is read from."""
        return self

    def read1(self, amount: int, *, decode_content: bool) -> bytes:
        """What has arrived, as it came; b"" at the end.

        Raises:
            IncompleteRead: the body is cut.
        """
        if self._left == 0:
            return b""
        piece = self._response.read1(amount if self._left is None else min(amount, self._left))
        if self._left is None:
            return piece
        if not piece:
            raise IncompleteRead(b"", self._left)
        self._left -= len(piece)
        return piece

    def shutdown(self) -> None:
        """End the transfer; a reader in another thread sees it fail."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing more is wanted; after a whole body, the connection can serve again."""
        whole = self._left == 0 or (self._left is None and self._response.isclosed())
        reusable = whole and not self._response.will_close
        self._response.close()
        self._done(reusable)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _has_hung_up(sock: socket.socket) -> bool:
    """Whether an idle connection has something to read: its end, or nothing that we have asked for."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Session:
    """Connections to some hosts, used again. Threads may share it."""

    def __init__(self, context: Callable[[str], ssl.SSLContext]) -> None:
        """``context`` says how to speak TLS with a host."""
        self._context = context
        self._idle: list[tuple[str, HTTPConnection]] = []

    def request(
        self, method: str, url: str, headers: dict[str, str], data: bytes | None, timeout: tuple[float, float]
    ) -> Answer:
        """Send one request and wait for its answer; redirects are not followed.

        Args:
            method, url, headers, data: what to send.
            timeout: seconds for a connection to come about, and without a byte.

        Raises:
            OSError, HTTPException: the connection failed. ValueError: the address is none.
        """
        where = urlsplit(url)
        origin = f"{where.scheme}://{where.netloc}"
        connection = self._take(origin) or self._connect(where.scheme, where.netloc, *timeout)
        sock: socket.socket = connection.sock  # the connection forgets it when the other side is about to close
        target = quote(where._replace(scheme="", netloc="", fragment="").geturl() or "/", safe=_TARGET)

        def done(reusable: bool) -> None:
            if reusable:
                self._idle.append((origin, connection))
            else:
                connection.close()

        try:
            connection.request(method, target, data, headers)
            return Answer(url, connection.getresponse(), sock, done)
        except BaseException:
            connection.close()
            raise

    def _take(self, origin: str) -> HTTPConnection | None:
        for item in list(self._idle):
            if item[0] == origin:
                try:
                    self._idle.remove(item)
                except ValueError:  # another thread took it
                    continue
                if not _has_hung_up(item[1].sock):
                    return item[1]
                item[1].close()
        return None

    def _connect(self, scheme: str, netloc: str, connect: float, stall: float) -> HTTPConnection:
        if scheme == "https":
            connection: HTTPConnection = HTTPSConnection(netloc, timeout=connect, context=self._context(netloc))
        else:
            connection = HTTPConnection(netloc, timeout=connect)
        try:
            connection.connect()
        except TimeoutError as error:
            raise ConnectTimeout(str(error)) from error
        connection.sock.settimeout(stall)
        return connection

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop()[1].close()
