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

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping

from pycontainer.core.directories import make_private
from pycontainer.engine import containers, removal
from pycontainer.errors import Conflict, HostLacks, NotFound, StoreError, UsageError
from pycontainer.oci.grammar import Mount
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.manifest import ImageConfig
    from pycontainer.image.store import Image
    from pycontainer.oci.options import ContainerOptions
    from pycontainer.oci.spec import Spec
    from pycontainer.oci.user import User

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWNER_DIGITS = 56
"""How many digits of a container's ID its volumes without a name begin with; a number of eight digits follows."""


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
    _check(wanted.options)
    with _locked(roots, wanted.name, make=True):
        return _ensure(roots, wanted)


def _check(options: Mapping[str, str]) -> None:
    """The rules of docker's local driver."""
    missing = next((key for key in ("type", "device") if options and not options.get(key)), "")
    if missing and not (missing == "device" and options.get("type") == "tmpfs"):
        raise UsageError(f"volume option {missing} is missing: o needs type and device")


def _ensure(roots: Roots, wanted: Volume) -> Volume:
    """Write down what the volume is, if that has not been done; its lock is held."""
    with contextlib.suppress(NotFound):
        found = _load(roots, wanted.name)
        if wanted.options and found.options != wanted.options:
            raise Conflict(
                f"volume {wanted.name} exists with other options", hint=f"see 'pyc volume inspect {wanted.name}'"
            )
        return found
    where = directory(roots, wanted.name)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{where}/_data", 0o755)
        os.chmod(f"{where}/_data", 0o755)  # whatever our umask
        with open(f"{where}/volume.json.new", "w") as file:
            file.write(json.dumps(wanted._asdict()))
        os.rename(f"{where}/volume.json.new", f"{where}/volume.json")
    except OSError as error:
        raise StoreError(f"can't make volume {wanted.name}: {os.strerror(error.errno or 0).lower()}") from error
    return wanted


@contextlib.contextmanager
def _locked(roots: Roots, name: str, *, make: bool = False, wait: bool = True) -> Iterator[None]:
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
                with contextlib.suppress(FileExistsError):
                    make_private(parent)
        try:
            lock = os.open(path, _DIRECTORY)
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
    for name in sorted(_entries(roots)):
        with contextlib.suppress(NotFound):
            found.append(_load(roots, name))
    return found


def find(roots: Roots, name: str) -> Volume:
    """The volume of that name. Raises NotFound."""
    if "/" in name or name.startswith("."):
        raise NotFound(f"no such volume: {name}")
    return _load(roots, name)


def _load(roots: Roots, name: str) -> Volume:
    try:
        with open(directory(roots, name) + "/volume.json") as file:
            return Volume(**json.load(file))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no such volume: {name}", hint="'pyc volume ls' lists them all") from None
    except (ValueError, TypeError):
        raise StoreError(
            f"volume {name}: its volume.json is damaged", hint=f"what it holds is in {data(roots, name)}"
        ) from None


def _entries(roots: Roots) -> list[str]:
    try:
        return os.listdir(roots.root + "/volumes")
    except FileNotFoundError:
        return []


def users(roots: Roots) -> dict[str, list[Container]]:
    """Name of a volume -> the containers that have it, in any state."""
    found: dict[str, list[Container]] = {}
    for container in containers.listing(roots):
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
        with _locked(roots, name, wait=False):
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
    trash = f"{roots.root}/trash"
    with contextlib.suppress(FileExistsError):
        os.mkdir(trash, 0o700)
    os.rename(directory(roots, name), f"{trash}/{name}.{os.urandom(4).hex()}")
    removal.empty_trash(roots)


def drop(roots: Roots, container_id: str) -> None:
    """Remove the volumes without a name that a container brought with it, except those that others have too."""
    own = [name for name in _entries(roots) if name.startswith(container_id[:_OWNER_DIGITS])]
    shared = users(roots) if own else {}
    for name in own:
        with contextlib.suppress(NotFound, Conflict):
            if name not in shared:
                with _locked(roots, name, wait=False):
                    _delete(roots, name)


def prune(roots: Roots, candidates: Iterable[Volume]) -> Iterator[tuple[str, int]]:
    """Remove those of ``candidates`` that no container has; yields name and bytes of each."""
    for name in [*(volume.name for volume in candidates), *_remains(roots)]:
        with contextlib.suppress(NotFound, Conflict), _locked(roots, name, wait=False):
            if name in users(roots):
                continue
            size = _size(data(roots, name))
            finished = os.path.exists(directory(roots, name) + "/volume.json")
            _delete(roots, name)
            if finished:
                yield name, size


def _remains(roots: Roots) -> list[str]:
    """Directories whose makers were killed before they were volumes."""
    return [name for name in _entries(roots) if not os.path.exists(directory(roots, name) + "/volume.json")]


def _size(path: str) -> int:
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_size
    return total


# --- what a container has ---------------------------------------------------------------------------------------------


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
    owner = container_id[:_OWNER_DIGITS]
    every = [_named(roots, mount, f"{owner}{number:08x}") for number, mount in enumerate(mounts.values())]
    return options._replace(mounts=tuple(every), volumes_from=())


def _named(roots: Roots, mount: Mount, name: str) -> Mount:
    """A volume has a name and an image its ID, whatever becomes of the image's name."""
    if mount.type == "image":
        from pycontainer.image.store import Store

        return mount._replace(source=Store(roots.root).find(mount.source).id)
    return mount._replace(source=mount.source or name) if mount.type == "volume" else mount


