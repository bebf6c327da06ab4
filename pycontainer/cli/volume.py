"""``pyc volume``: directories that outlive containers."""

from __future__ import annotations

from pycontainer.cli import Session, declare, human, listing
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.engine import volumes
from pycontainer.engine.volumes import Volume
from pycontainer.errors import UsageError
from pycontainer.oci.grammar.volumes import volume_driver, volume_name, volume_option
from pycontainer.oci.grammar.words import boolean, key_value
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Status": "STATUS",
    "Label": lambda name: name,
}
DEFAULT = "{{.Driver}}\t{{.Name}}"
FILTERS = frozenset(["dangling", "driver", "label", "name"])


@declare.command("create", help="Make a volume.")
@declare.option("-d", "--driver", default="local", metavar="DRIVER", help="local, the only one there is")
@declare.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Give it a label")
@declare.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="What it is: type, device and o")
@declare.option("--name", "hidden_name", default="", hidden=True)
@declare.argument("name", required=False, default="")
@declare.pass_obj
def create(
    session: Session, /, driver: str, labels: tuple[str, ...], options: tuple[str, ...], hidden_name: str, name: str
) -> None:
    """Make a volume and print its name."""
    if name and hidden_name:
        raise UsageError("conflicting options: either --name or an argument, not both")
    volume_driver(driver)
    name = name or hidden_name
    made = volumes.create(
        session.roots,
        volume_name(name) if name else "",
        labels=dict(map(key_value, labels)),
        options=dict(map(volume_option, options)),
    )
    echo(made.name)


@declare.command("ls", help="List volumes.")
@declare.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=listing.of_filters(FILTERS))
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, table TEMPLATE or TEMPLATE")
@declare.option("-q", "--quiet", is_flag=True, help="Show names only")
@declare.pass_obj
def ls(session: Session, /, filters: tuple[str, ...], form: str, quiet: bool) -> None:
    """List volumes."""
    chosen = listing.Filters(filters, FILTERS)
    users = volumes.users(session.roots) if form or "dangling" in chosen else {}
    rows = []
    for volume in volumes.listing(session.roots):
        links = len(users.get(volume.name, ()))
        if passes(volume, chosen, links):
            rows.append(row(session, volume, links))
    listing.write(rows, HEADERS, DEFAULT, form or ("{{.Name}}" if quiet else ""))


def passes(volume: Volume, filters: listing.Filters, links: int) -> bool:
    """Whether a volume that ``links`` containers have is among those that were asked for."""
    return (
        filters.any("dangling", lambda text: boolean(text) == (links == 0))
        and filters.any("driver", lambda text: text == "local")
        and filters.any("name", lambda text: text in volume.name)
        and filters.labels(volume.labels)
    )


def row(session: Session, volume: Volume, links: int) -> dict[str, Any]:
    """One line as the fields of ``--format``. Sizes take a walk through all files: ``prune`` says them."""
    return {
        "Name": volume.name,
        "Driver": "local",
        "Scope": "local",
        "Mountpoint": volumes.data(session.roots, volume.name),
        "Labels": listing.join_labels(volume.labels),
        "Links": str(links),
        "Size": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
        "Label": lambda name: volume.labels.get(name, ""),
    }


@declare.command("rm", help="Remove volumes, with all that is in them. One that a container has is not removed.")
@declare.option("-f", "--force", is_flag=True, help="Don't mind those that are not there")
@declare.argument("names", metavar="VOLUME...", nargs=-1, required=True)
@declare.pass_obj
def rm(session: Session, /, force: bool, names: tuple[str, ...]) -> int:
    """Remove volumes."""

    def remove(name: str) -> None:
        volumes.remove(session.roots, name, force=force)
        echo(name)

    return for_each(names, remove)


@declare.command("prune", help="Remove the volumes without a name that no container has; with -a those with one too.")
@declare.option("-a", "--all", "every", is_flag=True, help="Remove all that no container has")
@declare.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only those with label=..., label!=...")
@declare.option("-f", "--force", is_flag=True, help="Don't ask")
@declare.pass_obj
def prune(session: Session, /, every: bool, filters: tuple[str, ...], force: bool) -> int:
    """Remove what nobody has."""
    without = [text.partition("!=")[2] for text in filters if text.startswith("label!=")]
    chosen = listing.Filters([text for text in filters if not text.startswith("label!=")], frozenset(["all", "label"]))
    every = every or any(map(boolean, chosen.get("all")))
    what = "all local volumes" if every else "anonymous local volumes"
    import click

    if not force and not click.confirm(f"WARNING! This will remove {what} not used by at least one container.\nGo on?"):
        return 1
    candidates = [
        volume
        for volume in volumes.listing(session.roots)
        if (every or volume.anonymous)
        and chosen.labels(volume.labels)
        and not any(_has_label(volume, text) for text in without)
    ]
    removed = dict(volumes.prune(session.roots, candidates))
    if removed:
        echo("Deleted Volumes:\n" + "\n".join(removed) + "\n")
    echo(f"Total reclaimed space: {human.size(sum(removed.values()))}")
    return 0


def _has_label(volume: Volume, text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in volume.labels and (not equals or volume.labels[key] == value)
