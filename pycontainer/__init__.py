"""pycontainer: a container engine for one Linux host, without a daemon.

>>> import pycontainer
>>> pycontainer.run("alpine", ["echo", "hello"]).stdout
b'hello\\n'

Importing the package costs nothing: :mod:`pycontainer.containers`, whose functions these are, and the modules
:mod:`~pycontainer.images`, :mod:`~pycontainer.manifests`, :mod:`~pycontainer.networks` and
:mod:`~pycontainer.volumes` are loaded when they are used.
"""

__version__ = "0.1.0"
__all__ = [
    "Container",
    "Result",
    "Roots",
    "containers",
    "create",
    "events",
    "get",
    "images",
    "list",
    "manifests",
    "networks",
    "run",
    "volumes",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainer import containers, images, manifests, networks, volumes
    from pycontainer.containers import Container, Result, create, events, get, list, run
    from pycontainer.engine.options import Roots


def __getattr__(name: str) -> object:
    """Load what is used for the first time (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'pycontainer' has no attribute {name!r}")
    from importlib import import_module

    if name in ("containers", "images", "manifests", "networks", "volumes"):
        return import_module("pycontainer." + name)
    home = "engine.options" if name == "Roots" else "containers"
    value = globals()[name] = getattr(import_module("pycontainer." + home), name)
    return value
