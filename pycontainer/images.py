"""Images from Python: what the commands of ``pyc image`` do, and ``pyc login`` and ``search``.

>>> from pycontainer import images
>>> image = images.pull(NAME)
>>> image.config.cmd
('sh',)
>>> images.get(NAME).id == image.id
True
>>> [str(tag) for tag in images.tag(NAME, "example.com/mine:1").tags][0]
'example.com/mine:1'
>>> images.remove("example.com/mine:1").untagged
('example.com/mine:1',)

Every function works on the images of this user, or on those of ``roots``. What goes wrong is an error of
:mod:`pycontainer.errors`, whose message is one line. Importing this module costs next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.image.history import Step
    from pycontainer.engine.image.push import Pushed
    from pycontainer.engine.image.search import Found
    from pycontainer.engine.options import Roots
    from pycontainer.engine.prune import Pruned
    from pycontainer.image.credentials import Saved
    from pycontainer.image.events import Listener
    from pycontainer.image.model import Image, Removed
    from pycontainer.image.platform import Platform
    from pycontainer.image.reference import Reference
    from pycontainer.image.registry import Credentials
    from pycontainer.image.store import Store

__all__ = [
    "exists",
    "get",
    "history",
    "import_root",
    "inspect",
    "list",
    "load",
    "login",
    "logout",
    "prune",
    "pull",
    "push",
    "remove",
    "save",
    "search",
    "tag",
    "tags",
]


def pull(
    name: str,
    *,
    platform: str = "",
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    insecure: bool | None = None,
    jobs: int = 0,
    roots: Roots | None = None,
) -> Image:
    """Bring an image from its registry, or find that it is here and up to date.

    >>> heard = []
    >>> image = images.pull(NAME, progress=heard.append)
    >>> heard[-1].kind, heard[-1].digest == image.id
    ('image', True)

    Args:
        name: as on the command line, ``alpine``, ``host/path:tag``, ``oci:DIRECTORY``, ``docker-archive:FILE``;
            ``registries.conf`` may say what a name without a registry means.
        platform: ``os/architecture[/variant]``; this machine's by default.
        progress: is called with each :class:`~pycontainer.image.events.Event`, in the calling thread. What it raises
            ends the pull.
        credentials: gives user and password for a host; by default those that ``pyc login`` has stored.
        insecure: the registry may, or must not, be plain HTTP or have any certificate; by default as registries.conf
            says.
        jobs: how many layers at a time; by default what keeps this machine busy.
        roots: where the images are.

    Raises:
        InvalidReference, RegistryError, VerificationError, LayerError, ImageError, StoreError.
    """
    from pycontainer.engine.image.obtain import of_candidates
    from pycontainer.engine.image.pull import pull as fetch  # requests: 80 ms
    from pycontainer.engine.image.sources import open_source

    store, wanted = _store(roots), _platform(platform)
    if source := open_source(name):
        return source.take(store, platform=wanted, progress=progress)

    def attempt(reference: Reference) -> Image:
        image = fetch(
            store,
            reference,
            platform=wanted,
            progress=progress,
            credentials=credentials,
            insecure=insecure,
            jobs=jobs,
        )
        _tell(roots, "pull", reference.familiar, reference.familiar_name)
        return image

    return of_candidates(name, attempt, progress)


def push(
    name: str,
    *,
    platform: str = "",
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    insecure: bool | None = None,
    jobs: int = 0,
    form: str = "",
    compression: str = "",
    roots: Roots | None = None,
) -> Pushed:
    """Send an image to the registry that its name says. Other arguments as of :func:`pull`.

    Args:
        platform: what the image must be for; anything by default.
        form: ``oci`` or ``docker``; by default the format that it has.
        compression: ``gzip`` or ``zstd``, for all layers; by default as they are.

    Raises:
        NotFound, InvalidReference, UsageError, RegistryError, StoreError.
    """
    from pycontainer.engine.image.push import push as send  # requests: 80 ms
    from pycontainer.image.reference import Reference

    reference = Reference.parse(name)
    pushed = send(
        _store(roots),
        reference,
        platform=_platform(platform),
        progress=progress,
        credentials=credentials,
        insecure=insecure,
        jobs=jobs,
        form=form,
        compression=compression,
    )
    _tell(roots, "push", reference.familiar, reference.familiar_name)
    return pushed


def list(*, roots: Roots | None = None) -> Sequence[Image]:
    """All images, newest first.

    >>> any(image.id == images.get(NAME).id for image in images.list())
    True
    """
    return _store(roots).images()


def get(name_or_id: str, *, roots: Roots | None = None) -> Image:
    """The image of that name, ID, or beginning of an ID.

    >>> images.get("nobody/has:this")
    Traceback (most recent call last):
    pycontainer.errors.NotFound: no such image: nobody/has:this

    Raises:
        NotFound: there is none, or several.
    """
    return _store(roots).find(name_or_id)


def exists(name_or_id: str, *, roots: Roots | None = None) -> bool:
    """Whether there is such an image.

    >>> images.exists(NAME), images.exists("nobody/has:this")
    (True, False)
    """
    from pycontainer.errors import NotFound

    try:
        get(name_or_id, roots=roots)
    except NotFound:
        return False
    return True


def inspect(name_or_id: str, *, roots: Roots | None = None) -> dict[str, Any]:
    """All that is known about an image, as ``docker image inspect`` shows it.

    >>> images.inspect(NAME)["Config"]["Cmd"]
    ['sh']

    Raises:
        NotFound: there is none, or several.
    """
    from pycontainer.engine.inspect import image_document

    return image_document(get(name_or_id, roots=roots))


def history(name_or_id: str, *, roots: Roots | None = None) -> Sequence[Step]:
    """How an image came to be, the last step first.

    >>> images.history(NAME)[0].image_id == images.get(NAME).id
    True

    Raises:
        NotFound: there is none, or several.
    """
    from pycontainer.engine.image.history import history as steps

    return steps(get(name_or_id, roots=roots))


def tag(name_or_id: str, name: str, *, roots: Roots | None = None) -> Image:
    """Give an image one more name, which another image may lose by that.

    Raises:
        NotFound, InvalidReference.
    """
    from pycontainer.image.reference import Reference

    reference = Reference.parse(name)
    image = _store(roots).tag(name_or_id, reference)
    _tell(roots, "tag", image.id, reference.familiar)
    return image


def remove(name_or_id: str, *, force: bool = False, roots: Roots | None = None) -> Removed:
    """Take a name from an image; with its last name the image goes.

    Args:
        name_or_id: a name, or an ID for all its names.
        force: several names, or a container that has stopped, are no reason not to.
        roots: where the images are.

    Raises:
        NotFound: there is none. Conflict: a container uses it, or it has several names.
    """
    from pycontainer.engine.image import remove as images
    from pycontainer.engine.options import Roots

    return images.remove(Roots.of(roots), name_or_id, force=force)


def prune(*, all: bool = False, roots: Roots | None = None) -> Pruned:
    """Remove the images without a tag that no container uses; with ``all``, all that no container uses.

    Returns:
        what was removed, and the bytes that gave back.
    """
    from pycontainer.engine.options import Roots
    from pycontainer.engine.prune import prune_images

    return prune_images(Roots.of(roots), every=all)


def save(
    names: Sequence[str],
    path: str,
    *,
    form: str = "docker-archive",
    progress: Listener | None = None,
    roots: Roots | None = None,
) -> None:
    """Write images into an archive, which is there when it is whole.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     images.save([NAME], directory + "/image.tar")
    ...     [image.id for image in images.load(directory + "/image.tar")] == [images.get(NAME).id]
    True

    Args:
        names: names and IDs.
        path: of the archive, replaced if it is there.
        form: ``docker-archive`` or ``oci-archive``.
        progress: as of :func:`pull`.
        roots: where the images are.

    Raises:
        NotFound: no such image. StoreError: the archive can't be written.
    """
    from pycontainer.engine.image.archives import save as write  # 30 ms
    from pycontainer.engine.output import whole_file

    with whole_file(path) as fd:
        write(_store(roots), names, fd, form=form, progress=progress)
    for name in names:
        _tell(roots, "save", name, name)


def load(
    path: str, *, platform: str = "", progress: Listener | None = None, roots: Roots | None = None
) -> Sequence[Image]:
    """Bring all images of an archive: of ``docker save``, an OCI archive, or a directory with an OCI layout.

    Raises:
        ImageError: the archive is malformed or hostile; then none of its images is there.
        StoreError: it can't be read, or the disk is full.
    """
    from pycontainer.engine.image.archives import load as read  # 30 ms

    fd = _open(path)
    try:
        loaded = read(_store(roots), fd, path, platform=_platform(platform), progress=progress)
    finally:
        os.close(fd)
    for image, given in loaded:
        for reference in given or (None,):
            _tell(roots, "load", image.id, reference.familiar if reference else image.id)
    return [each.image for each in loaded]


def import_root(
    path: str,
    name: str = "",
    *,
    changes: Sequence[str] = (),
    message: str = "",
    platform: str = "",
    progress: Listener | None = None,
    roots: Roots | None = None,
) -> Image:
    """Make an image of a root filesystem in a tar archive, plain or compressed with gzip, zstd, bzip2 or xz.

    Args:
        path: of the archive.
        name: what to call the image; it is known by its ID without.
        changes: lines of a Dockerfile for its config, as ``CMD ["sh"]``.
        message: a comment for its history.
        platform: for which machine it is; this one by default.
        progress: as of :func:`pull`.
        roots: where the images are.

    Raises:
        UsageError: a change that makes no sense. InvalidReference: ``name`` is none.
        LayerError: the archive is malformed or hostile. StoreError: it can't be read, or the disk is full.
    """
    from pycontainer.engine.image.import_ import import_root as make  # 30 ms
    from pycontainer.image.reference import Reference

    wanted, reference = _platform(platform), Reference.parse(name) if name else None
    fd = _open(path)
    try:
        image = make(
            _store(roots),
            fd,
            path,
            reference,
            changes=changes,
            message=message,
            platform=wanted,
            progress=progress,
        )
    finally:
        os.close(fd)
    _tell(roots, "import", image.id, reference.familiar if reference else image.id)
    return image


def tags(name: str, *, credentials: Credentials | None = None, insecure: bool | None = None) -> Sequence[str]:
    """The tags that a repository has in its registry. Arguments as of :func:`pull`.

    >>> "latest" in images.tags(NAME)
    True

    Raises:
        InvalidReference, RegistryError.
    """
    from pycontainer.engine.image.search import tags as listed  # requests: 80 ms
    from pycontainer.image.shortnames import candidates

    return listed(candidates(name)[0], credentials=credentials, insecure=insecure)


def search(
    term: str, *, limit: int = 25, credentials: Credentials | None = None, insecure: bool | None = None
) -> Sequence[Found]:
    """Repositories of Docker Hub that fit a word, best first, or of ``HOST`` for ``HOST/word``.

    Raises:
        RegistryError: it can't be reached, or can't be searched.
    """
    from pycontainer.engine.image.search import search as found  # requests: 80 ms

    return found(term, limit=limit, credentials=credentials, insecure=insecure)


def login(server: str, user: str, password: str, *, insecure: bool | None = None) -> Saved:
    """Show a login to a registry, and keep it where ``pyc login``, docker and podman look if that lets us in.

    Args:
        server: ``HOST`` or ``HOST:PORT``; "" for Docker Hub.
        user, password: of somebody there.
        insecure: as of :func:`pull`.

    Returns:
        where the login is kept now.

    Raises:
        RegistryError: the registry can't be reached, or refuses. StoreError: the login can't be written.
    """
    from pycontainer.engine.image import login as engine  # requests: 80 ms

    return engine.login(engine.registry_name(server), engine.Login(user, password), insecure=insecure)


def logout(server: str) -> bool:
    """Forget the login for a registry; whether there was one.

    >>> images.logout("registry.example.com")
    False
    """
    from pycontainer.engine.image import login as engine  # requests: 80 ms

    return bool(engine.logout(engine.registry_name(server)))


def _tell(roots: Roots | None, action: str, what: str, name: str) -> None:
    """Add what happened to the events, as the commands do."""
    from pycontainer.engine import events
    from pycontainer.engine.options import Roots

    events.tell(Roots.of(roots), "image", action, what, name=name)


def _store(roots: Roots | None) -> Store:
    from pycontainer.engine.options import Roots as Default
    from pycontainer.image.store import Store

    return Store(Default.of(roots).root)


def _platform(text: str) -> Platform | None:
    from pycontainer.image.platform import Platform

    return Platform.parse(text) if text else None


def _open(path: str) -> int:
    from pycontainer.errors import StoreError

    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from None
