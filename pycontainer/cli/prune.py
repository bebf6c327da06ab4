"""``pyc image prune``, ``pyc container prune`` and ``pyc system prune``: remove what nobody needs."""

from __future__ import annotations

from collections.abc import Mapping

from pycontainer.cli import Session, declare, human
from pycontainer.cli.confirm import confirmed
from pycontainer.cli.images import moment, until
from pycontainer.cli.listing import Filters
from pycontainer.engine.prune import Pruned, prune_containers, prune_images
from pycontainer.oci.grammar.words import boolean
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.image.model import Image

_FILTER = declare.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only those with until=, label= or label!="
)
_FORCE = declare.option("-f", "--force", is_flag=True, help="Don't ask")


class Chosen:
    """The filters of a prune."""

    def __init__(self, texts: tuple[str, ...], known: tuple[str, ...] = ("until", "label")) -> None:
        """Sort them. Raises UsageError for one that is unknown."""
        self.without = [text.partition("!=")[2] for text in texts if text.startswith("label!=")]
        self.filters = Filters([text for text in texts if not text.startswith("label!=")], frozenset(known))
        self.before = [until(text) for text in self.filters.get("until")]

    def passes(self, created: float, labels: Mapping[str, str]) -> bool:
        """Whether something of that age with those labels may go."""
        return (
            all(created < before for before in self.before)
            and self.filters.labels(labels)
            and not any(Filters([f"label={text}"], {"label"}).labels(labels) for text in self.without)
        )

    def image(self, image: Image) -> bool:
        """Whether that image may go."""
        return self.passes(moment(image.created), image.config.labels)

    def container(self, container: Container) -> bool:
        """Whether that container may go."""
        return self.passes(container.created, container.labels)


def _report(title: str, pruned: Pruned) -> int:
    if pruned.removed:
        print(f"{title}:\n" + "\n".join(pruned.removed) + "\n")
    return pruned.size


def _total(size: int) -> None:
    print(f"Total reclaimed space: {human.size(size)}")


@declare.command(
    "prune", help="Remove the images that no container uses and that have no tag; with -a, all such images."
)
@declare.option("-a", "--all", "every", is_flag=True, help="Remove all that no container uses")
@declare.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only those with until=, label= or label!=; dangling=false means -a",
)
@_FORCE
@declare.pass_obj
def images(session: Session, /, every: bool, filters: tuple[str, ...], force: bool) -> None:
    """Remove images."""
    chosen = Chosen(filters, ("until", "label", "dangling"))
    every = every or any(not boolean(text) for text in chosen.filters.get("dangling"))
    what = "all images without at least one container associated to them" if every else "all dangling images"
    if force or confirmed(f"WARNING! This will remove {what}."):
        _total(_report("Deleted Images", prune_images(session.roots, every=every, wanted=chosen.image)))


@declare.command("prune", help="Remove the containers that don't run.")
@_FILTER
@_FORCE
@declare.pass_obj
def containers(session: Session, /, filters: tuple[str, ...], force: bool) -> None:
    """Remove containers."""
    chosen = Chosen(filters)
    if force or confirmed("WARNING! This will remove all stopped containers."):
        _total(_report("Deleted Containers", prune_containers(session.roots, chosen.container)))


@declare.command("prune", help="Remove containers that don't run, networks and images that nobody uses.")
@declare.option(
    "-a", "--all", "every", is_flag=True, help="Remove all images that no container uses, with a tag or not"
)
@declare.option("--volumes", is_flag=True, help="Remove volumes without a name that nobody uses, too")
@_FILTER
@_FORCE
@declare.pass_obj
def system(session: Session, /, every: bool, volumes: bool, filters: tuple[str, ...], force: bool) -> None:
    """Remove everything that nobody uses."""
    chosen = Chosen(filters)
    lines = [
        "all stopped containers",
        "all networks not used by at least one container",
        *(["all anonymous volumes not used by at least one container"] if volumes else []),
        "all images without at least one container associated to them" if every else "all dangling images",
    ]
    text = "WARNING! This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
    if filters:
        text += "\n  Items to be pruned will be filtered with:\n" + "".join(f"  - {line}\n" for line in filters)
    if not force and not confirmed(text):
        return
    total = _report("Deleted Containers", prune_containers(session.roots, chosen.container))
    _report("Deleted Networks", _networks(session, chosen))
    if volumes:
        total += _report("Deleted Volumes", _volumes(session, chosen))
    total += _report("Deleted Images", prune_images(session.roots, every=every, wanted=chosen.image))
    _total(total)


def _networks(session: Session, chosen: Chosen) -> Pruned:
    from pycontainer.engine.network import networks

    return Pruned(tuple(networks.prune(session.roots, lambda network: chosen.passes(network.created, network.labels))))


def _volumes(session: Session, chosen: Chosen) -> Pruned:
    from pycontainer.engine import volumes

    candidates = [
        volume
        for volume in volumes.listing(session.roots)
        if volume.anonymous and chosen.passes(volume.created, volume.labels)
    ]
    removed = dict(volumes.prune(session.roots, candidates))
    return Pruned(tuple(removed), sum(removed.values()))
