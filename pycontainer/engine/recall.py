"""What a container was made with, as JSON beside it and back, so that it can be started again."""

from __future__ import annotations

import sys

from pycontainer.oci.options import ContainerOptions
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_DEFAULTS = ContainerOptions()._asdict()


def stored(options: ContainerOptions) -> dict[str, Any]:
    """The options that somebody asked for, as JSON can hold them."""
    asked = {name: value for name, value in options._asdict().items() if value != _DEFAULTS[name]}
    return {name: dict(value) if hasattr(value, "keys") else value for name, value in asked.items()}


def recalled(record: Mapping[str, Any]) -> ContainerOptions:
    """The options again; whatever else is in the record is left out."""
    hints, names = ContainerOptions.__annotations__, _names()
    return ContainerOptions(**{name: _typed(hints[name], record[name], names) for name in hints if name in record})


def _names() -> dict[str, Any]:
    """What the annotations of the options speak of, and their module loads for type checkers only."""
    from _collections_abc import Mapping

    from pycontainer.oci.grammar.devices import DeviceMapping, DeviceRate, DeviceRule
    from pycontainer.oci.grammar.limits import Rlimit
    from pycontainer.oci.grammar.mounts import Mount
    from pycontainer.oci.grammar.networks import Endpoint
    from pycontainer.oci.grammar.ports import Publication

    named = (Mapping, DeviceMapping, DeviceRate, DeviceRule, Rlimit, Mount, Endpoint, Publication)
    return {kind.__name__: kind for kind in named}


def _typed(hint: Any, value: Any, names: dict[str, Any]) -> Any:
    """JSON's lists as the tuples that they were, by the annotation of their field; ``names`` are what it speaks of."""
    if not isinstance(value, list):
        return value
    if isinstance(hint, str):
        hint = eval(hint, names)  # our own source; `typing` does that too, and takes 7 ms to load
    if hasattr(hint, "_fields"):
        names = vars(sys.modules[hint.__module__])
        fields = zip(hint.__annotations__.values(), value, strict=False)
        return hint(*(_typed(text, item, names) for text, item in fields))
    of = getattr(hint, "__args__", ())
    return tuple(
        _typed(of[min(at, len(of) - 2)] if len(of) > 1 else None, item, names) for at, item in enumerate(value)
    )
