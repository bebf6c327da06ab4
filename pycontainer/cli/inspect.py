"""``pyc inspect``: all that is known about a thing, as JSON or through a template."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import Parameter, echo
from pycontainer.cli.documents import to_json
from pycontainer.cli.images import of_platform
from pycontainer.cli.listing import for_each, for_stdout
from pycontainer.engine import containers
from pycontainer.engine.inspect import container_document, image_document
from pycontainer.engine.options import Roots
from pycontainer.errors import NotFound, UsageError
from pycontainer.image.store import Store
from pycontainer.light import suppress
from pycontainer.oci.grammar.words import choice
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.inspect import Document


KINDS = ("container", "image", "network", "volume")


class Looking(Record):
    """Where to look, and what for.

    Attributes:
        kind: one of KINDS, or "" for the first of them that has such a thing.
        size: of containers, tell how much they have written.
        platform: of images, the one that they must be for.
        verbose: of networks, tell what the kernel has of them.
    """

    roots: Roots
    kind: str
    size: bool = False
    platform: str = ""
    verbose: bool = False

    def find(self, name: str) -> Document:
        """What there is to say about a thing. Raises NotFound."""
        kinds = {
            "container": self._container,
            "image": self._image,
            "network": self._network,
            "volume": self._volume,
        }
        if self.kind:
            return kinds[self.kind](name)
        for look in kinds.values():
            with suppress(NotFound):
                return look(name)
        raise NotFound(f"no such object: {name}", hint="no container, image, network or volume has that name")

    def _container(self, name: str) -> Document:
        container = containers.find(self.roots, name)
        document = container_document(self.roots, container)
        if self.size:
            from pycontainer.engine import disk_usage  # +3 ms

            written = disk_usage.written(self.roots, container.id)
            document |= {
                "SizeRw": written,
                "SizeRootFs": written + Store(self.roots.root).find(container.image_id).size,
            }
        return document

    def _image(self, name: str) -> Document:
        image = Store(self.roots.root).find(name)
        return image_document(of_platform(image, (self.platform,) if self.platform else (), name))

    def _network(self, name: str) -> Document:
        from pycontainer.engine.network import documents  # +5 ms, and most look for something else

        document = documents.document(self.roots, name)
        return document | documents.in_the_kernel(self.roots, name) if self.verbose else document

    def _volume(self, name: str) -> Document:
        from pycontainer.engine import volumes

        return volumes.document(self.roots, volumes.find(self.roots, name))


def show(looking: Looking, names: tuple[str, ...], form: str) -> int:
    """Print the documents; one that is missing does not stop the others."""
    template = None
    if form not in ("", "json"):
        from pycontainer.cli.template import Template  # +6 ms

        template = Template(form)
    found: list[Document] = []
    status = for_each(names, lambda name: found.append(looking.find(name)))
    if form == "":
        echo(to_json(found, indent=4))
    for document in found if form else ():
        echo(for_stdout(template.render(document)) if template else to_json(document))
    return status


def _make(kind: str, help: str, *options: Parameter) -> declare.Command:
    @declare.command("inspect", help=help)
    @declare.option("-f", "--format", "form", default="", metavar="TEMPLATE", help="json, or a template")
    @declare.argument("names", metavar="NAME...", nargs=-1, required=True)
    @declare.pass_obj
    def command(session: Session, /, names: tuple[str, ...], form: str, **chosen: Any) -> int:
        return show(Looking(session.roots, **{"kind": kind, **chosen}), names, form)

    command.parameters += options
    return command


_SIZE = Parameter(("-s", "--size"), {"is_flag": True, "help": "Of containers, tell how much they have written"})
_PLATFORM = Parameter(("--platform",), {"default": "", "metavar": "OS/ARCH", "help": "Only if it is for that platform"})
_VERBOSE = Parameter(
    ("-v", "--verbose"), {"is_flag": True, "help": "And its links in the kernel: their state, and what has passed"}
)


def _kind(text: str) -> str:
    try:
        return choice(*KINDS)(text) if text else ""
    except UsageError as error:
        raise UsageError(f"invalid type {text!r}: {error.message}") from None


_KIND = Parameter(
    ("--type", "kind"), {"type": _kind, "default": "", "metavar": "|".join(KINDS), "help": "Look only there"}
)

of_containers = _make("container", "Show all that is known about containers.", _SIZE)
of_images = _make("image", "Show all that is known about images.", _PLATFORM)
of_networks = _make("network", "Show all that is known about networks.", _VERBOSE)
of_volumes = _make("volume", "Show all that is known about volumes.")
command = _make("", "Show all that is known about containers, images, networks and volumes.", _SIZE, _KIND)


@declare.command("exists", help="Exit with 0 if an image is here, with 1 if not.")
@declare.argument("image")
@declare.pass_obj
def image_exists(session: Session, /, image: str) -> int:
    """Look for an image."""
    try:
        Store(session.roots.root).find(image)
    except NotFound:
        return 1
    return 0
