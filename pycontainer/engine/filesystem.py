"""A container's files, for those who look at them or change them from outside: as the descriptor of a root directory.

No process of ours enters the container's root, and nothing is mounted where anybody could see it. While it runs, the
kernel has the way in: /proc/PID/root, opened once. Otherwise its layers are stacked anew, as a mount without a place.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from pycontainer.core.kernel import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2
from pycontainer.engine import life, removal
from pycontainer.engine.repair import repair
from pycontainer.errors import Conflict, HostLacks, NotFound
from pycontainer.image.store import Store
from pycontainer.oci.build import SUBPATH
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs import detached
from pycontainer.rootfs.overlay import make_skeleton, skeleton
from pycontainer.rootfs.view import MergedView

_PATIENCE = 60.0
"""Seconds to wait for another copy into the same container."""

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


@contextlib.contextmanager
def live(roots: Roots, container: Container, path: str, *, write: bool = False) -> Iterator[tuple[int, bytes]]:
    """The root that ``path`` is below and its path there; what is written there is in the container.

    While the container runs, this is the root as it sees it, with all that is mounted. Else it is what it has written
    on its layers, or the directory of the host that would be bound where ``path`` leads.

    Raises Conflict if ``write`` is asked for where the container may not write itself, or while it is being started.
    """
    if container.runs:
        root = _root_of_process(roots, container)
        try:
            yield root, os.fsencode(path)
        finally:
            os.close(root)
        return
    spec = _spec(roots.container(container.id))
    mount, below = _bound(roots, container, spec, path)
    if write and ("ro" in mount.get("options", ()) if mount else spec.get("root", {}).get("readonly")):
        raise Conflict(f"{path} is on a read-only {'mount' if mount else 'root'} of container {container.name}")
    if mount:
        root = _open_source(mount)
        try:
            yield root, os.fsencode(below)
        finally:
            os.close(root)
        return
    with _writing(roots, container) if write else snapshot(roots, container) as root:
        yield root, os.fsencode(path)


def _spec(bundle: str) -> dict[str, Any]:
    try:
        with open(f"{bundle}/config.json", "rb") as file:
            spec: dict[str, Any] = json.load(file)
    except (OSError, ValueError):
        return {}  # it has never run
    return spec


def _bound(roots: Roots, container: Container, spec: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The directory of the host that is bound over ``path``, if there is one, and the rest of the path below it.

    Both are compared by where the links on the layers lead, as the kernel did when it was bound. A link that ``path``
    itself is stays one, unless a slash says that what it leads to is meant.
    """
    mounts = spec.get("mounts", ())
    binds = [mount for mount in mounts if mount.get("type") == "bind" and os.path.isdir(mount["source"])]
    if not binds:
        return {}, path
    ending = "/." if path.endswith("/.") else "/" if path.endswith("/") else ""
    above, _, name = path.rpartition("/")
    with MergedView([roots.container(container.id) + "/upper", *_stack(roots, container)]) as view:
        whole = view.led(path) if ending or name == ".." else f"{view.led(above).rstrip('/')}/{name}"
        at = {view.led(mount["destination"]).rstrip("/"): mount for mount in binds}
    for destination in sorted(at, key=len, reverse=True):
        if f"{whole}/".startswith(destination + "/"):
            return at[destination], whole[len(destination) :] + ending or "/"
    return {}, path


def _open_source(mount: dict[str, Any]) -> int:
    """What is bound: a directory of the host's, or a part of a volume, which is looked up without leaving it."""
    root = os.open(mount["source"], os.O_PATH | os.O_CLOEXEC)
    part = next((word.partition("=")[2] for word in mount["options"] if word.startswith(SUBPATH + "=")), "")
    if not part:
        return root
    try:
        return openat2(root, part, os.O_PATH, resolve=RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise NotFound(f"{part} of the volume at {mount['destination']}: {why}") from None
    finally:
        os.close(root)


def base_of(container: Container) -> int:
    """The host's id that its root is while it runs, as the owners in :func:`live` show (user_namespaces(7))."""
    if not container.runs:
        return 0
    try:
        with open(f"/proc/{container.pid}/uid_map") as maps:
            return int(maps.read().split()[1])
    except (OSError, IndexError):
        return 0  # it has just ended, which :func:`live` says


@contextlib.contextmanager
def snapshot(roots: Roots, container: Container) -> Iterator[int]:
    """Its layers and what it has written, without what is mounted on them; nothing can be written there."""
    upper = roots.container(container.id) + "/upper"
    with detached.overlay([upper, *_layers(roots, container)]) as root:
        yield root


@contextlib.contextmanager
def image(roots: Roots, container: Container) -> Iterator[int]:
    """The root that the container began with."""
    with detached.overlay(_layers(roots, container)) as root:
        yield root


@contextlib.contextmanager
def upper(roots: Roots, container: Container) -> Iterator[int]:
    """The directory that holds what it has written, in overlayfs's own terms."""
    path = roots.container(container.id) + "/upper"
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _layers(roots: Roots, container: Container) -> list[str]:
    if os.geteuid() != 0:
        raise HostLacks("looking into a container takes root: its layers are stacked by a mount", hint="use sudo")
    make_skeleton(roots.root)
    return _stack(roots, container)


def _stack(roots: Roots, container: Container) -> list[str]:
    layers = Store(roots.root).find(container.image_id).stack
    return [*(layer.path_of_fs for layer in reversed(layers)), skeleton(roots.root)]


def _root_of_process(roots: Roots, container: Container) -> int:
    """The root of the first process. Its number is not taken by another one while the monitor lives."""
    try:
        root = os.open(f"/proc/{container.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise Conflict(f"container {container.name} can't be looked into: {why}", hint="it may be ending") from None
    if not life.is_alive(roots, container.id):
        os.close(root)
        raise Conflict(f"container {container.name} has just ended", hint="try again")
    return root


@contextlib.contextmanager
def _writing(roots: Roots, container: Container) -> Iterator[int]:
    """The layers under its own directory, which overlayfs must have only once: so nobody starts it meanwhile."""
    where = roots.container(container.id)
    repair(roots)  # or we would take a killed monitor's remains for our own, and delete them
    lock = life.take_lock(roots, container.id, patience=_PATIENCE)
    try:
        with detached.overlay(_layers(roots, container), f"{where}/upper", f"{where}/work") as root:
            yield root
    finally:
        removal.forget_live(roots, container.id)
        os.close(lock)
