"""Volumes: directories that outlive the containers that write to them.

    ROOT/volumes/<name>/_data          what containers see
    ROOT/volumes/<name>/volume.json    how it was made; without it the directory is nothing yet, or a kill has left it
    ROOT/volumes/<name>/copying        there while it is filled from an image: if found, that has to be done again

Whoever makes, fills or removes a volume holds the lock of its directory, which the kernel frees; who makes a container
holds it until the container is recorded. A volume is in use if the record of a container says so, and no counter is
kept. One without a name gets it from the container's ID, so whoever finds remains knows whose they are. Nothing here
looks at a volume's content, apart from filling it and counting what ``prune`` will free: the disk may not answer.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping

from pycontainer import jsontext
from pycontainer.core.directories import entries, make_private, replace_file
from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, events, trash
from pycontainer.engine.identity import OWNER_DIGITS
from pycontainer.errors import Conflict, NotFound, StoreError, UsageError
from pycontainer.light import contextmanager, suppress
from pycontainer.oci.grammar.mounts import Mount
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Volume(Record):
    """One volume.

    Attributes:
        name: unique on this root.
        created: seconds since the epoch.
        labels: of the user.
        options: of the local driver: ``type``, ``device``, ``o``; none for a plain directory.
        anonymous: nobody gave it a name.
    """

    name: str
    created: float
    labels: dict[str, str]
    options: dict[str, str]
    anonymous: bool = False


def directory(roots: Roots, name: str) -> str:
    """The volume's own directory."""
    return f"{roots.root}/volumes/{name}"


def data(roots: Roots, name: str) -> str:
    """What containers see of it, unless its options say otherwise."""
    return directory(roots, name) + "/_data"


# --- making, looking, removing ----------------------------------------------------------------------------------------


def create(
    roots: Roots, name: str = "", *, labels: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None
) -> Volume:
    """Make a volume, or find the one of that name.

    Raises:
        UsageError: options that can't be.
        Conflict: it is there with other options.
    """
    wanted = Volume(name or os.urandom(32).hex(), time.time(), dict(labels or {}), dict(options or {}), not name)
    check(wanted.options)
    with locked(roots, wanted.name, make=True):
        return ensure(roots, wanted)


def check(options: Mapping[str, str]) -> None:
    """The rules of docker's local driver."""
    missing = next((key for key in ("type", "device") if options and not options.get(key)), "")
    if missing and not (missing == "device" and options.get("type") == "tmpfs"):
        raise UsageError(f"volume option {missing} is missing: o needs type and device")


def ensure(roots: Roots, wanted: Volume) -> Volume:
    """Write down what the volume is, if that has not been done; its lock is held."""
    with suppress(NotFound):
        found = load(roots, wanted.name)
        if wanted.options and found.options != wanted.options:
            raise Conflict(
                f"volume {wanted.name} exists with other options", hint=f"see 'pyc volume inspect {wanted.name}'"
            )
        return found
    where = directory(roots, wanted.name)
    hit("volume.locked")
    try:
        with suppress(FileExistsError):
            os.mkdir(f"{where}/_data", 0o755)
        os.chmod(f"{where}/_data", 0o755)  # whatever our umask
        hit("volume.data")
        replace_file(f"{where}/volume.json", jsontext.dump(wanted._asdict()), written="volume.written")
    except OSError as error:
        raise StoreError(f"can't make volume {wanted.name}: {os.strerror(error.errno or 0).lower()}") from error
    hit("volume.made")
    events.tell(roots, "volume", "create", wanted.name, driver="local")
    return wanted


@contextmanager
def locked(roots: Roots, name: str, *, make: bool = False, wait: bool = True) -> Iterator[None]:
    """Be alone with a volume's directory.

    Raises NotFound, or without ``wait`` Conflict if somebody else has it.
    """
    lock = _lock(roots, name, make, wait)
    try:
        yield
    finally:
        os.close(lock)


def _lock(roots: Roots, name: str, make: bool, wait: bool) -> int:
    path = directory(roots, name)
    while True:
        if make:
            for parent in (roots.root, roots.root + "/volumes", path):
                with suppress(FileExistsError):
                    make_private(parent)
        try:
            lock = os.open(path, DIRECTORY)
        except FileNotFoundError:
            if make:
                continue
            raise NotFound(f"no such volume: {name}", hint="'pyc volume ls' lists them all") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise Conflict(f"volume {name} is in use: a container is just being made with it") from None
        except FileNotFoundError:
            pass  # it was removed while we waited
        os.close(lock)


