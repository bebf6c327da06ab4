"""From an image and options to a container on disk: a name, a directory, and what is to be in it."""

from __future__ import annotations

import os

from pycontainer.core.failpoint import hit
from pycontainer.engine import containers, facts, files, health, life, recall, removal, runroot, users
from pycontainer.engine.bundle import Bundle
from pycontainer.engine.containers import Container
from pycontainer.engine.identity import hostname_of, new_identity
from pycontainer.engine.options import Roots, RunOptions
from pycontainer.errors import Conflict, NotFound, UsageError
from pycontainer.light import lru_cache, nullcontext
from pycontainer.oci import options as container_options
from pycontainer.oci import security
from pycontainer.oci.build import Facts, build_spec
from pycontainer.oci.options import ContainerOptions
from pycontainer.oci.profiles import seccomp_profile
from pycontainer.oci.user import User, resolve_user
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs.overlay import Overlay, are_together, make_skeleton, skeleton
from pycontainer.rootfs.view import MergedView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from pycontainer.image.model import Image
    from pycontainer.oci.grammar.mounts import Mount
    from pycontainer.oci.spec import Seccomp, Spec


def create(roots: Roots, image: Image, options: RunOptions, *, starts: bool = True) -> Bundle:
    """Make the container's directory and everything in it, or leave nothing behind.

    ``starts``: it is about to start, so it takes what only a container that runs has.

    Raises:
        Conflict: the name is taken, or the cidfile exists.
        NotFound: there is nothing to bind, or no such network, volume or user.
        UsageError: options that make no sense for this image or host.
        HostLacks: a capability or kernel feature that was asked for.
        StoreError: the disk is full, or we may not write there.
    """
    container_id, name = new_identity(options)
    lock = life.take_lock(roots, container_id, patience=10)  # it is new: only those who repair can be in our way
    try:
        hit("create.locked")
        containers.reserve(roots, container_id, name)
        runroot.settle(roots)
        hit("create.reserved")
        where = roots.container(container_id)
        for directory in ("upper", "work"):
            os.mkdir(f"{where}/{directory}", 0o755)
        hit("create.filled")
        make_skeleton(roots.root)
        hostname = hostname_of(roots, container_id, options)
        make_sources(options.container)
        with _volumes(roots, image, options.container, container_id):
            bundle = describe(
                roots,
                image,
                options,
                container_id,
                name,
                file_binds=write_files(roots, container_id, hostname, options.container),
                users_of=(lambda asked: users.take(roots, container_id, asked)) if starts else users.foresee,
            )
            hit("create.described")
            containers.write(roots, bundle.container)
            hit("create.recorded")
        write_cidfile(options.cidfile, container_id)
        hit("create.done")
    except BaseException as error:
        removal.discard(roots, container_id, name)
        os.close(lock)
        if isinstance(error, OSError):
            from pycontainer.engine.refusal import trouble

            raise trouble(roots, "can't make the container", error) from error
        raise
    return bundle._replace(lock=lock)


def cgroup_of(parent: str, container_id: str) -> str:
    """Where a container's cgroup is: below ``parent``, or if that is a slice, in a scope of systemd's.

    Raises HostLacks where no systemd can make one.
    """
    if parent.endswith(".slice"):
        from pycontainer.cgroups import scope, systemd  # most are not

        systemd.require()
        return scope.path(parent, f"pyc-{container_id}")
    return f"/{parent.strip('/') or 'pyc'}/{container_id}"  # from the top, with or without a slash


