"""The fake registry, able to take uploads: a good one, until a rule of the test makes it mean."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.support.fake_registry import FakeRegistry, Handler, Server, digest_of


class PushHandler(Handler):
    """Distribution-spec 1.1, "Push": HEAD, POST, PATCH, PUT, DELETE beside the GET of the other half."""

    server: PushServer

    @property
    def registry(self) -> PushRegistry:
        return self.server.push

    def _ruled(self) -> bool:
        self.registry.calls.append((self.command, self.path, dict(self.headers)))
        return any(rule(self) for rule in self.registry.rules)

    def _read(self, limit: int = 1 << 62) -> bytes:
        return self.rfile.read(min(limit, int(self.headers.get("Content-Length", 0))))

    def _error(self, status: int, message: str) -> None:
        self.answer(status, json.dumps({"errors": [{"code": "X", "message": message}]}).encode())

    def do_HEAD(self) -> None:
        if self._ruled():
            return
        *_, kind, name = urlsplit(self.path).path.split("/")
        if kind == "blobs":
            size = len(self.registry.blobs[name]) if name in self.registry.blobs else -1
        else:
            repository = urlsplit(self.path).path.removeprefix("/v2/").removesuffix(f"/manifests/{name}")
            found = self.registry.manifests.get((repository, name))
            size = len(found[0]) if found else -1
        self.send_response(404 if size < 0 else 200)
        self.send_header("Content-Length", str(max(size, 0)))
        self.end_headers()

    def do_POST(self) -> None:
        if self._ruled():
            return
        self._read()
        query = parse_qs(urlsplit(self.path).query)
        if "mount" in query and (query["from"][0], query["mount"][0]) in self.registry.mountable:
            self.registry.blobs[query["mount"][0]] = self.registry.mountable[query["from"][0], query["mount"][0]]
            self.answer(201, headers={"Location": "/v2/x/blobs/" + query["mount"][0]})
            return
        number = str(len(self.registry.uploads))
        self.registry.uploads[number] = b""
        self.answer(202, headers={"Location": f"{urlsplit(self.path).path}{number}?state=0", **self.registry.answers})

    def _upload(self) -> str:
        return urlsplit(self.path).path.rpartition("/")[2]

    def _location(self, number: str) -> dict[str, str]:
        size = len(self.registry.uploads[number])
        return {"Location": f"{urlsplit(self.path).path}?state={size}", "Range": f"0-{max(0, size - 1)}"}

    def do_GET(self) -> None:
        if "/blobs/uploads/" not in self.path:
            return super().do_GET()
        if self._ruled():
            return None
        if self._upload() not in self.registry.uploads:
            return self._error(404, "upload unknown")
        self.answer(204, headers=self._location(self._upload()))
        return None

    def do_PATCH(self) -> None:
        if self._ruled():
            return None
        number, start = self._upload(), int(self.headers["Content-Range"].partition("-")[0])
        if start != len(self.registry.uploads[number]):
            self._read()
            return self._error(416, "out of order")
        self.registry.uploads[number] += self._read()
        self.answer(202, headers=self._location(number))
        return None

    def do_DELETE(self) -> None:
        self._ruled()
        self.registry.uploads.pop(self._upload(), None)
        self.answer(204)

    def do_PUT(self) -> None:
        if self._ruled():
            return None
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        body = self._read()
        if "/manifests/" in path:
            repository, _, name = path.removeprefix("/v2/").partition("/manifests/")
            self.registry.add_manifest(repository, name, body, self.headers["Content-Type"])
            self.answer(201, headers={"Docker-Content-Digest": digest_of(body)})
            return None
        data = self.registry.uploads.pop(self._upload()) + body
        if digest_of(data) != query["digest"][0]:
            return self._error(400, "provided digest did not match uploaded content")
        self.registry.add_blob(data)
        self.answer(201)
        return None

    def keep_and_hang_up(self, size: int) -> bool:
        """Take ``size`` bytes of an upload, and let the connection break."""
        self.registry.uploads[self._upload()] += self.rfile.read(size)
        self.close_connection = True
        self.connection.close()
        return True


class PushServer(Server):
    push: PushRegistry


@dataclass
class PushRegistry(FakeRegistry):
    """Attributes:
    calls: method, path and headers of every request but plain GETs.
    mountable: (repository, digest) -> blob that can be mounted from it.
    answers: headers added to the answer that begins an upload.
    """

    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    mountable: dict[tuple[str, str], bytes] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> PushRegistry:
        super().__enter__()
        self._server.RequestHandlerClass = PushHandler
        self._server.push = self  # type: ignore[attr-defined]
        return self

    def methods(self) -> str:
        """``HEAD POST PUT``: what was sent."""
        return " ".join(method for method, _, _ in self.calls)
