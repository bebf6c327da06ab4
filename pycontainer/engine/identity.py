"""What a container is called: its ID, its name, and its host name."""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots, RunOptions

OWNER_DIGITS = 56
"""How many digits of a container's ID its volumes without a name begin with; a number of eight digits follows."""

_ADJECTIVES = (
    "able amber bold brave brisk calm clear clever crisp deft eager early fair fleet fond frank fresh gentle "
    "glad grand happy hardy keen kind lively lucid lucky merry mild neat nimble noble patient plain proud "
    "quick quiet rapid ready sharp silent smart sound spry steady sunny swift tidy vivid warm wise witty"
).split()
_NOUNS = (
    "badger beaver bison cedar clover comet condor coral cricket dingo dolphin eagle egret falcon fern finch "
    "gecko heron ibis jaguar kestrel lark lemur lily linnet lynx maple marmot marten meadow merlin mole newt "
    "oak orca osprey otter owl panda pebble petrel pine plover puffin quail raven robin salmon seal sparrow "
    "stork swan tern thrush tulip vole walrus willow wren"
).split()
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def new_identity(options: RunOptions) -> tuple[str, str]:
    """A random ID, and the name that was asked for or one made from the ID."""
    raw = os.urandom(32)
    name = options.name
    if not name:
        first, second = _ADJECTIVES[raw[0] % len(_ADJECTIVES)], _NOUNS[raw[1] % len(_NOUNS)]
        name = f"{first}_{second}_{raw[2:4].hex()}"
    elif len(name) < 2 or len(name) > 255 or not set(name) <= _NAME_CHARACTERS or not name[0].isalnum():
        raise UsageError(
            f"container name {name!r}: want letters, digits, '_', '.', '-', beginning with one of the first two"
        )
    return raw.hex(), name


def hostname_of(roots: Roots, container_id: str, options: RunOptions) -> str:
    """The name that was asked for, or the short ID; the host's own with ``--uts host``, or that of whose network it
    shares.
    """
    if options.container.uts == "host":
        return os.uname().nodename
    if options.container.network.startswith("container:"):
        from pycontainer.engine import sharing

        return sharing.hostname(roots, options.container) or container_id[:12]
    return options.container.hostname or container_id[:12]


def recorded_hostname(container: Container) -> str:
    """The same of one that exists. What its file says is not asked: that it may write itself."""
    if container.options.get("uts") == "host":
        return os.uname().nodename
    return container.options.get("hostname") or container.id[:12]
