"""``pyc search``: repositories in a registry, or the tags of one."""

from __future__ import annotations

from pycontainer.cli import Session, declare, listing
from pycontainer.cli.registry_flags import creds_flag, insecure, registry_flags
from pycontainer.errors import UsageError
from pycontainer.oci.grammar.words import boolean
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.credentials import Login

HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}
TAG_HEADERS = {"Name": "NAME", "Tag": "TAG"}
_SHORT = 45
_LIMIT = 25
_NEVER = 1 << 62


@declare.command("search", help="Search a registry, Docker Hub unless TERM is HOST/TERM.")
@declare.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="is-official=BOOL, stars=NUMBER")
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, table TEMPLATE or TEMPLATE")
@declare.option("--limit", type=int, metavar="NUMBER", help="Show at most so many, 1 to 100; 25 unless they are tags")
@declare.option("--list-tags", is_flag=True, help="Show the tags of the repository TERM")
@declare.option("--no-trunc", is_flag=True, help="Don't shorten")
@registry_flags
@creds_flag
@declare.argument("term")
@declare.pass_obj
def command(
    session: Session,
    /,
    filters: tuple[str, ...],
    form: str,
    limit: int | None,
    list_tags: bool,
    no_trunc: bool,
    tls_verify: bool | None,
    creds: Login | None,
    term: str,
) -> None:
    """Search."""
    from pycontainer.engine.image import search  # requests: +80 ms

    if limit is not None and not 1 <= limit <= 100:
        raise UsageError(f"limit must be 1 to 100, not {limit}")
    chosen = listing.Filters(filters, () if list_tags else ("is-automated", "is-official", "stars"))
    if list_tags:
        from pycontainer.engine.image.login import for_registry_of
        from pycontainer.image.shortnames import candidates

        reference, known = candidates(term)[0], for_registry_of(term, creds)
        tags = [
            {"Name": reference.familiar_name, "Tag": tag}
            for tag in search.tags(reference, credentials=known, insecure=insecure(tls_verify))[:limit]
        ]
        return listing.write(tags, TAG_HEADERS, "{{.Name}}\t{{.Tag}}", form)
    stars = max([0, *map(_number, chosen.get("stars"))])
    official = _truths(chosen, "is-official")
    if any(_truths(chosen, "is-automated")):  # nothing is any more; docker says the same
        limit, stars = 1, _NEVER
    rows = []
    show = (lambda host: creds) if creds else None
    for each in search.search(term, limit=limit or _LIMIT, credentials=show, insecure=insecure(tls_verify)):
        if each.stars < stars or (official and each.official not in official):
            continue
        text = each.description
        if not no_trunc and len(text) > _SHORT:
            text = text[: _SHORT - 1] + "…"
        mark = "[OK]" if each.official else ""
        rows.append({"Name": each.name, "Description": text, "StarCount": each.stars, "IsOfficial": mark})
    listing.write(rows, HEADERS, "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}", form)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"invalid filter: stars={text} is no number")
    return int(text)


def _truths(chosen: listing.Filters, key: str) -> list[bool]:
    try:
        return [boolean(text) for text in chosen.get(key)]
    except UsageError as error:
        raise UsageError(f"invalid filter: {key}={','.join(chosen.get(key))} {error.message}") from None
