"""``pyc images``: the images."""

from __future__ import annotations

from pycontainer.cli import Session, declare, human, listing
from pycontainer.errors import InvalidReference, NotFound, PycError, UsageError
from pycontainer.image.entry import Entry, match
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from pycontainer.image.model import Image

HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
FILTERS = frozenset(["dangling", "label", "before", "since", "reference", "until"])
NONE = "<none>"


class Name(Record):
    """One line of the list: a repository and a tag of an image, ``<none>`` where it has none."""

    image: Image
    repository: str
    tag: str
    digest: str


@declare.command("images", help="List images.")
@declare.option("-a", "--all", is_flag=True, expose_value=False, help="Show all (there are no hidden ones)")
@declare.option("--digests", is_flag=True, help="Show digests")
@declare.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=listing.of_filters(FILTERS))
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, table TEMPLATE or TEMPLATE")
@declare.option("--no-trunc", is_flag=True, help="Don't shorten")
@declare.option("-q", "--quiet", is_flag=True, help="Show IDs only")
@declare.option("--tree", is_flag=True, help="Show each image with the platforms that its name stands for")
@declare.argument("pattern", metavar="[REPOSITORY[:TAG]]", required=False)
@declare.pass_obj
def command(
    session: Session,
    /,
    digests: bool,
    filters: tuple[str, ...],
    form: str,
    no_trunc: bool,
    quiet: bool,
    tree: bool,
    pattern: str | None,
) -> None:
    """List images."""
    patterns = [f"reference={pattern}"] if pattern else []
    found = select(Store(session.roots.root).images(), listing.Filters([*filters, *patterns], FILTERS))
    if tree:
        if quiet or no_trunc or digests or form:
            raise UsageError("--tree can't be used with --quiet, --no-trunc, --digests or --format")
        from pycontainer.cli.images_tree import show

        return show(session.roots, found)
    rows = [row(name, short=not no_trunc) for name in found]
    if quiet:
        form = form or "{{.ID}}"
        rows = list({each["ID"]: each for each in rows}.values())
    default = "{{.Repository}}\t{{.Tag}}\t" + ("{{.Digest}}\t" if digests else "")
    return listing.write(rows, HEADERS, default + "{{.ID}}\t{{.CreatedSince}}\t{{.Size}}", form)


def select(everything: list[Image], filters: listing.Filters) -> list[Name]:
    """The names of the images that pass the filters, the image made last first."""
    before = [moment(_named(everything, name).created) for name in filters.get("before")]
    since = [moment(_named(everything, name).created) for name in filters.get("since")]
    ends = [until(text) for text in filters.get("until")]
    found = []
    for image in everything:
        created = moment(image.created)
        if not (
            filters.labels(image.config.labels)
            and all(created < other for other in [*before, *ends])
            and all(created > other for other in since)
        ):
            continue
        found += [name for name in names(image) if _passes(name, filters)]
    return found


def _passes(name: Name, filters: listing.Filters) -> bool:
    def dangles(text: str) -> bool:
        if text.lower() not in ("true", "1", "false", "0"):
            raise UsageError(f"invalid filter dangling={text}: must be true or false")
        return name.tag == NONE if text.lower() in ("true", "1") else name.repository != NONE

    return filters.any("dangling", dangles) and filters.any("reference", lambda text: _matches(name, text))


def names(image: Image) -> list[Name]:
    """One line for each tag; for an image without any, its repository or nothing."""
    found = []
    for name in image.names:
        reference = Reference.parse(name)
        found.append(Name(image, reference.familiar_name, reference.tag or NONE, image.known_by(name)))
    return [name for name in found if name.tag != NONE] or found or [Name(image, NONE, NONE, image.digest)]


def _matches(name: Name, pattern: str) -> bool:
    """As docker: a pattern over the repository, or the repository and tag, in which * and ? stop at a slash."""
    texts = (name.repository, f"{name.repository}:{name.tag}")
    return name.repository != NONE and any(
        _is_like(text, wanted) for text in texts for wanted in (pattern, _familiar(pattern))
    )


def _is_like(text: str, pattern: str) -> bool:
    """Go's path.Match, which says [^a] where a shell says [!a]."""
    from fnmatch import fnmatchcase  # +4 ms, where somebody filters by name

    parts, patterns = text.split("/"), pattern.replace("[^", "[!").split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _familiar(pattern: str) -> str:
    """A whole name as it is listed: ``alpine`` for ``docker.io/library/alpine``; any pattern as it is."""
    try:
        reference = Reference.parse(pattern)
    except InvalidReference:
        return pattern
    return reference.familiar if ":" in pattern.rpartition("/")[2] else reference.familiar_name


def _named(everything: list[Image], text: str) -> Image:
    """The image that a user's word means, as in every other command."""
    entries = [Entry(name, image.id, image.digest, image.manifest) for image in everything for name in image.names]
    entries += [Entry("", image.id, image.digest, image.manifest) for image in everything if not image.names]
    try:
        wanted = match(entries, text)[0].image_id
    except PycError as error:
        raise UsageError(f"invalid filter: {error.message}") from None
    return next(image for image in everything if image.id == wanted)


def until(text: str) -> float:
    """The time that ``--filter until=`` means: a moment, or how long ago."""
    from pycontainer.cli import moments

    try:
        return moments.moment(text)
    except UsageError as error:
        raise UsageError(f"invalid filter until={text}: {error.message}") from None


def of_platform(image: Image, wanted: Collection[str], name: str) -> Image:
    """That image, if it is for one of the platforms that were asked for, or none was. Raises NotFound."""
    from pycontainer.image.platform import Platform

    if wanted and not any(image.config.platform in Platform.parse(text).accepts() for text in wanted):
        raise NotFound(f"image {name} is here for {image.config.platform}, not for {' or '.join(wanted)}")
    return image


def moment(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time, 0.0 for "" or nonsense."""
    from _datetime import UTC, datetime  # `datetime` itself: +2 ms

    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return float((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def row(name: Name, *, short: bool) -> dict[str, Any]:
    """One line as the fields of ``--format``."""
    image, created = name.image, moment(name.image.created)
    return {
        "ID": human.short_id(image.id) if short else image.id,
        "Repository": name.repository,
        "Tag": name.tag,
        "Digest": name.digest or NONE,
        "CreatedSince": human.ago(created),
        "CreatedAt": human.date(created),
        "Size": human.size(image.size),
        "VirtualSize": human.size(image.size),
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": "N/A",
    }
