"""The mounts of a container: from what was asked to what the kernel is told.

First each volume gets a name and each image its ID (:func:`named`), then the volumes are made and filled
(:func:`prepared`), and at last all are binds and filesystems (:func:`concrete`).
"""

from __future__ import annotations

import errno
import os
import time

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, volumes
from pycontainer.engine.identity import OWNER_DIGITS
from pycontainer.engine.volumes import DIRECTORY, Volume, data, directory, recorded
from pycontainer.errors import HostLacks, NotFound, StoreError, UsageError
from pycontainer.light import ExitStack, contextmanager
from pycontainer.oci.grammar.mounts import Mount
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.manifest import ImageConfig
    from pycontainer.image.model import Image
    from pycontainer.oci.options import ContainerOptions


def named(roots: Roots, config: ImageConfig, options: ContainerOptions, container_id: str) -> ContainerOptions:
    """The options with all mounts that the container will have: the user's, other containers', the image's.

    The first of two for the same place wins, in that order. Reads records, and touches nothing.
    """
    mounts = {mount.target: mount for mount in options.mounts}
    inherited: dict[str, Mount] = {}
    for name, readonly in options.volumes_from:
        for mount in recorded(containers.find(roots, name)):
            if mount.type != "tmpfs":
                readable = mount.readonly or readonly
                inherited[mount.target] = mount._replace(readonly=readable, nocopy=True)
    mounts = inherited | mounts
    for path in config.volumes:
        target = os.path.normpath("/" + path.lstrip("/"))  # an image's "/../../etc" is its own /etc, if anything
        if target == "/" or not target.isprintable():
            raise UsageError(f"the image declares a volume at {path!r}, where none can be")
        if target.split("/")[1] in ("proc", "sys", "dev"):
            continue  # images made for systemd declare /sys/fs/cgroup; what the kernel shows is no image's to hide
        mounts.setdefault(target, Mount("volume", "", target))
    owner = container_id[:OWNER_DIGITS]
    every = [_named(roots, mount, f"{owner}{number:08x}") for number, mount in enumerate(mounts.values())]
    return options._replace(mounts=tuple(every), volumes_from=())


def _named(roots: Roots, mount: Mount, name: str) -> Mount:
    """A volume has a name and an image its ID, whatever becomes of the image's name."""
    if mount.type == "image":
        from pycontainer.image.store import Store

        return mount._replace(source=Store(roots.root).find(mount.source).id)
    return mount._replace(source=mount.source or name) if mount.type == "volume" else mount


@contextmanager
def prepared(roots: Roots, image: Image, options: ContainerOptions, container_id: str) -> Iterator[None]:
    """Make and fill the volumes of a container, and keep others from removing them: until it is recorded.

    Raises PycError; what was made for this container alone is then removed by :func:`drop`.
    """
    mounts = [mount for mount in named(roots, image.config, options, container_id).mounts if mount.type == "volume"]
    by_name = {mount.source: mount for mount in reversed(mounts)}
    with ExitStack() as locks:
        for name in sorted(by_name):  # all in the same order, or two could wait for each other
            locks.enter_context(volumes.locked(roots, name, make=True))
            anonymous = name.startswith(container_id[:OWNER_DIGITS])
            asked = dict(by_name[name].driver_options)
            volumes.check(asked)
            volumes.ensure(roots, Volume(name, time.time(), dict(by_name[name].labels), asked, anonymous))
        for mount in mounts:
            if not mount.nocopy and not mount.subpath:
                _fill(roots, mount, image)
            if mount.subpath:
                _find_part(roots, mount)
        yield


def _fill(roots: Roots, mount: Mount, image: Image) -> None:
    """Copy what the image has at the mount's place into an empty volume. Its lock is held.

    A volume with options is a filesystem that others fill.
    """
    from pycontainer.core.kernel import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
    from pycontainer.rootfs import copyup, detached
    from pycontainer.rootfs.overlay import make_skeleton, skeleton

    marker = directory(roots, mount.source) + "/copying"
    if volumes.load(roots, mount.source).options or (
        os.listdir(data(roots, mount.source)) and not os.path.exists(marker)
    ):
        return
    make_skeleton(roots.root)
    layers = [*(layer.path_of_fs for layer in reversed(image.stack)), skeleton(roots.root)]
    with ExitStack() as opened:
        target = os.open(data(roots, mount.source), DIRECTORY)
        opened.callback(os.close, target)
        root = opened.enter_context(detached.overlay(layers))
        try:
            path = mount.target.lstrip("/")
            resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
            source = openat2(root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=resolve)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return  # nothing is there that could be copied
            raise
        opened.callback(os.close, source)
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        hit("volume.copying")
        try:
            copyup.copy_up(source, target)
            hit("volume.copied")
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise StoreError(f"can't copy {mount.target} of the image into volume {mount.source}: {why}") from error
        os.unlink(marker)


