"""The registry protocol (OCI distribution-spec 1.1), as much of it as a pull needs.

What comes is checked against its digest; transport.py is how it comes, authorization.py how we are let in.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from pycontainer.errors import RegistryError, VerificationError
from pycontainer.image import events
from pycontainer.image.authorization import Authorization, Credentials
from pycontainer.image.digest import digest_of
from pycontainer.image.events import Listener
from pycontainer.image.failures import Broken, number_in, printable, retry_after
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
from pycontainer.image.registries_conf import Endpoint
from pycontainer.image.transport import BUSY, CHUNK, WAIT_MAX, Call, Patience, Transport, origin, web_address
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.image.transport import Response

__all__ = ["ACCEPT", "Credentials", "Document", "Patience", "Registry"]

ACCEPT = ", ".join((OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST))
_ERROR_BODY_MAX = 64 << 10
_VERBS = {"GET": "get", "HEAD": "ask for"}


class Document(Record):
    """A manifest or index as it came: bytes, the type it was announced as, and its digest, which was checked."""

    data: bytes
    media_type: str
    digest: str


class Registry:
    """One repository on one registry. Threads may share it."""

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
            credentials: gives user and password for a host; those of ``pyc login`` by default.
            listener: told about requests, tokens and retries, in the thread that makes them.
            patience: how long to put up with it.
            is_brief: most likely no blob will be asked for or sent; else ``requests`` is loaded then.
        """
        self._endpoint, self._patience = endpoint, patience
        self._transport = Transport(endpoint, listener, patience, is_brief=is_brief)
        self.authorization = Authorization(self._transport, credentials)

    @property
    def listener(self) -> Listener:
        """Who is told about requests, tokens and retries, in the thread that makes them."""
        return self._transport.listener

    @listener.setter
    def listener(self, listener: Listener) -> None:
        self._transport.listener = listener

    def close(self) -> None:
        """Close all connections. A transfer in another thread fails at once."""
        self._transport.close()

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
        there = web_address(following, response.url)
        if following and (not there or origin(there) != origin(self._transport.base)):
            raise RegistryError(f"{self._endpoint.host} continues its {what} on another host")
        try:
            return json.loads(data), there.removeprefix(self._transport.base)
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
        digest = digest_of(data, algorithm)
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
                failures = failures + 1 if offset - before < CHUNK else 1
                if failures >= self._patience.tries:
                    raise RegistryError(
                        f"{self._endpoint.host}: transfer of {descriptor.digest} broke at byte {offset}: {error}",
                        hint="pull again: it continues there",
                    ) from None
                self._transport.pause(failures, f"transfer broke at byte {offset}: {error}")

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
            for chunk in self._transport.body(response):
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

    # ---- one answer

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
                self._transport.pause(attempt, last)
                continue
            if response.status_code not in BUSY:
                if response.status_code in good:
                    return response
                raise self._refusal(response, what)
            last = f"answered {response.status_code} {printable(response.reason)}"
            wait = retry_after(response)
            if wait and wait > WAIT_MAX:
                said = self._error_text(response)
                raise RegistryError(
                    f"{self._endpoint.host}: can't {_VERBS.get(call.method, 'send')} {what}: {last}{said}",
                    hint=f"it asks us to come back in {wait / 60:.0f} minutes",
                )
            response.close()
            self._transport.pause(attempt, last, wait)
        did = f"{_VERBS.get(call.method, 'send')} {what}"
        raise RegistryError(
            f"{self._endpoint.host}: can't {did}: {last}, {self._patience.tries} times", hint="try again later"
        )

    def _authorized(self, path: str, call: Call) -> Response:
        """Ask; if the registry wants to know who we are, find out how to tell it, and ask again."""
        sent = self._transport.authorization
        response = self._transport.request(path, call)
        if response.status_code == 401 and self.authorization.answer(response, sent):
            response = self._transport.request(path, call)
            if response.status_code == 401:  # its clock may be behind the one that made the token
                response.close()
                time.sleep(1)
                response = self._transport.request(path, call)
        return response

    def _document(self, path: str, call: Call, what: str) -> tuple[Response, bytes]:
        """An answer that must be small, and its whole body; asked for again if it is cut."""
        for attempt in range(1, self._patience.tries + 1):
            try:
                with self._answer(path, call, what) as response:
                    return response, self._transport.small_body(response, DOCUMENT_MAX, what)
            except Broken as error:
                last = f"{what} was cut: {error}"
                self._transport.pause(attempt, last)
        raise RegistryError(f"{self._endpoint.host}: {last}, {self._patience.tries} times", hint="try again later")

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
            if self.authorization.has_sent_login:
                return RegistryError(f"{asked} and refuses user or password{said}", hint=f"pyc login {host}")
            return RegistryError(f"{asked}{said}", hint="check the name; a private image needs 'pyc login' first")
        if status == 403:
            return RegistryError(f"{host} denies access to {repository}{said}", hint="check the name and your login")
        return RegistryError(f"{host} answered {status} {printable(response.reason)} for {what}{said}")

    def _error_text(self, response: Response) -> str:
        """What the registry said, as ": text", if it is the protocol's JSON (distribution-spec, error codes)."""
        import json

        try:
            text = json.loads(self._transport.small_body(response, _ERROR_BODY_MAX, "error"))["errors"][0]["message"]
        except (Broken, RegistryError, ValueError, KeyError, IndexError, TypeError, RecursionError):
            return ""
        return f": {printable(text)}" if isinstance(text, str) else ""


def _next_page(links: str) -> str:
    """The address of the next page in a Link header (RFC 8288), or ""."""
    from requests.utils import parse_header_links

    found = parse_header_links(links) if links else []
    return next((link["url"] for link in found if link.get("rel") == "next"), "")


def _check_range(response: Response, descriptor: Descriptor, offset: int) -> None:
    expected = f"bytes {offset}-{descriptor.size - 1}/"
    found = response.headers.get("Content-Range", "")
    if not found.startswith(expected) or found[len(expected) :] not in (str(descriptor.size), "*"):
        raise VerificationError(
            f"blob {descriptor.digest}: the registry sent {printable(found)!r} instead of {expected}{descriptor.size}"
        )


def _check_length(response: Response, descriptor: Descriptor) -> None:
    length = response.headers.get("Content-Length", "")
    if number_in(length) not in (None, descriptor.size):
        raise VerificationError(f"blob {descriptor.digest} has {length} bytes, not the {descriptor.size} promised")