@contextlib.contextmanager
def prepared(roots: Roots, image: Image, options: ContainerOptions, container_id: str) -> Iterator[None]:
    """Make and fill the volumes of a container, and keep others from removing them: until it is recorded.

    Raises PycError; what was made for this container alone is then removed by :func:`drop`.
    """
    mounts = [mount for mount in named(roots, image.config, options, container_id).mounts if mount.type == "volume"]
    by_name = {mount.source: mount for mount in reversed(mounts)}
    with contextlib.ExitStack() as locks:
        for name in sorted(by_name):  # all in the same order, or two could wait for each other
            locks.enter_context(_locked(roots, name, make=True))
            anonymous = name.startswith(container_id[:_OWNER_DIGITS])
            asked = dict(by_name[name].driver_options)
            _check(asked)
            _ensure(roots, Volume(name, time.time(), dict(by_name[name].labels), asked, anonymous))
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
    if _load(roots, mount.source).options or (os.listdir(data(roots, mount.source)) and not os.path.exists(marker)):
        return
    make_skeleton(roots.root)
    layers = [*(layer.path_of_fs for layer in reversed(image.layers)), skeleton(roots.root)]
    with contextlib.ExitStack() as opened:
        target = os.open(data(roots, mount.source), _DIRECTORY)
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
        try:
            copyup.copy_up(source, target)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise StoreError(f"can't copy {mount.target} of the image into volume {mount.source}: {why}") from error
        os.unlink(marker)


def _find_part(roots: Roots, mount: Mount) -> None:
    """Say now, and in words, what the start would refuse."""
    from pycontainer.core.kernel import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2

    if _load(roots, mount.source).options:
        return
    top = os.open(data(roots, mount.source), _DIRECTORY)
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
        options = _load(roots, mount.source).options
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
    return mount._replace(type=options["type"], source=options["device"], readonly=readonly, options=rest)


def _layers(roots: Roots, mount: Mount) -> Mount:
    """An image as a filesystem: its layers without any that could be written."""
    from pycontainer.image.store import Store
    from pycontainer.plan.host import kernel_version
    from pycontainer.plan.root import LOWERDIR_PLUS
    from pycontainer.rootfs.overlay import skeleton

    image = Store(roots.root).find(mount.source)
    lowers = [layer.path_of_fs for layer in reversed(image.layers)]
    if len(lowers) < 2:
        lowers.append(skeleton(roots.root) + "/sys")  # it is empty; overlayfs wants two when none is writable
    layers = tuple(f"lowerdir+={lower}" for lower in lowers)
    if kernel_version() < LOWERDIR_PLUS:
        layers = ("lowerdir=" + ":".join(lowers),)
        if len(layers[0]) > 255:
            raise HostLacks(f"can't mount image {mount.source[:19]}: it has many layers", hint="this takes Linux 6.5")
    options = (*mount.options, *layers, "redirect_dir=off", "metacopy=off")
    return mount._replace(type="overlay", source="image", options=options)


def map_owners(spec: Spec, mounts: Collection[Mount], user: User) -> None:
    """Write into the spec whose owners are shown as others, for the mounts that asked for it."""
    for mount in mounts:
        if not mount.idmap:
            continue
        try:
            owner = os.stat(mount.source)
        except OSError as error:
            raise NotFound(f"bind source {mount.source}: {os.strerror(error.errno or 0).lower()}") from None
        found = next(one for one in spec["mounts"] if one["destination"] == mount.target)
        if (owner.st_uid, owner.st_gid) == (user.uid, user.gid):
            continue  # the same already
        found["options"] = [*found["options"], "idmap"]
        found["uidMappings"] = _swapped(owner.st_uid, user.uid)
        found["gidMappings"] = _swapped(owner.st_gid, user.gid)


_LAST_ID = 2**32 - 2


def _swapped(theirs: int, ours: int) -> list[Any]:
    """All ids stay what they are, but ``theirs``, which is shown as ``ours``; nobody is shown as theirs then.

    containerID is the id in the filesystem, hostID the one that is shown (config.md, Mounts).
    """
    low, high = sorted((theirs, ours))
    ranges = [(0, low - 1), (low + 1, high - 1), (high + 1, _LAST_ID)] if low != high else [(0, _LAST_ID)]
    same = [{"containerID": a, "hostID": a, "size": b - a + 1} for a, b in ranges if a <= b]
    return same if low == high else [{"containerID": theirs, "hostID": ours, "size": 1}, *same]


# --- bind propagation -------------------------------------------------------------------------------------------------


def check_propagation(mounts: Collection[Mount]) -> None:
    """What is mounted below a source is only told on if the mount that it is on is shared.

    Raises UsageError.
    """
    for mount in mounts:
        words = {word.removeprefix("r") for word in mount.options} & {"shared", "slave"}
        if mount.type != "bind" or not words:
            continue
        point, tags = _mount_of(os.path.realpath(mount.source))
        if not tags & ({"shared"} if "shared" in words else {"shared", "master"}):
            kind = "a shared mount" if "shared" in words else "a shared or slave mount"
            raise UsageError(
                f"{mount.source} is mounted on {point}, but it is not {kind}", hint=f"mount --make-rshared {point}"
            )


def _mount_of(path: str) -> tuple[str, set[str]]:
    """The mount point that a path is below, and its propagation (proc_pid_mountinfo(5), optional fields)."""
    best, tags = "", set[str]()
    with open("/proc/self/mountinfo", errors="surrogateescape") as table:
        for line in table:
            fields = line.split(" ")
            point = fields[4].encode("latin-1", "surrogateescape").decode("unicode_escape", "replace")
            if len(point) >= len(best) and f"{path}/".startswith(point.rstrip("/") + "/"):
                best, tags = point, {word.partition(":")[0] for word in fields[6 : fields.index("-")]}
    return best, tags


# --- documents --------------------------------------------------------------------------------------------------------


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
