"""Lists of manifests from Python: one name for the images of several kinds of machines, as ``pyc manifest`` makes them.

>>> from pycontainer import manifests
>>> _ = manifests.create("example.com/app:all", [NAME])
>>> manifests.annotate("example.com/app:all", NAME, variant="v2")
>>> [each["platform"]["variant"] for each in manifests.inspect("example.com/app:all")["manifests"]]
['v2']
>>> manifests.remove("example.com/app:all")

A list is on this machine only, until it is pushed. What goes wrong is an error of :mod:`pycontainer.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.image.push import Pushed
    from pycontainer.engine.options import Roots
    from pycontainer.image.events import Listener
    from pycontainer.image.reference import Reference
    from pycontainer.image.registry import Credentials
    from pycontainer.image.store import Store

__all__ = ["annotate", "create", "inspect", "push", "remove"]


def create(
    name: str,
    images: Sequence[str],
    *,
    amend: bool = False,
    credentials: Credentials | None = None,
    insecure: bool | None = None,
    roots: Roots | None = None,
) -> Reference:
    """Make a list, or with ``amend`` add to it.

    Args:
        name: what it will be called in its registry.
        images: names or IDs; those that are not here are asked of their registries.
        amend: the list may be there.
        credentials, insecure, roots: as of :func:`pycontainer.images.pull`.

    Raises:
        Conflict: there is a list of that name. RegistryError, ImageError: of an image.
    """
    from pycontainer.engine.image.manifests import Access  # requests: 80 ms
    from pycontainer.engine.image.manifests import create as make

    return make(_store(roots), name, images, amend=amend, access=Access(insecure, credentials))


def annotate(
    name: str,
    image: str,
    *,
    architecture: str = "",
    os: str = "",
    variant: str = "",
    os_version: str = "",
    os_features: Sequence[str] = (),
    roots: Roots | None = None,
) -> None:
    """Say what one image of a list is for. What is not given stays as it is.

    Raises:
        NotFound: no such list, or no such image in it. UsageError: what no platform can be called.
    """
    from pycontainer.engine.image.manifest_list import annotate as note

    given = {"architecture": architecture, "os_name": os, "variant": variant, "os_version": os_version}
    note(_store(roots), name, image, os_features=os_features, **given)


def inspect(
    name: str,
    image: str = "",
    *,
    credentials: Credentials | None = None,
    insecure: bool | None = None,
    roots: Roots | None = None,
) -> dict[str, Any]:
    """The index of a list, or the manifest of one image of it; else what a registry has under the name.

    Raises:
        NotFound: the list lacks ``image``. RegistryError: the registry has no such manifest.
    """
    from pycontainer.engine.image.manifests import Access  # requests: 80 ms
    from pycontainer.engine.image.manifests import inspect as look
    from pycontainer.image.manifest import load_object

    document = look(_store(roots), name, image, access=Access(insecure, credentials))
    return load_object(document.data, f"the manifest of {name}")


def push(
    name: str,
    *,
    purge: bool = False,
    progress: Listener | None = None,
    credentials: Credentials | None = None,
    insecure: bool | None = None,
    roots: Roots | None = None,
) -> Pushed:
    """Send a list to its registry, and what is missing there of its images; with ``purge`` forget it then.

    Other arguments as of :func:`pycontainer.images.pull`.

    Raises:
        NotFound: no such list. UsageError: an image does not say what it is for. RegistryError: a registry failed.
    """
    from pycontainer.engine.image.manifests import Access  # requests: 80 ms
    from pycontainer.engine.image.manifests import push as send

    return send(_store(roots), name, purge=purge, progress=progress, access=Access(insecure, credentials))


def remove(name: str, *, roots: Roots | None = None) -> None:
    """Forget a list; images are not touched.

    Raises:
        NotFound: there is none of that name.
    """
    from pycontainer.engine.image.manifest_list import remove as forget

    forget(_store(roots), name)


def _store(roots: Roots | None) -> Store:
    from pycontainer.engine.options import Roots as Default
    from pycontainer.image.store import Store

    return Store(Default.of(roots).root)
