"""The writing half of the registry protocol (OCI distribution-spec 1.1, "Push").

A blob goes up in one request if it can; in chunks, if a proxy on the way finds it too large or the registry kept the
beginning of what broke. It does not go up at all if the registry has it, or can mount it from another repository.
Manifests come last: a registry refuses one whose blobs it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from pycontainer.errors import RegistryError, StoreError, VerificationError
from pycontainer.image import events
from pycontainer.image.events import Event, Listener
from pycontainer.image.failures import Broken, number_in, retry_after
from pycontainer.image.manifest import Descriptor
from pycontainer.image.reference import is_digest
from pycontainer.image.registries_conf import Endpoint
from pycontainer.image.registry import ACCEPT, Credentials, Patience, Registry
from pycontainer.image.transport import BUSY, Call
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.transport import Response

_READ = 1 << 20
_CHUNK = 16 << 20
"""Bytes of one request, once it turned out that a whole blob is too much for somebody on the way."""
_CHUNK_MIN = 1 << 20
_MOUNTS_MAX = 3
"""Repositories that are tried as source of a mount."""
_TOO_LARGE = 413
_GONE = (404, 416)
"""What a registry answers about an upload that it has forgotten, or whose offset it does not know."""


class _Busy(Broken):
    """An answer that asks us to come back, after ``wait`` seconds if it says."""

    def __init__(self, reason: str, wait: float | None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class _Upload:
    """One blob on its way.

    Attributes:
        location: where the next bytes go; the registry gives a new one with every answer.
        offset: bytes that the registry has confirmed.
        chunk: bytes per request, 0 for as many as there are.
    """

    descriptor: Descriptor
    path: str
    location: str = ""
    offset: int = 0
    chunk: int = 0


class _Part:
    """A part of a file as the body of a request, which tells how far it has been sent."""

    def __init__(self, upload: _Upload, end: int, report: Listener) -> None:
        self._path, self._start, self._end = upload.path, upload.offset, end
        self._descriptor, self._report = upload.descriptor, report

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[bytes]:
        at, digest, size = self._start, self._descriptor.digest, self._descriptor.size
        try:
            with open(self._path, "rb", buffering=0) as file:
                file.seek(at)
                while at < self._end:
                    piece = file.read(min(_READ, self._end - at))
                    if not piece:
                        raise StoreError(f"blob {digest} is shorter than it should be")
                    yield piece
                    at += len(piece)
                    self._report(Event("upload", digest, at, size))
        except OSError as error:
            if error.filename == self._path:  # not an error of the connection, which comes in here through yield
                raise StoreError(f"can't read blob {digest}: {error.strerror}") from None
            raise


class Pusher(Registry):
    """One repository on one registry, to write to. Threads may share it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        mounts: Sequence[str] = (),
        credentials: Credentials | None = None,
        listener: Listener = events.nobody,
        patience: Patience = Patience(),  # noqa: B008  immutable
        chunk: int = 0,
    ) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: where to.
            mounts: repositories of the same registry that blobs will be mounted from; a token must cover them.
            credentials, listener, patience: as of a Registry.
            chunk: bytes per request; 0 for whole blobs as long as nobody objects.
        """
        super().__init__(endpoint, credentials=credentials, listener=listener, patience=patience, is_brief=True)
        self._chunk = chunk
        sources = (f"repository:{repository}:pull" for repository in mounts)
        self.authorization.scopes = (f"repository:{endpoint.repository}:pull,push", *sources)

    # ---- blobs

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Ask whether the repository has a blob.

        Raises:
            RegistryError: no answer. VerificationError: it has another one under that digest.
        """
        what = f"blob {descriptor.digest}"
        with self._answer(f"blobs/{descriptor.digest}", Call("HEAD"), what, (200, 404)) as response:
            length = response.headers.get("Content-Length", "")
            if response.status_code == 200 and number_in(length) not in (None, descriptor.size):
                raise VerificationError(f"{self._endpoint.host} has {what} with {length} bytes, not {descriptor.size}")
            return response.status_code == 200

    def mount(self, descriptor: Descriptor, sources: Sequence[str]) -> tuple[str, str]:
        """Have the registry take a blob over from another repository of its own, or begin to upload it.

        Returns:
            the repository that it was mounted from, "" if none had it; and then where to upload it.

        Raises:
            RegistryError: the registry accepts neither.
        """
        location = ""
        for source in sources[:_MOUNTS_MAX]:
            query = urlencode({"mount": descriptor.digest, "from": source})
            with self._answer(
                f"blobs/uploads/?{query}",
                Call("POST"),
                f"blob {descriptor.digest}",
                (201, 202, 400, 401, 403, 404, 405),
            ) as response:
                self._drain(response)
                if response.status_code == 201:
                    self._cancel(location)
                    return source, ""
                if response.status_code == 202:
                    self._cancel(location)
                    location = self._location(response)
        return "", location

    def upload(
        self, descriptor: Descriptor, path: str, *, location: str = "", report: Listener = events.nobody
    ) -> None:
        """Send a blob, continuing or starting over as often as our patience allows.

        Args:
            descriptor: digest and size of the blob.
            path: the file that has it.
            location: where, if ``mount`` has begun an upload.
            report: is told how far it is, in this thread.

        Raises:
            RegistryError: the registry failed or refuses.
            VerificationError: it received something else than the digest says.
            StoreError: the file can't be read.
        """
        upload = _Upload(descriptor, path, location, chunk=self._chunk)
        failures = 0
        while True:
            before = upload.offset
            try:
                return self._send_rest(upload, report)
            except Broken as error:
                failures = failures + 1 if upload.offset - before < _CHUNK_MIN else 1
                if failures >= self._patience.tries:
                    raise RegistryError(
                        f"{self._endpoint.host}: sending {descriptor.digest} broke at byte {upload.offset}: {error}",
                        hint="push again: what has arrived is not sent again",
                    ) from None
                wait = error.wait if isinstance(error, _Busy) else None
                self._transport.pause(failures, f"upload of {descriptor.digest[7:19]} broke: {error}", wait)
            self._find_offset(upload)

    def _send_rest(self, upload: _Upload, report: Listener) -> None:
        """All that is left of a blob, in as few requests as possible."""
        size = upload.descriptor.size
        if not upload.location:
            with self._once("blobs/uploads/", Call("POST"), upload, (202,)) as response:
                self._note(upload, response)
        while (upload.chunk and upload.offset < size) or 0 < upload.offset < size:
            end = min(size, upload.offset + (upload.chunk or size))
            headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{upload.offset}-{end - 1}"}
            call = Call("PATCH", headers, _Part(upload, end, report), large=True)
            with self._once(upload.location, call, upload, (201, 202, 204, _TOO_LARGE)) as response:
                if self._was_too_large(upload, response):
                    continue
                self._note(upload, response)
                upload.offset = end
        query = urlencode({"digest": upload.descriptor.digest})
        url = f"{upload.location}{'&' if urlsplit(upload.location).query else '?'}{query}"
        body = _Part(upload, size, report) if upload.offset < size else None
        call = Call("PUT", {"Content-Type": "application/octet-stream"}, body, large=True)
        with self._once(url, call, upload, (201, 204, _TOO_LARGE)) as response:
            too_large = self._was_too_large(upload, response)
        if too_large:
            self._send_rest(upload, report)

    def _once(self, url: str, call: Call, upload: _Upload, good: Sequence[int]) -> Response:
        """One request about an upload, without repeating it: the registry may have kept a part of it.

        Raises:
            Broken: worth another try. RegistryError: not.
        """
        response = self._authorized(url, call)
        if response.status_code in good:
            self._drain(response)
            return response
        if response.status_code == 400:
            text = self._error_text(response)
            response.close()
            if "digest" in text.lower():
                raise VerificationError(
                    f"{self._endpoint.host} received blob {upload.descriptor.digest} with another digest{text}",
                    hint="the file of the blob may be damaged: remove the image and pull it again",
                )
            raise RegistryError(f"{self._endpoint.host} refuses blob {upload.descriptor.digest}{text}")
        if response.status_code in BUSY or (response.status_code in _GONE and upload.location):
            response.close()
            raise _Busy(f"it answered {response.status_code}", retry_after(response))
        raise self._refusal(response, f"blob {upload.descriptor.digest}")

    def _was_too_large(self, upload: _Upload, response: Response) -> bool:
        """After a 413, go on with smaller requests."""
        if response.status_code != _TOO_LARGE:
            return False
        smaller = upload.chunk // 4 if upload.chunk else _CHUNK
        if smaller < _CHUNK_MIN or upload.descriptor.size <= _CHUNK_MIN:
            raise self._refusal(response, f"blob {upload.descriptor.digest}")
        self._transport.listener(Event("retry", text=f"{self._endpoint.host} takes no large requests; sending chunks"))
        upload.chunk = smaller
        return True

    def _note(self, upload: _Upload, response: Response) -> None:
        """Where to go on, and the smallest chunk that the registry wants."""
        upload.location = self._location(response)
        least = number_in(response.headers.get("OCI-Chunk-Min-Length", "")) or 0
        if upload.chunk and least < 10**11:
            upload.chunk = max(upload.chunk, least)

    def _location(self, response: Response) -> str:
        """The address that an answer names, checked as a redirect is."""
        if not response.headers.get("Location"):
            raise RegistryError(f"{self._endpoint.host} does not say where to upload to")
        return self._transport.sent_to(response)

    def _find_offset(self, upload: _Upload) -> None:
        """Ask how much of a broken upload has arrived; if the registry does not know, begin a new one."""
        location, upload.location, upload.offset = upload.location, "", 0
        if not location:
            return
        with suppress(Broken, RegistryError), self._authorized(location, Call()) as response:
            self._drain(response)
            start, _, last = response.headers.get("Range", "").removeprefix("bytes=").partition("-")
            end = number_in(last)
            if response.status_code == 204 and start == "0" and end is not None:
                # a registry that has nothing says 0-0, which could also be one byte: sending that again is an error
                arrived = end + 1 if end else 0
                if arrived <= upload.descriptor.size and response.headers.get("Location"):
                    upload.location, upload.offset = self._location(response), arrived
                    return
        self._cancel(location)

    def _cancel(self, location: str) -> None:
        """Tell the registry that an upload will not be continued; it would find out by itself."""
        if location:
            with suppress(Broken, RegistryError), self._authorized(location, Call("DELETE")) as response:
                self._drain(response)

    # ---- manifests

    def manifest_digest(self, tag_or_digest: str) -> str:
        """The digest of a manifest in the repository, "" if it is not there or the registry does not say."""
        what = f"manifest {tag_or_digest}"
        with self._answer(f"manifests/{tag_or_digest}", Call("HEAD", {"Accept": ACCEPT}), what, (200, 404)) as response:
            found = response.headers.get("Docker-Content-Digest", "") if response.status_code == 200 else ""
            return tag_or_digest if response.status_code == 200 and is_digest(tag_or_digest) else found

    def put_manifest(self, tag_or_digest: str, data: bytes, media_type: str, digest: str) -> None:
        """Give a manifest or index to the registry, under a tag or by its digest.

        Raises:
            RegistryError: it refuses. VerificationError: it received something else.
        """
        call = Call("PUT", {"Content-Type": media_type}, data)
        with self._answer(f"manifests/{tag_or_digest}", call, f"manifest {tag_or_digest}", (200, 201, 202)) as response:
            self._drain(response)
            received = response.headers.get("Docker-Content-Digest", "")
            if is_digest(received) and received.partition(":")[0] == digest.partition(":")[0] and received != digest:
                raise VerificationError(f"{self._endpoint.host} received manifest {received}, not {digest}")

    # ---- answers

    def _drain(self, response: Response) -> None:
        """Read the end of an answer that nobody needs, so that the connection can be used again."""
        with suppress(RegistryError):
            self._transport.small_body(response, _READ, "answer")

    def _refusal(self, response: Response, what: str) -> RegistryError:
        host, repository, status = self._endpoint.host, self._endpoint.repository, response.status_code
        if status in (404, 405):
            said = self._error_text(response)
            response.close()
            return RegistryError(f"{host} takes no pushes to {repository}: it answered {status}{said}")
        if status == _TOO_LARGE:
            response.close()
            return RegistryError(f"{host} finds {what} too large", hint="a proxy in front of it may limit requests")
        return super()._refusal(response, what)