def _find_part(roots: Roots, mount: Mount) -> None:
    """Say now, and in words, what the start would refuse."""
    from pycontainer.core.kernel import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2

    if volumes.load(roots, mount.source).options:
        return
    top = os.open(data(roots, mount.source), DIRECTORY)
    try:
        os.close(openat2(top, mount.subpath, os.O_PATH, resolve=RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS))
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise UsageError(f"subpath {mount.subpath} leads out of volume {mount.source}") from None
        why = os.strerror(error.errno or 0).lower()
        raise NotFound(f"subpath {mount.subpath} of volume {mount.source}: {why}") from None
    finally:
        os.close(top)


def concrete(roots: Roots, options: ContainerOptions) -> ContainerOptions:
    """The options with each volume and image as what it is to the kernel: a bind, or a filesystem."""
    return options._replace(mounts=tuple(_concrete(roots, mount) for mount in options.mounts))


def _concrete(roots: Roots, mount: Mount) -> Mount:
    if mount.type == "image":
        return _layers(roots, mount)
    if mount.type != "volume":
        return mount
    try:
        options = volumes.load(roots, mount.source).options
    except NotFound:  # a preview: it has not been made
        options = dict(mount.driver_options)
    if not options:
        return mount._replace(type="bind", source=data(roots, mount.source))
    words = [word for word in options.get("o", "").split(",") if word]
    readonly = mount.readonly or "ro" in words
    rest = tuple(word for word in words if word not in ("bind", "rbind", "ro", "rw"))
    if "bind" in words or "rbind" in words or options["type"] == "none":
        return mount._replace(
            type="bind", source=options["device"], readonly=readonly, options=rest, recursive="rbind" in words
        )
    if options["type"] == "tmpfs":
        if mount.subpath:
            raise UsageError(f"volume {mount.source} is a new tmpfs for each container: there is no {mount.subpath}")
        return mount._replace(type="tmpfs", source="", readonly=readonly, options=("exec", *rest))
    if options["type"] in _OF_OTHER_HOSTS:
        rest = tuple(map(_with_address, rest))
    return mount._replace(type=options["type"], source=options["device"], readonly=readonly, options=rest)


_OF_OTHER_HOSTS = ("nfs", "nfs4", "cifs", "smb3")


def _with_address(word: str) -> str:
    """The kernel knows hosts by address only; mount.nfs(8) and mount.cifs(8) would look up the name."""
    key, _, host = word.partition("=")
    if key != "addr":
        return word
    from socket import gaierror, getaddrinfo  # +4 ms, for a filesystem of another host only

    try:
        return f"addr={getaddrinfo(host, None)[0][4][0]}"
    except (gaierror, UnicodeError):
        raise NotFound(f"volume option addr: no host is called {host!r}") from None


def _layers(roots: Roots, mount: Mount) -> Mount:
    """An image as a filesystem: its layers without any that could be written."""
    from pycontainer.image.store import Store
    from pycontainer.plan.host import kernel_version
    from pycontainer.plan.layers import LOWERDIR_PLUS
    from pycontainer.rootfs.overlay import skeleton

    image = Store(roots.root).find(mount.source)
    lowers = [layer.path_of_fs for layer in reversed(image.stack)]
    if len(lowers) < 2:
        lowers.append(skeleton(roots.root) + "/sys")  # it is empty; overlayfs wants two when none is writable
    layers = tuple(f"lowerdir+={lower}" for lower in lowers)
    if kernel_version() < LOWERDIR_PLUS:
        layers = ("lowerdir=" + ":".join(lowers),)
        if len(layers[0]) > 255:
            raise HostLacks(f"can't mount image {mount.source[:19]}: it has many layers", hint="this takes Linux 6.5")
    options = (*mount.options, *layers, "redirect_dir=off", "metacopy=off")
    return mount._replace(type="overlay", source="image", options=options)


def mount_points(roots: Roots, container: Container) -> list[dict[str, Any]]:
    """What ``inspect`` says of a container's mounts (Engine API, MountPoint), from its record alone."""
    return [_mount_point(roots, mount) for mount in recorded(container)]


def _mount_point(roots: Roots, mount: Mount) -> dict[str, Any]:
    spread = [word for word in mount.options if word.removeprefix("r") in ("private", "slave", "shared")]
    point: dict[str, Any] = {"Type": mount.type}
    if mount.type == "volume":
        point |= {"Name": mount.source, "Source": data(roots, mount.source), "Destination": mount.target}
        point |= {"Driver": "local"}
    else:
        point |= {"Source": mount.source, "Destination": mount.target}
    return point | {
        "Mode": ",".join(word for word in mount.options if word not in spread),
        "RW": not mount.readonly,
        "Propagation": (spread or ["rprivate"])[-1] if mount.type == "bind" else "",
    }
