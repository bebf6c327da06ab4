"""Volumes from Python: what ``pyc volume`` does.

>>> from pycontainer import volumes
>>> volumes.create("data", labels={"of": "shop"}).labels
{'of': 'shop'}
>>> pycontainer.run(NAME, "touch /data/file", volumes={"data": "/data"}).code
0
>>> volumes.remove("data")

Every function works on the volumes of this user, or on those of ``roots``; errors are those of
:mod:`pycontainer.errors`.
"""

from __future__ import annotations

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from typing import Any

    from pycontainer.engine.options import Roots
    from pycontainer.engine.volumes import Volume

__all__ = ["create", "get", "inspect", "list", "prune", "remove"]


def create(
    name: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    roots: Roots | None = None,
) -> Volume:
    """Make a volume, or find the one of that name; without a name it gets one.

    Args:
        name: what it is called.
        labels: to find it by.
        options: of the local driver: ``type``, ``device`` and ``o``; none for a plain directory.
        roots: where the state is.

    Raises UsageError: what makes no sense; Conflict: it is there with other options.
    """
    from pycontainer.engine import volumes
    from pycontainer.oci.grammar.volumes import volume_name, volume_option

    called = volume_name(name) if name else ""
    checked = dict(volume_option(f"{key}={value}") for key, value in (options or {}).items())
    return volumes.create(_roots(roots), called, labels=labels, options=checked)


def get(name: str, *, roots: Roots | None = None) -> Volume:
    """The volume of that name. Raises NotFound."""
    from pycontainer.engine import volumes

    return volumes.find(_roots(roots), name)


def list(*, roots: Roots | None = None) -> builtins.list[Volume]:
    """All volumes, by name.

    >>> volumes.list()
    []
    """
    from pycontainer.engine import volumes

    return [*volumes.listing(_roots(roots))]


def inspect(name: str, *, roots: Roots | None = None) -> dict[str, Any]:
    """All that is known about it, in docker's shape. Raises NotFound."""
    from pycontainer.engine import volumes

    where = _roots(roots)
    return volumes.document(where, volumes.find(where, name))


def remove(name: str, *, force: bool = False, roots: Roots | None = None) -> None:
    """Remove a volume and all that is in it; with ``force`` it need not be there.

    Raises NotFound, or Conflict if a container has it.
    """
    from pycontainer.engine import volumes

    volumes.remove(_roots(roots), name, force=force)


def prune(*, all: bool = False, roots: Roots | None = None) -> builtins.list[str]:
    """Remove those without a name that no container has, or ``all`` that none has; tells their names."""
    from pycontainer.engine import volumes

    where = _roots(roots)
    unused = [volume for volume in volumes.listing(where) if all or volume.anonymous]
    return [name for name, _ in volumes.prune(where, unused)]


def _roots(roots: Roots | None) -> Roots:
    from pycontainer.engine.options import Roots as Default

    return Default.of(roots)