def listing(roots: Roots) -> list[Volume]:
    """Every volume, by name."""
    found = []
    for name in sorted(entries(roots.root + "/volumes")):
        with suppress(NotFound):
            found.append(load(roots, name))
    return found


def find(roots: Roots, name: str) -> Volume:
    """The volume of that name. Raises NotFound."""
    if "/" in name or name.startswith(".") or len(os.fsencode(name)) > 255:
        raise NotFound(f"no such volume: {name}")
    return load(roots, name)


def load(roots: Roots, name: str) -> Volume:
    """The volume of a name that is known to be one. Raises NotFound, StoreError."""
    try:
        with open(directory(roots, name) + "/volume.json") as file:
            return Volume(**jsontext.load(file.read()))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no such volume: {name}", hint="'pyc volume ls' lists them all") from None
    except (ValueError, TypeError):
        raise StoreError(
            f"volume {name}: its volume.json is damaged", hint=f"what it holds is in {data(roots, name)}"
        ) from None


def users(roots: Roots, *, but: str = "") -> dict[str, list[Container]]:
    """Name of a volume -> the containers that have it, in any state."""
    found: dict[str, list[Container]] = {}
    for container in containers.listing(roots, whole=True, but=but):
        for name in {mount.source for mount in recorded(container) if mount.type == "volume"}:
            found.setdefault(name, []).append(container)
    return found


def recorded(container: Container) -> tuple[Mount, ...]:
    """The mounts that a container was asked to have; volumes have their names."""
    from pycontainer.engine.recall import recalled

    return recalled({"mounts": container.options.get("mounts", [])}).mounts


def remove(roots: Roots, name: str, *, force: bool = False) -> None:
    """Remove a volume and all that is in it; with ``force`` it need not be there.

    Raises NotFound, or Conflict if a container has it.
    """
    try:
        find(roots, name)
        with locked(roots, name, wait=False):
            if having := users(roots).get(name):
                raise Conflict(
                    f"volume {name} is in use by " + ", ".join(f"{c.name} ({c.id[:12]})" for c in having),
                    hint=f"remove the container first: pyc rm {having[0].name}",
                )
            _delete(roots, name)
    except NotFound:
        if not force:
            raise


def _delete(roots: Roots, name: str) -> None:
    """Out of sight at once, by a rename; then file by file. The lock is held."""
    doomed = trash.directory(roots)
    with suppress(FileExistsError):
        os.mkdir(doomed, 0o700)
    hit("volume.doomed")
    os.rename(directory(roots, name), f"{doomed}/{name}.{os.urandom(4).hex()}")
    hit("volume.moved")
    trash.empty(roots)
    events.tell(roots, "volume", "destroy", name, driver="local")


def drop(roots: Roots, container_id: str) -> None:
    """Remove the volumes without a name that a container brought with it, except those that others have too."""
    own = [name for name in entries(roots.root + "/volumes") if name.startswith(container_id[:OWNER_DIGITS])]
    try:
        others = users(roots, but=container_id) if own else {}
    except StoreError:
        return  # a damaged record may speak of them
    for name in own:
        with suppress(NotFound, Conflict):
            if name not in others:
                with locked(roots, name, wait=False):
                    _delete(roots, name)


def prune(roots: Roots, candidates: Iterable[Volume]) -> Iterator[tuple[str, int]]:
    """Remove those of ``candidates`` that no container has; yields name and bytes of each."""
    from pycontainer.engine.disk_usage import size_below  # all else goes without it

    for name in [*(volume.name for volume in candidates), *_remains(roots)]:
        with suppress(NotFound, Conflict), locked(roots, name, wait=False):
            if name in users(roots):
                continue
            size = size_below(data(roots, name))
            finished = os.path.exists(directory(roots, name) + "/volume.json")
            _delete(roots, name)
            if finished:
                yield name, size


def _remains(roots: Roots) -> list[str]:
    """Directories whose makers were killed before they were volumes."""
    return [
        name for name in entries(roots.root + "/volumes") if not os.path.exists(directory(roots, name) + "/volume.json")
    ]


def document(roots: Roots, volume: Volume) -> dict[str, Any]:
    """What ``docker volume inspect`` says of a volume (Engine API, Volume)."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(volume.created))
    return {
        "CreatedAt": created,
        "Driver": "local",
        "Labels": volume.labels or None,
        "Mountpoint": data(roots, volume.name),
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": "local",
    }
