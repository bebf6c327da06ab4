"""A registry of the test's own, that can lie, stall, redirect and ask for tokens; and the images in it."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from pycontainer.image import manifest as m

GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def descriptor(kind: str, data: bytes, **changes: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data), **changes}


class Handler(BaseHTTPRequestHandler):
    """One connection. Rules of the test come first; the registry answers what they leave."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every small answer waits 40 ms for an acknowledgement
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.fake.connections += 1

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> object:
        fake = self.server.fake
        fake.requests.append((self.path, dict(self.headers)))
        for rule in fake.rules:
            if rule(self):
                return None
        parts = self.path.strip("/").split("/")
        if parts[0] != "v2" or len(parts) < 4:
            return self.answer(404, b"{}")
        kind, name = parts[-2:]
        if kind == "manifests":
            found = fake.manifests.get((("/").join(parts[1:-2]), name))
            if found is None:
                body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
                return self.answer(404, json.dumps(body).encode())
            return self.answer(200, found[0], {"Content-Type": found[1], "Docker-Content-Digest": digest_of(found[0])})
        blob = fake.blobs.get(name)
        if blob is None:
            return self.answer(404, b"{}")
        return self.blob(blob)

    def blob(self, data: bytes) -> object:
        """Send a blob as a good registry does, Range included."""
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            start = int(wanted[6:].partition("-")[0])
            headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return self.answer(206, data[start:], headers)
        return self.answer(200, data)

    def answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, cut: int | None = None
    ) -> bool:
        """Send an answer; with ``cut``, only so many bytes of it before the connection goes away."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # the client had enough
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None or (headers or {}).get("Content-Length") == "":
            self.close_connection = True
        return True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeRegistry

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is what many tests are about


Rule = Callable[[Handler], bool]


@dataclass
class FakeRegistry:
    """Usable as a context manager; listens on a loopback port."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> FakeRegistry:
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.fake = self
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def slow_down(self, piece: int) -> None:
        """Send large blobs ``piece`` bytes at a time, so that a pull can be hit in the middle."""

        def slowly(handler: Handler) -> bool:
            blob = self.blobs.get(handler.path.rpartition("/")[2])
            if blob is None or len(blob) < 100_000:
                return False
            start = int(handler.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            headers = {"Content-Range": f"bytes {start}-{len(blob) - 1}/{len(blob)}"} if start else {}
            handler.answer(206 if start else 200, b"", {"Content-Length": str(len(blob) - start), **headers})
            with suppress(OSError):  # the client had enough
                for at in range(start, len(blob), piece):
                    handler.wfile.write(blob[at : at + piece])
                    time.sleep(0.01)
            return True

        self.rules.append(slowly)

    def paths(self, part: str) -> list[str]:
        """The requests whose path contains ``part``."""
        return [path for path, _ in self.requests if part in path]

    def add_blob(self, data: bytes) -> str:
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    def add_manifest(self, repository: str, name: str, data: bytes, kind: str = m.OCI_MANIFEST) -> str:
        self.manifests[repository, name] = self.manifests[repository, digest_of(data)] = (data, kind)
        return digest_of(data)

    def add_image(
        self,
        name: str,
        tars: list[bytes],
        *,
        pack: Callable[[bytes], bytes] = lambda tar: gzip.compress(tar, 1, mtime=0),
        kind: str = GZIP_LAYER,
        config: dict[str, Any] | None = None,
    ) -> bytes:
        """Put an image under ``repository:tag``; its manifest."""
        packed = [pack(tar) for tar in tars]
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
            **(config or {}),
        }
        config_data = json.dumps(document).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": m.OCI_MANIFEST,
            "config": descriptor(m.OCI_CONFIG, config_data),
            "layers": [descriptor(kind, data) for data in packed],
        }
        for data in (*packed, config_data):
            self.add_blob(data)
        data = json.dumps(manifest).encode()
        repository, tag = name.rsplit(":", 1)
        self.add_manifest(repository, tag, data)
        return data


def when(part: str, *answers: Callable[[Handler], object], forever: bool = False) -> Rule:
    """A rule for paths that contain ``part``: the first time the first answer, ...; then none, or the last for ever."""
    left = list(answers)

    def rule(handler: Handler) -> bool:
        if part not in handler.path or not left:
            return False
        answer = left[0] if forever and len(left) == 1 else left.pop(0)
        answer(handler)
        return True

    return rule


def answers(status: int, body: bytes = b"", **headers: str) -> Callable[[Handler], object]:
    """An answer for :func:`when`; ``_`` in names of headers stands for a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(status, body, named)