def describe(
    roots: Roots,
    image: Image,
    options: RunOptions,
    container_id: str,
    name: str,
    *,
    file_binds: Mapping[str, str] | None = None,
    user: User | None = None,
    users_of: Callable[[ContainerOptions], int] = users.foresee,
) -> Bundle:
    """What the container would be. Without ``user``, the image's files say who that is; with one, there are none.

    ``users_of`` says which user namespace it gets, from its options with their volumes resolved. Nothing is touched,
    unless that function takes a range of ids.

    Raises NotFound, UsageError and HostLacks, as :func:`create` does.
    """
    container_options.check(options.container)
    asked, shown = _with_volumes(roots, image, _with_networks(roots, options.container), container_id)
    lowers = tuple(layer.path_of_fs for layer in reversed(image.stack))
    if not lowers:
        raise UsageError(f"image {options.image} has no layers: there is nothing to run in it")
    _check_sources(asked, shown)
    if is_here := user is None:
        user = _user(asked.user or image.config.user, asked.group_add, lowers)
    seen = facts.gather(asked, setuid_files=[path for layer in image.stack for path in layer.facts.setuid])
    if users.has_room(asked, user):
        seen = seen._replace(users=users_of(shown))
    own_files = file_binds or {path: path for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")}
    spec = build_spec(
        image.config,
        shown,
        user=user,
        hostname=hostname_of(roots, container_id, options),
        cgroups_path=cgroup_of(asked.cgroup_parent, container_id),
        facts=seen,
        files=own_files,
        seccomp=_filter(image, asked, seen),
    )
    if shown.mounts and _has_volumes(image, asked):
        from pycontainer.engine import idmap, propagation

        idmap.map_owners(spec, shown.mounts, user, seen.users)
        propagation.check(shown.mounts)
    if is_here:
        _settle(spec, (*own_files, *(mount.target for mount in shown.mounts)), lowers)
    return Bundle(
        _container(image, options, asked, spec, container_id, name),
        spec,
        _rootfs(roots, container_id, lowers, volatile=options.rm, mapped=bool(seen.users)),
        asked.init,
        ("devices", "pids.limit") if asked.pids_limit == ContainerOptions().pids_limit else ("devices",),
        asked=asked,
        exposed=image.config.exposed_ports,
        users=seen.users,
    )


def _with_networks(roots: Roots, asked: ContainerOptions) -> ContainerOptions:
    """The options with every network by its name, whatever it was called."""
    if all(endpoint.name == "bridge" for endpoint in asked.endpoints):
        return asked
    from pycontainer.engine.network.endpoints import named  # +5 ms, which the start takes anyway

    return asked._replace(endpoints=tuple(named(roots, endpoint) for endpoint in asked.endpoints))


@lru_cache(maxsize=64)  # layers never change, so a program that starts many containers looks once
def _user(name: str, groups: tuple[str, ...], lowers: tuple[str, ...]) -> User:
    with MergedView(lowers) as view:
        return resolve_user(name, groups, view)


def _settle(spec: Spec, targets: tuple[str, ...], lowers: tuple[str, ...]) -> None:
    """Let each of these mount points be where the image's links lead, if they lead to nothing yet."""
    if moved := _led(targets, lowers):
        for mount in spec["mounts"]:
            mount["destination"] = moved.get(mount["destination"], mount["destination"])


@lru_cache(maxsize=64)  # as _user()
def _led(targets: tuple[str, ...], lowers: tuple[str, ...]) -> dict[str, str]:
    """Those that lead elsewhere, where nothing is: a link to what is there is followed by the kernel itself.

    One that is below another is in what is mounted there, where the image's links are not.
    """
    mounted = tuple(target.rstrip("/") + "/" for target in targets)
    with MergedView(lowers) as view:
        return {
            path: where
            for path in targets
            if not path.startswith(mounted) and not view.exists(path) and (where := view.led(path)) != path
        }


def _with_volumes(
    roots: Roots, image: Image, asked: ContainerOptions, container_id: str
) -> tuple[ContainerOptions, ContainerOptions]:
    """The options with every volume by its name, as the container's record has them, and by its directory."""
    if not _has_volumes(image, asked):
        return asked, asked
    from pycontainer.engine import mounts  # most containers have none

    named = mounts.named(roots, image.config, asked, container_id)
    return named, mounts.concrete(roots, named)


def _check_sources(asked: ContainerOptions, shown: ContainerOptions) -> None:
    """Raises NotFound if a bind that the user wrote has nothing to bind."""
    for mount in shown.mounts:
        missing = mount.type == "bind" and not mount.make_source and not os.path.exists(mount.source)
        if missing and mount in asked.mounts:
            raise NotFound(f"bind source path does not exist: {mount.source}", hint=f"mkdir -p {mount.source}")


def _container(
    image: Image, options: RunOptions, asked: ContainerOptions, spec: Spec, container_id: str, name: str
) -> Container:
    """What is recorded of it, for all commands to come."""
    return Container(
        id=container_id,
        name=name,
        image=options.image,
        image_id=image.id,
        command=tuple(spec["process"]["args"]),
        created=containers.now(),
        labels={**image.config.labels, **asked.labels},
        mounts=tuple(mount.source or mount.target for mount in asked.mounts),
        ports=_exposed(image.config.exposed_ports, asked.expose),
        rm=options.rm,
        cgroup=spec["linux"]["cgroupsPath"],
        options={
            **recall.stored(asked),
            "tty": asked.tty,
            "interactive": asked.interactive,
            "init": asked.init,
            "user": asked.user,
            "workdir": asked.workdir,
            "env": asked.env,
            "entrypoint": asked.entrypoint,
            "command": asked.command,
            "stop_signal": asked.stop_signal or image.config.stop_signal or "SIGTERM",
            "stdin_once": asked.interactive and not options.detach,
            "detached": options.detach,
            "cidfile": options.cidfile,
            "sets_home": any(entry.startswith("HOME=") for entry in (*image.config.env, *asked.env)),
            "health": health.wanted(image.config.healthcheck, asked),
        },
    )


def _exposed(of_image: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """The ports that somebody listens on, as ``80/tcp``; only ``-p`` and ``-P`` let others in."""
    if not (of_image or asked):
        return ()
    from pycontainer.oci.grammar.ports import expose  # most speak of none

    found = [one for text in (*of_image, *asked) for one in expose(text)]
    return tuple(dict.fromkeys(f"{one.first}/{one.protocol}" for one in found))


def make_sources(asked: ContainerOptions) -> None:
    """Make the directories that ``-v`` names and the host lacks, and say so: it may be a typing error."""
    for mount in asked.mounts:
        if mount.make_source and not os.path.exists(mount.source):
            try:
                os.makedirs(mount.source, 0o755)
            except OSError as error:
                why = os.strerror(error.errno or 0).lower()
                raise UsageError(f"can't make the bind source {mount.source}: {why}") from None
            from pycontainer.engine.notes import note

            note(f"made the directory {mount.source}, which was missing")


def _has_volumes(image: Image, asked: ContainerOptions) -> bool:
    """Whether a mount is more than a bind or a tmpfs, or has to be looked at before."""
    return bool(image.config.volumes or asked.volumes_from or any(map(_is_special, asked.mounts)))


def _is_special(mount: Mount) -> bool:
    spreads = not {"shared", "rshared", "slave", "rslave"}.isdisjoint(mount.options)
    return mount.type in ("volume", "image") or bool(mount.idmap) or spreads


def _volumes(roots: Roots, image: Image, asked: ContainerOptions, container_id: str) -> AbstractContextManager[None]:
    """What keeps the container's volumes from being removed until it is recorded; they are made and filled."""
    if not _has_volumes(image, asked):
        return nullcontext()
    from pycontainer.engine import mounts

    return mounts.prepared(roots, image, asked, container_id)


def _filter(image: Image, asked: ContainerOptions, seen: Facts) -> Seccomp | None:
    """The system call filter, which depends on the capabilities that the container has."""
    if asked.privileged and not asked.seccomp:
        return None  # only what was asked for by name
    capabilities = security.resolve_capabilities(
        asked.cap_add, asked.cap_drop, privileged=asked.privileged, available=seen.capabilities
    )
    has_elf32 = any(layer.facts.elf32 for layer in image.stack)
    compat32 = security.compat32(asked.compat32, has_elf32, image.config.architecture)
    return seccomp_profile(asked.seccomp, capabilities, cap_add=asked.cap_add, compat32=compat32)


def _rootfs(roots: Roots, container_id: str, lowers: tuple[str, ...], *, volatile: bool, mapped: bool) -> Overlay:
    """``mapped``: its mounts map ids, and one such mount for all is less than one for each."""
    base = roots.root + "/layers"  # short names: many layers must fit into one page of mount options
    own = f"../containers/{container_id}"
    stack = (*lowers, skeleton(roots.root))
    together = mapped and are_together(roots.root, ("containers", *_relative(stack, roots.root)))
    top = roots.root if together else ""
    return Overlay(base, _relative(stack, base), f"{own}/upper", f"{own}/work", volatile, top)


@lru_cache(maxsize=64)  # layers stay where they are
def _relative(paths: tuple[str, ...], base: str) -> tuple[str, ...]:
    return tuple([os.path.relpath(path, base) for path in paths])


def write_files(roots: Roots, container_id: str, hostname: str, asked: ContainerOptions) -> Mapping[str, str]:
    """Write the files that say who it is and whom it knows: path in the container -> path on the host."""
    written = files.write(roots.container(container_id), hostname, asked)
    if not asked.network.startswith("container:"):
        return written
    from pycontainer.engine import sharing  # most have a network of their own

    return {**written, **sharing.files(roots, asked)}


def write_cidfile(path: str, container_id: str) -> None:
    """Record the ID where the user asked for it, in a new file."""
    if not path:
        return
    try:
        with open(path, "x") as file:
            file.write(container_id)
    except FileExistsError:
        raise Conflict(f"--cidfile {path}: the file exists", hint="another container may still own it") from None
    except OSError as error:
        raise UsageError(f"--cidfile {path}: {os.strerror(error.errno or 0)}") from None
