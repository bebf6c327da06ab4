"""``docker-daemon:NAME``: an image of the docker daemon on this machine, by way of its socket.

The daemon gives what ``docker save`` writes (Engine API, ImageGet), and it is read as any archive of anybody's is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import quote

from pycontainer.engine.image.archives import open_archive, take
from pycontainer.errors import HostLacks, NotFound, Unsupported
from pycontainer.image.archive import disk_limit, spool, write_all
from pycontainer.image.reference import Reference, is_digest
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainer.image.events import Event
    from pycontainer.image.model import Image
    from pycontainer.image.platform import Platform
    from pycontainer.image.store import Store

_SOCKET = "/var/run/docker.sock"
_PATIENCE = 120.0
"""Seconds without a byte; a daemon packs an image before it sends the first."""
_READ = 1 << 20


class DaemonSource(Record):
    """An image of the daemon, by its name or ID there."""

    name: str

    @property
    def reference(self) -> Reference:
        """What it is called here: as there, for its user has said so."""
        if is_digest(self.name):
            return Reference.parse(f"localhost/{self.name.partition(':')[2][:12]}")
        return Reference.parse(self.name)

    def take(
        self, store: Store, *, platform: Platform | None = None, progress: Callable[[Event], None] | None = None
    ) -> Image:
        """Bring it into the store.

        Raises:
            NotFound: the daemon has no such image. HostLacks: there is no daemon. ImageError, StoreError: as a load.
        """
        store.prepare()
        file = spool(store.staging)
        try:
            write_all(file, _save(self.name), disk_limit(store.root))
            with open_archive(store, file, "what the docker daemon sent") as archive:
                return take(store, archive, "", self.reference, platform=platform, progress=progress)
        finally:
            os.close(file)


class _Connection(HTTPConnection):
    """HTTP over a socket of the file system."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def _path() -> str:
    host = os.environ.get("DOCKER_HOST", f"unix://{_SOCKET}")
    if not host.startswith("unix://"):
        raise Unsupported(f"the docker daemon at {host} is not on this machine", hint="pull from a registry instead")
    return host.removeprefix("unix://")


def _save(name: str) -> Iterator[bytes]:
    """What the daemon sends for an image."""
    path = _path()
    connection = _Connection(path, timeout=_PATIENCE)
    try:
        connection.request("GET", f"/images/{quote(name)}/get", headers={"Host": "docker"})
        response = connection.getresponse()
        _check(response, name)
        while piece := response.read1(_READ):
            yield piece
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", "") or str(error)
        raise HostLacks(f"can't reach the docker daemon at {path}: {reason}", hint="is dockerd running?") from None
    finally:
        connection.close()


def _check(response: HTTPResponse, name: str) -> None:
    if response.status == 404:
        raise NotFound(f"the docker daemon has no image {name}")
    if response.status != 200:
        raise NotFound(f"the docker daemon answered {response.status} for image {name}")
