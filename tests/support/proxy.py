"""A proxy as companies have one: CONNECT for https, whole addresses for http, and perhaps a password."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.support.serving import Serving


@dataclass
class Proxy(Serving):
    """Usable as a context manager; listens on a loopback port.

    Attributes:
        targets: ``host:port`` -> the address that it is reached at; all others do not exist.
        login: ``user:password`` that it wants to hear, or "".
        requests: method, target and headers of every request.
    """

    targets: dict[str, str]
    login: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _Handler

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def proxy(self) -> Proxy:
        return self.server.owner  # type: ignore[attr-defined, no-any-return]

    def _reached(self, host: str) -> str:
        """Where a host is, "" after a refusal."""
        self.proxy.requests.append((self.command, self.path, dict(self.headers)))
        login = base64.b64encode(self.proxy.login.encode()).decode()
        if login and self.headers.get("Proxy-Authorization") != f"Basic {login}":
            self._refuse(407, ("Proxy-Authenticate", 'Basic realm="proxy"'))
            return ""
        if host not in self.proxy.targets:
            self._refuse(502)
        return self.proxy.targets.get(host, "")

    def _refuse(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", "0"), *headers):
            self.send_header(name, value)
        self.end_headers()

    def do_CONNECT(self) -> None:
        if not (there := self._reached(self.path)):
            return
        host, _, port = there.rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(far, self.connection), daemon=True)
            back.start()
            _pump(self.connection, far)
            back.join(5)
        self.close_connection = True

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        if not (there := self._reached(f"{where.hostname}:{where.port or 80}")):
            return
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        connection = http.client.HTTPConnection(there)
        connection.request(self.command, where._replace(scheme="", netloc="").geturl(), headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
