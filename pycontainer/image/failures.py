"""What goes wrong between us and a registry, in words: the innermost cause, and whether trying again helps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.transport import Response


_PROXY_HINT = "HTTP_PROXY, HTTPS_PROXY and NO_PROXY say so"


class Broken(Exception):
    """A connection or transfer that failed in a way that may go away.

    Attributes:
        hopeless: nobody is there, or TLS failed: asking again at once will not change that.
        silent: somebody may be there, and we have waited for him.
        hint: what the user can do.
    """

    def __init__(self, reason: str, *, hopeless: bool = False, silent: bool = False, hint: str = "") -> None:
        super().__init__(reason)
        self.hopeless, self.silent, self.hint = hopeless, silent, hint


class Untrusted(Broken):
    """A certificate that does not convince: at least, TLS is what they speak."""


def number_in(text: str) -> int | None:
    """The number that a header is, or None: str.isdigit() is true of "²", too, and int() takes no 5,000 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def retry_after(response: Response) -> float | None:
    """Seconds that the server asks us to wait (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if (seconds := number_in(text)) is not None:
        return float(min(seconds, 1 << 30))
    if text:
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            pass
    return None


def broken(error: BaseException) -> Broken:
    """What went wrong, from the innermost exception, as requests wraps urllib3, which wraps http.client, ..."""
    import socket
    import ssl

    chain = list(_chain(error))
    for inner in chain:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return Untrusted(
                f"its certificate is not trusted: {inner.verify_message}",
                hopeless=True,
                hint="install its CA, or say insecure = true for it in registries.conf",
            )
        if isinstance(inner, ssl.SSLError):
            return Broken(
                f"TLS failed: {inner.reason or inner.strerror}",
                hopeless=True,
                hint="if it may be plain HTTP, say insecure = true for it in registries.conf",
            )
        if isinstance(inner, socket.gaierror):
            return Broken(f"its name can't be resolved: {inner.strerror}", hopeless=True)
        if isinstance(inner, ConnectionRefusedError):
            return Broken("connection refused", hopeless=True, hint="is the registry running?")
    names = {type(inner).__name__ for inner in chain}
    if "InvalidProxyURL" in names:
        return Broken("the address of the proxy is malformed", hopeless=True, hint=_PROXY_HINT)
    if names & {"ConnectTimeoutError", "ConnectTimeout"}:
        return Broken("no answer to the connection", silent=True)
    if names & {"ReadTimeoutError", "ReadTimeout", "TimeoutError"}:
        return Broken("sent nothing for too long", silent=True)
    if names & {"IncompleteRead", "RemoteDisconnected", "ConnectionResetError", "BrokenPipeError"}:
        return Broken("closed the connection too early")
    system = next((inner for inner in chain if isinstance(inner, OSError) and inner.strerror and inner.errno), None)
    if system:
        return Broken(str(system.strerror), hopeless=True)
    return Broken(printable(str(chain[-1])) or type(error).__name__)


def broken_proxy(url: str, error: BaseException) -> Broken:
    """The same for the proxy on the way; its address may have a password."""
    from requests.utils import get_environ_proxies, select_proxy

    address = select_proxy(url, get_environ_proxies(url)) or ""
    proxy = urlsplit(address if "://" in address else f"//{address}").netloc.rpartition("@")[2]
    return Broken(f"proxy {proxy}: {broken(error)}", hopeless=True, hint=_PROXY_HINT)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo = [error]
    while todo:
        inner = todo.pop()
        if isinstance(inner, BaseException) and id(inner) not in seen and len(seen) < 20:
            seen.add(id(inner))
            yield inner
            todo += [inner.__context__, inner.__cause__, getattr(inner, "reason", None), *inner.args]


def printable(text: object) -> str:
    """Text from the other side in a message: one short line."""
    return "".join(char for char in str(text)[:200] if char.isprintable())
