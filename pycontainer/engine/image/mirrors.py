"""Asking for something that several places may have: the mirrors of a registry, and then the registry itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pycontainer.errors import RegistryError
from pycontainer.image import events
from pycontainer.image.events import Event, Listener
from pycontainer.image.registries_conf import Endpoint
from pycontainer.image.registry import Registry

Answer = TypeVar("Answer")


def first_answer(
    places: Sequence[Endpoint],
    connect: Callable[[Endpoint], Registry],
    ask: Callable[[Registry], Answer],
    listener: Listener = events.nobody,
) -> tuple[Answer, Registry]:
    """What the first place says that has an answer; and its registry, which the caller closes.

    Args:
        places: the registry itself last.
        connect: makes a registry of a place.
        ask: asks it.
        listener: is told of mirrors that failed.

    Raises:
        RegistryError: of the registry itself, if no mirror had an answer. Anything else that ``ask`` raises ends it.
    """
    for number, place in enumerate(places, 1):
        registry = connect(place)
        try:
            return ask(registry), registry
        except RegistryError as error:
            registry.close()
            if number == len(places):
                raise
            listener(Event("warning", text=f"mirror {place.host} failed: {error.message}"))
        except BaseException:
            registry.close()
            raise
    raise AssertionError
