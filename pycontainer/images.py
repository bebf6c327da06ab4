"""Images from Python: what ``pyc pull``, ``push``, ``images``, ``tag``, ``rmi``, ``save`` and ``load`` do.

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
    from pycontainer.engine.options import Roots
    from pycontainer.engine.push import Pushed
    from pycontainer.image.events import Listener
    from pycontainer.image.platform import Platform
    from pycontainer.image.registry import Credentials
    from pycontainer.image.store import Image, Removed, Store

__all__ = ["get", "list", "load", "pull", "push", "remove", "save", "tag"]


def pull(
    name: str,
    *,
    platform: str = "",
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    jobs: int = 0,
    roots: Roots | None = None,
) -> Image:
    """Bring an image from its registry, or find that it is here and up to date.

    >>> heard = []
    >>> image = images.pull(NAME, progress=heard.append)
    >>> heard[-1].kind, heard[-1].digest == image.id
    ('image', True)

    Args:
        name: as on the command line, ``alpine`` or ``host/path:tag``; ``registries.conf`` may say what a name without
            a registry means.
        platform: ``os/architecture[/variant]``; this machine's by default.
        progress: is called with each :class:`~pycontainer.image.events.Event`, in the calling thread. What it raises
            ends the pull.
        credentials: gives user and password for a host; by default those that ``pyc login`` has stored.
        jobs: how many layers at a time; as many as processors by default.
        roots: where the images are.

    Raises:
        InvalidReference, RegistryError, VerificationError, LayerError, ImageError, StoreError.
    """
    from pycontainer.engine.obtain import of_candidates
    from pycontainer.engine.pull import pull as fetch  # requests: 80 ms

    store, wanted = _store(roots), _platform(platform)
    return of_candidates(
        name,
        lambda reference: fetch(
            store, reference, platform=wanted, progress=progress, credentials=credentials, jobs=jobs
        ),
        progress,
    )


def push(
    name: str,
    *,
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    jobs: int = 0,
    roots: Roots | None = None,
) -> Pushed:
    """Send an image to the registry that its name says. Arguments as of :func:`pull`.

    Raises:
        NotFound, InvalidReference, RegistryError, StoreError.
    """
    from pycontainer.engine.push import push as send  # requests: 80 ms
    from pycontainer.image.reference import Reference

    return send(_store(roots), Reference.parse(name), progress=progress, credentials=credentials, jobs=jobs)


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


def tag(name_or_id: str, name: str, *, roots: Roots | None = None) -> Image:
    """Give an image one more name, which another image may lose by that.

    Raises:
        NotFound, InvalidReference.
    """
    from pycontainer.image.reference import Reference

    return _store(roots).tag(name_or_id, Reference.parse(name))


def remove(name_or_id: str, *, force: bool = False, roots: Roots | None = None) -> Removed:
    """Take a name from an image; with its last name the image goes.

    Args:
        name_or_id: a name, or an ID for all its names.
        force: several names, or a container that has stopped, are no reason not to.
        roots: where the images are.

    Raises:
        NotFound: there is none. Conflict: a container uses it, or it has several names.
    """
    from pycontainer.engine.options import Roots
    from pycontainer.engine.prune import users

    where = roots or Roots.default()
    return _store(where).remove(name_or_id, force=force, in_use=lambda image_id: users(where, image_id))


def save(names: Sequence[str], path: str, *, form: str = "docker-archive", roots: Roots | None = None) -> None:
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
        roots: where the images are.

    Raises:
        NotFound: no such image. StoreError: the archive can't be written.
    """
    from pycontainer.engine.archives import save as write  # 30 ms
    from pycontainer.errors import StoreError

    partial = f"{path}.{os.getpid()}.partial"
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from None
    try:
        write(_store(roots), names, fd, form=form)
        os.rename(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    finally:
        os.close(fd)


def load(
    path: str, *, platform: str = "", progress: Listener | None = None, roots: Roots | None = None
) -> Sequence[Image]:
    """Bring all images of an archive: of ``docker save``, an OCI archive, or a directory with an OCI layout.

    Raises:
        ImageError: the archive is malformed or hostile; then none of its images is there.
        StoreError: it can't be read, or the disk is full.
    """
    from pycontainer.engine.archives import load as read  # 30 ms
    from pycontainer.errors import StoreError

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from None
    try:
        loaded = read(_store(roots), fd, path, platform=_platform(platform), progress=progress)
    finally:
        os.close(fd)
    return [each.image for each in loaded]


def _store(roots: Roots | None) -> Store:
    from pycontainer.engine.options import Roots as Default
    from pycontainer.image.store import Store

    return Store((roots or Default.default()).root)


def _platform(text: str) -> Platform | None:
    from pycontainer.image.platform import Platform

    return Platform.parse(text) if text else None
