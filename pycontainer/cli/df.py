"""``pyc system df``: what takes how much space."""

from __future__ import annotations

from typing import Any

from pycontainer.cli import Session, declare, human, listing
from pycontainer.cli.declare import echo
from pycontainer.cli.documents import to_json
from pycontainer.cli.images import moment, names
from pycontainer.cli.ps import shown_command, status
from pycontainer.engine import disk_usage, volumes
from pycontainer.engine.disk_usage import Usage
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.options import Roots

HEADERS = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
DEFAULT = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"

Row = dict[str, Any]

_VERBOSE: dict[str, dict[str, str]] = {
    "Images": {
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "ID": "IMAGE ID",
        "CreatedSince": "CREATED",
        "Size": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
        "Containers": "CONTAINERS",
    },
    "Containers": {
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
        "RunningFor": "CREATED",
        "Status": "STATUS",
        "Names": "NAMES",
    },
    "Volumes": {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"},
}
"""The tables of ``-v``, by the names that docker's templates have for them, and their columns."""


HELP = """Show what takes how much space, and how much of it nobody needs.

An image takes more than its files, which are the size that 'pyc images' shows: its layers as they were pulled,
compressed, are kept for a push."""


@declare.command("df", help=HELP)
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, table TEMPLATE or TEMPLATE")
@declare.option("-v", "--verbose", is_flag=True, help="Show each image, container and volume")
@declare.pass_obj
def command(session: Session, /, form: str, verbose: bool) -> None:
    """Show usage."""
    found, rows = disk_usage.usage(session.roots), _volumes(session.roots)
    if not verbose:
        return listing.write(summary(found, rows), HEADERS, DEFAULT, form)
    parts = {
        "Images": _images(found),
        "Containers": _containers(session.roots, found),
        "Volumes": rows,
        "BuildCache": [],
    }
    if form == "json":
        echo(to_json(parts))
    elif form not in ("", "table"):
        from pycontainer.cli.template import Template  # +6 ms

        echo(Template(form).render(parts))
    else:
        for title, columns in _VERBOSE.items():
            echo(f"{'Local Volumes' if title == 'Volumes' else title} space usage:\n")
            listing.write(parts[title], columns, "\t".join(f"{{{{.{field}}}}}" for field in columns), "")
            echo()
    return None


def summary(found: Usage, volume_rows: list[Row]) -> list[Row]:
    """One line for each kind of thing."""
    sizes = {usage.container.id: usage.size for usage in found.containers}
    alive = [usage.container.id for usage in found.containers if usage.container.is_up]
    held, used = sum(row["bytes"] for row in volume_rows), [row for row in volume_rows if row["Links"] != "0"]
    containers, volume_bytes = sum(sizes.values()), sum(row["bytes"] for row in used)
    return [
        _line(
            "Images", len(found.images), sum(bool(usage.users) for usage in found.images), found.layers, found.unused
        ),
        _line("Containers", len(sizes), len(alive), containers, containers - sum(map(sizes.__getitem__, alive))),
        _line("Local Volumes", len(volume_rows), len(used), held, held - volume_bytes),
        _line("Build Cache", 0, 0, 0, 0),
    ]


def _line(kind: str, total: int, active: int, size: int, reclaimable: int) -> Row:
    share = f" ({100 * reclaimable // size}%)" if size else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human.size(size),
        "Reclaimable": human.size(reclaimable) + share,
    }


def _images(found: Usage) -> list[Row]:
    return [
        {
            "Repository": name.repository,
            "Tag": name.tag,
            "ID": human.short_id(usage.image.id),
            "Digest": name.digest,
            "CreatedSince": human.ago(moment(usage.image.created)),
            "CreatedAt": human.date(moment(usage.image.created)),
            "Size": human.size(usage.size),
            "VirtualSize": human.size(usage.size),
            "SharedSize": human.size(usage.shared),
            "UniqueSize": human.size(usage.unique),
            "Containers": str(len(usage.users)),
        }
        for usage in found.images
        for name in names(usage.image)
    ]


def _containers(roots: Roots, found: Usage) -> list[Row]:
    return [
        {
            "ID": container.id[:12],
            "Image": container.image,
            "Command": shown_command(container),
            "LocalVolumes": str(sum(mount.type == "volume" for mount in volumes.recorded(container))),
            "Size": human.size(size),
            "RunningFor": human.ago(container.created),
            "CreatedAt": human.date(container.created),
            "Status": status(roots, container),
            "State": container.state,
            "Names": container.name,
            "Labels": listing.join_labels(container.labels),
        }
        for container, size in found.containers
    ]


def _volumes(roots: Roots) -> list[Row]:
    users = volumes.users(roots)
    sizes = [(volume, disk_usage.size_below(volumes.data(roots, volume.name))) for volume in volumes.listing(roots)]
    return [
        {
            "Name": volume.name,
            "Driver": "local",
            "Scope": "local",
            "Mountpoint": volumes.data(roots, volume.name),
            "Labels": listing.join_labels(volume.labels),
            "Links": str(len(users.get(volume.name, ()))),
            "Size": human.size(size),
            "bytes": size,
        }
        for volume, size in sizes
    ]
